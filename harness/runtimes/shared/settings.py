"""What a child is told: the agent's settings (docs/journal.md) and the options of `celery worker`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.model.scenario import WorkerGroup
from harness.ports.runtime import PassPlan, SystemPlan

__all__ = ["Seat", "dead_end", "effective_config", "examined", "settings_document", "worker_options"]

#: Mingle, gossip and heartbeats cost about a second of every start and say nothing that the oracles use.
_QUICK_START = ("--without-mingle", "--without-gossip", "--without-heartbeat")


@dataclass(frozen=True, slots=True)
class Seat:
    """One child: what it is, and the addresses and settings that hold for it alone."""

    role: str  # worker, producer, check, call
    name: str
    broker: str  # URL
    backend: str | None
    allow: Sequence[tuple[str, int]] = ()
    tls: Mapping[str, Any] = field(default_factory=dict)  # Celery settings
    pid_base: int = 0
    egress: Sequence[str] = ()  # host or host:port
    names: Sequence[Mapping[str, Any]] = ()  # of hosts that services stand for


def settings_document(
    plan: SystemPlan,
    current: PassPlan | None,
    seat: Seat,
    *,
    root: Path,
    journal: Path,
    triggers: Sequence[Mapping[str, Any]],
    trigger_folder: Path,
) -> dict[str, Any]:
    """The settings of one child. A `check` may connect to nothing: it only imports."""
    spec = plan.scenario.system
    connects = seat.role != "check"
    document: dict[str, Any] = {
        "run": plan.run_id,
        "pass": current.name if current else "",
        "role": seat.role,
        "name": seat.name,
        "journal": str(journal) if seat.role in ("worker", "producer") else "",
        "app": spec.app,
        "root": str(root),
        "broker": seat.broker,
        "backend": seat.backend,
        "config": effective_config(plan, seat.tls),
        "allow": [list(address) for address in seat.allow] if connects else [],
        "egress": list(seat.egress) if connects else [],
        "names": [dict(entry) for entry in seat.names] if connects else [],
        "retry_divisor": plan.scenario.time.retry_divisor,
        "triggers": [dict(trigger) for trigger in triggers],
        "trigger_folder": str(trigger_folder),
        "live": current is not None and current.mode == "live",
        "pid_base": seat.pid_base,
    }
    if seat.role == "producer" and current is not None:
        document["plan"] = {
            "seed": plan.scenario.seed,
            "items": [item.planned() for item in current.load or plan.scenario.load],
            "calls": [list(call) for call in current.calls],
            "mode": current.mode,
            "order": list(current.order),
        }
    return document


def effective_config(plan: SystemPlan, tls: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is forced on the app: `redelivery` in Celery's words, the run's authority, then the scenario's `config`; mappings key by key."""
    merged = dict(plan.broker.client_settings(plan.scenario.system.redelivery))
    for name, value in [*(tls or {}).items(), *plan.scenario.system.config.items()]:
        before = merged.get(name)
        merged[name] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def dead_end(path: Path, kind: str) -> dict[str, str]:
    """What a service offers while nothing is started: addresses that parse, and lead nowhere."""
    scheme = {"postgres": "postgresql"}.get(kind, kind)
    url = f"sqlite:///{path}" if kind == "sqlite" else f"{scheme}://127.0.0.1:9"
    return {
        **{"url": url, "host": "127.0.0.1", "port": "9", "path": str(path)},
        **{"user": "", "password": "", "database": "", "sslrootcert": ""},
    }


def examined(plan: SystemPlan, request: Mapping[str, Any], interpreter: str) -> tuple[str, ...]:
    """All that an app's examination depends on, beside files: what is asked, the system as the scenario has it, and this environment."""
    spec = plan.scenario.system
    asked = json.dumps([request, effective_config(plan), plan.scenario.time.retry_divisor], sort_keys=True, default=str)
    around = sorted(pair for pair in os.environ.items() if not pair[0].startswith("PYTEST_"))  # no child inherits these
    return (interpreter, str(plan.root), asked, spec.model_dump_json(), repr(around))


def worker_options(name: str, run_id: str, group: WorkerGroup) -> list[str]:
    """Options of `celery worker` for one replica; the node name is unique to the run."""
    options = ["-n", f"{name}@{run_id}", "-P", group.pool, "-c", str(group.concurrency), "-l", "INFO", *_QUICK_START]
    if group.queues:
        options += ["-Q", ",".join(group.queues)]
    if group.prefetch_multiplier is not None:
        options += ["--prefetch-multiplier", str(group.prefetch_multiplier)]
    return options + list(group.options)
