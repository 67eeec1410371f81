"""What `explore` and `certify` are asked about: a scenario's tasks, or one of an app that needs nothing but a broker."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.model.scenario import ExploreItem, ExploreLimit

if TYPE_CHECKING:
    from harness.explore.rules import Question
    from harness.scenario import LoadedScenario

__all__ = ["Wanted", "items_of", "loaded_scenario", "question_of"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command line. ``args``, ``kwargs`` None: not given; ``limit``: fields of `ExploreLimit` that were."""

    target: str
    task: str
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    limit: Mapping[str, Any]
    reports: Path
    seed: int | None
    as_json: bool


def loaded_scenario(wanted: Wanted, folder: Path) -> LoadedScenario:
    """The scenario, or one made for an app that needs nothing but a broker. The first cell of a matrix whose broker can be looked into."""
    from harness.assembly import registry
    from harness.ports.queues import HoldsMessages
    from harness.scenario import load_scenarios

    known = registry()
    path = Path(wanted.target)
    if not path.exists():
        if path.suffix in (".yaml", ".yml") or ":" not in wanted.target:
            raise UsageError(f"there is no file {wanted.target}", hint="name a scenario file, or an app as module:attribute")
        path = _scenario_for(wanted, folder)
    if path.is_dir():
        raise UsageError(f"{wanted.target} is a folder", hint="explore takes one scenario file")
    cells = load_scenarios(path, known, seed=wanted.seed)
    fit = [cell for cell in cells if isinstance(known.brokers[cell.scenario.system.broker_spec.kind], HoldsMessages)]
    if not fit:
        kind = cells[0].scenario.system.broker_spec.kind
        raise cells[0].error(f"explore cannot look into {kind} as broker yet", "system", "broker", hint="write broker: redis")
    return fit[0]


def _scenario_for(wanted: Wanted, folder: Path) -> Path:
    if not wanted.task:
        raise UsageError("which task?", hint="such as --task orders.charge --args '[7, 900]'")
    path = folder / "plans" / "explore.yaml"
    path.parent.mkdir(exist_ok=True)
    system = {"app": wanted.target, "broker": "redis"}
    path.write_text(json.dumps({"version": 1, "system": system, "explore": [{"task": wanted.task}]}, indent=1))  # JSON is YAML
    return path


def items_of(wanted: Wanted, loaded: LoadedScenario) -> list[ExploreItem]:
    """Those of the scenario, or the one of the command line; limits of the command line go before."""
    scenario = loaded.scenario
    items = [item for item in scenario.explore if not wanted.task or item.task == wanted.task]
    if wanted.task and (wanted.args is not None or wanted.kwargs is not None):
        items = [(items or [ExploreItem(task=wanted.task)])[0].model_copy(update=_given(wanted))]
    elif wanted.task and not items:
        items = [_from_load(wanted.task, loaded)]
    if not items:
        raise UsageError(f"{wanted.target} has no `explore`, and no --task is given", hint="such as --task orders.charge --args '[7, 900]'")
    return [item.model_copy(update={"limit": ExploreLimit.model_construct(**{**dict(item.limit), **wanted.limit})}) for item in items]


def _given(wanted: Wanted) -> dict[str, Any]:
    return {"args": tuple(wanted.args or ()), "kwargs": dict(wanted.kwargs or {})}


def _from_load(task: str, loaded: LoadedScenario) -> ExploreItem:
    """With the arguments that the scenario's load has for it, where they are written out."""
    for index, item in enumerate(loaded.scenario.load):
        if item.send == task and isinstance(item.args, str):
            raise loaded.error(f"{task} takes its arguments from {item.args} here", "load", index, "args", hint="give some with --args")
        if item.send == task:
            return ExploreItem(task=task, args=tuple(item.args), kwargs=item.kwargs)
    return ExploreItem(task=task)


def question_of(item: ExploreItem, loaded: LoadedScenario) -> Question:
    """The item, with what the scenario declares for its task."""
    from harness.explore.rules import Limits, Question

    declared = next((value for pattern, value in loaded.scenario.semantics.items() if fnmatch.fnmatchcase(item.task, pattern)), "")
    limits = Limits(worlds=item.limit.worlds, seconds=item.limit.time, kills=item.limit.kills)
    return Question(item.task, tuple(item.args), dict(item.kwargs), limits, item.semantics or declared)
