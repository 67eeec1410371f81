"""The ways in which a task fails, each saved as a scenario that real workers repeat: `celery-harness replay FILE --confirm`."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFault
from harness.explore.hash_seeds import seeded
from harness.model.scenario import ExploreItem
from harness.passwords import masked

if TYPE_CHECKING:
    from harness.model.exploration import Exploration, Flaw, Rerun
    from harness.scenario import LoadedScenario

__all__ = ["with_saved_flaws"]

#: What a saved scenario says itself.
_REPLACED = frozenset(
    {"description", "tags", "matrix", "extends", "load", "locust", "timeline", "schedule", "explore", "checks", "thresholds"}
)
#: One execution at a time and nothing fetched ahead: a worker that is killed while it fetches loses on Redis what it was fetching.
_ALONE = {"replicas": 1, "pool": "prefork", "concurrency": 1, "prefetch_multiplier": 1}
#: Else a retry would run in the process of the attempt before it, with that one's memory and connections.
_FRESH = "--max-tasks-per-child=1"
_DRAIN = 60
_ENDED = {"SUCCESS": "succeeded", "FAILURE": "failed"}


def with_saved_flaws(found: Exploration, loaded: LoadedScenario, item: ExploreItem, folder: Path) -> Exploration:
    """The same, each flaw with the file that it was saved in, or with why it cannot be."""
    flaws = []
    for flaw in found.flaws:
        refused = _refusal(found, flaw)
        if refused or flaw.rerun is None:
            flaws.append(replace(flaw, rerun=replace(flaw.rerun, refused=refused) if flaw.rerun else None))
            continue
        path = _free(folder / "plans", found.task)
        _write(path, _document(found, flaw, flaw.rerun, loaded, item))
        flaws.append(replace(flaw, saved=str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)))
    return replace(found, flaws=tuple(flaws))


def _refusal(found: Exploration, flaw: Flaw) -> str:
    if flaw.rerun is None or flaw.rerun.refused:
        return flaw.rerun.refused if flaw.rerun else ""
    if found.environment.get("points") not in (None, "effects"):
        return "it was found at lines, and real workers are killed at effects"
    if found.drawn is not None and found.drawn.rows:
        return "its first rows were drawn, and a scenario's `setup` is called without any"
    return ""


def _free(folder: Path, task: str) -> Path:
    stem = re.sub(r"[^\w.-]", "-", task)
    number = 1
    while (path := (folder / f"{stem}-{number}.yaml").resolve()).exists():
        number += 1
    return path


def _write(path: Path, document: Mapping[str, Any]) -> None:
    from harness.scenario.loader import written_out

    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(masked(written_out(json.loads(json.dumps(document, default=str)))))
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc


def _document(found: Exploration, flaw: Flaw, rerun: Rerun, loaded: LoadedScenario, item: ExploreItem) -> dict[str, Any]:
    from ruamel.yaml import YAML

    whole: dict[str, Any] = YAML(typ="safe", pure=True).load(io.StringIO(loaded.text))
    semantics = {item.task: item.semantics} if item.semantics else {}
    return {
        "version": 1,
        "description": f"{flaw.word}: {flaw.headline}",
        **{key: value for key, value in whole.items() if key not in {*_REPLACED, "version", "runtime", "system", "semantics", "drain"}},
        "runtime": "processes",
        "system": _system(dict(whole["system"]), flaw, rerun),
        "semantics": {**semantics, **(whole.get("semantics") or {})},
        "schedule": [*_faults(found.task, flaw, rerun), _call(found), {"wait": "quiet"}],
        "drain": {"timeout": f"{math.ceil(rerun.seconds + rerun.redelivery) + _DRAIN}s"},
        "checks": {"no_loss": {}, "idempotent": {}},
        "foreseen": {
            "word": flaw.word,
            "ended": "lost" if flaw.word == "LOST" else _ENDED.get(rerun.ends[-1].value, ""),
            "against": rerun.against,
            "differences": [dict(one) for one in flaw.differences],
        },
    }


def _system(system: dict[str, Any], flaw: Flaw, rerun: Rerun) -> dict[str, Any]:
    """As the explorer's children had it: one hash seed for all, no proxy before what is reached, a fresh process for each delivery."""
    workers = {name: {**(group or {}), **_ALONE} for name, group in (system.get("workers") or {"worker": {}}).items()}
    if any(delivery.killed_at is None for delivery in flaw.path[:-1]):
        for group in workers.values():
            group["options"] = [*group.get("options", ()), _FRESH]
    for part in ("broker", "backend"):
        if isinstance(system.get(part), dict):
            system[part] = {key: value for key, value in system[part].items() if key != "proxy"}
    env = seeded(system.get("env") or {}, "0")
    redelivery = {"redelivery": f"{math.ceil(rerun.redelivery)}s"} if rerun.redelivery else {}
    return {**system, "env": env, **redelivery, "workers": workers}


def _call(found: Exploration) -> dict[str, Any]:
    return {"send": found.task, "args": list(found.args), **({"kwargs": dict(found.kwargs)} if found.kwargs else {})}


def _faults(task: str, flaw: Flaw, rerun: Rerun) -> Iterator[dict[str, Any]]:
    """One per crash, all armed before the call. What a trigger at the ack counts: acks of deliveries that were not killed at it."""
    stops = iter(flaw.stops)
    acks = 1
    for number, (delivery, end) in enumerate(zip(flaw.path, rerun.ends, strict=True), 1):
        if delivery.killed_at is None:
            acks += 1
            continue
        when: dict[str, Any] = {"task": task, "reaches": "before_ack", "nth": acks}
        if end.value == "KILLED":
            stop = next(stops)
            when = {"task": task, "reaches": "effect", "effect": {"number": stop.number, "identity": stop.identity, "delivery": number}}
        yield {"fault": "task.crash", "when": when, "restart_after": "100ms"}
