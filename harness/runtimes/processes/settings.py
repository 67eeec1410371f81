"""What a child is told: the agent's settings (docs/journal.md) and the options of `celery worker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model.scenario import WorkerGroup
from harness.ports.runtime import PassPlan, SystemPlan

__all__ = ["dead_end", "effective_config", "settings_document", "worker_options"]

#: Mingle, gossip and heartbeats cost about a second of every start and say nothing that the oracles use.
_QUICK_START = ("--without-mingle", "--without-gossip", "--without-heartbeat")


def settings_document(
    plan: SystemPlan,
    current: PassPlan | None,
    *,
    role: str,
    name: str,
    root: Path,
    journal: Path,
    broker: str,
    backend: str | None,
    addresses: Sequence[tuple[str, int]],
    triggers: Sequence[Mapping[str, Any]],
    trigger_folder: Path,
) -> dict[str, Any]:
    """The settings of one child. A `check` may connect to nothing: it only imports."""
    spec = plan.scenario.system
    connects = role != "check"
    document: dict[str, Any] = {
        "run": plan.run_id,
        "pass": current.name if current else "",
        "role": role,
        "name": name,
        "journal": str(journal) if role in ("worker", "producer") else "",
        "app": spec.app,
        "root": str(root),
        "broker": broker,
        "backend": backend,
        "config": effective_config(plan),
        "allow": [list(address) for address in addresses] if connects else [],
        "egress": list(spec.egress) if connects else [],
        "retry_divisor": plan.scenario.time.retry_divisor,
        "triggers": [dict(trigger) for trigger in triggers],
        "trigger_folder": str(trigger_folder),
    }
    if role == "producer" and current is not None:
        document["plan"] = {
            "seed": plan.scenario.seed,
            "items": [item.model_dump(mode="json", by_alias=True) for item in plan.scenario.load],
            "calls": [list(call) for call in current.calls],
            "mode": current.mode,
            "order": list(current.order),
        }
    return document


def effective_config(plan: SystemPlan) -> dict[str, Any]:
    """What the scenario forces on the app: `redelivery` in Celery's words, then `config`; mappings are merged key by key."""
    merged = dict(plan.broker.client_settings(plan.scenario.system.redelivery))
    for name, value in plan.scenario.system.config.items():
        before = merged.get(name)
        merged[name] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def dead_end(path: Path, kind: str) -> dict[str, str]:
    """What a service offers while nothing is started: addresses that parse, and lead nowhere."""
    url = f"sqlite:///{path}" if kind == "sqlite" else f"{kind}://127.0.0.1:9"
    return {"url": url, "host": "127.0.0.1", "port": "9", "path": str(path), "password": ""}


def worker_options(name: str, run_id: str, group: WorkerGroup) -> list[str]:
    """Options of `celery worker` for one replica; the node name is unique to the run."""
    options = ["-n", f"{name}@{run_id}", "-P", group.pool, "-c", str(group.concurrency), "-l", "INFO", *_QUICK_START]
    if group.queues:
        options += ["-Q", ",".join(group.queues)]
    if group.prefetch_multiplier is not None:
        options += ["--prefetch-multiplier", str(group.prefetch_multiplier)]
    return options + list(group.options)
