"""What `explore` and `certify` are asked about: a scenario's tasks, or one of an app that needs nothing but a broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    """The command line. ``args``, ``kwargs``, ``examples`` None: not given; ``limit``: fields of `ExploreLimit` that were.

    ``args``: a list, 'types', or module:strategy.
    """

    target: str
    task: str
    args: list[Any] | str | None
    kwargs: dict[str, Any] | None
    limit: Mapping[str, Any]
    reports: Path
    seed: int | None
    as_json: bool
    points: str = "auto"  # auto, effects or lines
    examples: int | None = None
    jobs: int = 0  # tasks at a time; 0: as many as there are processors


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
    _refuse_what_cannot_be_drawn(items, wanted, loaded)
    limited = [item.model_copy(update={"limit": ExploreLimit.model_construct(**{**dict(item.limit), **wanted.limit})}) for item in items]
    return [item.model_copy(update={"examples": wanted.examples or item.examples}) for item in limited]


def _refuse_what_cannot_be_drawn(items: Sequence[ExploreItem], wanted: Wanted, loaded: LoadedScenario) -> None:
    if wanted.examples is not None and not any(item.is_drawn for item in items):
        raise UsageError(
            "--examples says how many sets of arguments are drawn, and here all are written out",
            hint="such as --args types, or --args shop.testing:charges",
        )
    for item in items:
        if item.rows is not None and loaded.scenario.system.setup is None:
            index = [one.rows for one in loaded.scenario.explore].index(item.rows)
            hint = "name a function that takes one value, and makes tables and first rows of it"
            raise loaded.error("`rows` are given to `setup`, and there is none", "explore", index, "rows", hint=hint)


def _given(wanted: Wanted) -> dict[str, Any]:
    args = wanted.args if isinstance(wanted.args, str) else tuple(wanted.args or ())
    return {"args": args, "kwargs": dict(wanted.kwargs or {})}


def _from_load(task: str, loaded: LoadedScenario) -> ExploreItem:
    """With the arguments that the scenario's load has for it, drawn by its strategy or as they are written out."""
    for item in loaded.scenario.load:
        if item.send == task:
            return ExploreItem(task=task, args=item.args, kwargs=item.kwargs)
    return ExploreItem(task=task)


def question_of(item: ExploreItem, loaded: LoadedScenario) -> Question:
    """The item, with what the scenario declares for its task. Of one whose arguments are drawn, without any."""
    from harness.explore import rules

    return rules.question_of(item, loaded.scenario.semantics)
