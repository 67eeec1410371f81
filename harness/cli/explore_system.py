"""The system in which tasks are explored, and one of them explored there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.cli.explore_items import question_of
from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.model.exploration import Exploration
    from harness.ports.exploring import ExploresHere, Mechanism
    from harness.ports.runtime import LiveSystem
    from harness.scenario import LoadedScenario

__all__ = ["Witness", "explore_item", "exploring_system"]


class Witness(Protocol):
    """Sees what a certificate rests on, when it can be seen."""

    def imported(self, answer: Mapping[str, Any]) -> None:
        """What the app's examination said, once per system."""

    def begun(self, system: ExploresHere) -> None:
        """All stores are as the user's setup left them."""

    def ended(self, mechanism: Mechanism, drew: Iterable[str] = ()) -> None:
        """The exploration came to a verdict. ``drew``: files of the modules that drew its arguments."""


@contextmanager
def exploring_system(loaded: LoadedScenario, run_id: str, folder: Path, witness: Witness | None = None) -> Iterator[LiveSystem]:
    """Broker and services, started. They are processes of this machine: the task has to run under our kernel."""
    from harness.assembly import choose_runtime, system_plan
    from harness.ports.clock import MonotonicClock
    from harness.run.examine import check_app

    runtime = choose_runtime("processes")
    system = runtime.system(system_plan(loaded, Path.cwd(), run_id, folder, MonotonicClock()))
    try:
        asked = {"grounds": True} if witness else {}
        answer = system.examine({"app": loaded.scenario.system.app, "objects": list(filter(None, [loaded.scenario.system.setup])), **asked})
        check_app(loaded.scenario.model_copy(update={"load": (), "timeline": (), "schedule": ()}), answer, loaded.where)
        if witness:
            witness.imported(answer)
        system.open()
        yield system
    finally:
        system.close()


def explore_item(
    loaded: LoadedScenario,
    item: ExploreItem,
    system: LiveSystem,
    *,
    say: Callable[[str], None],
    check: Callable[[], None],
    witness: Witness | None = None,
    points: str = "auto",
) -> Exploration:
    """The verdict on one item. ``say`` is told how far it is, ``check`` raises to stop it; ``points``: auto, effects or lines."""
    from harness.assembly import exploring_parts
    from harness.explore.exploration import explore
    from harness.ports.exploring import ExploresHere

    if not isinstance(system, ExploresHere):
        raise EnvironmentFault("this system cannot be explored")
    stores = dict(getattr(system, "stores", {}))
    if item.is_drawn:
        from harness.cli.explore_sets import explore_drawn

        try:
            found = explore_drawn(
                loaded,
                item,
                system,
                lambda *rows: exploring_parts(system, stores, points, rows),
                say=say,
                check=check,
                witness=witness,
            )
        except ScenarioError as exc:
            raise _placed(exc, loaded, item, "args" if isinstance(item.args, str) else "rows") from exc
        return replace(found, environment={**found.environment, **system.environment(), "seed": str(loaded.scenario.seed)})
    with exploring_parts(system, stores, points) as (mechanism, surroundings):
        if witness:
            witness.begun(system)
        try:
            found = explore(mechanism, surroundings, question_of(item, loaded), seed=loaded.scenario.seed, say=say, check=check)
        except ScenarioError as exc:
            raise _placed(exc, loaded, item) from exc
        if witness:
            witness.ended(mechanism)
    return replace(found, environment={**found.environment, **system.environment(), "seed": str(loaded.scenario.seed)})


def _placed(exc: ScenarioError, loaded: LoadedScenario, item: ExploreItem, key: str = "task") -> ScenarioError:
    """Where the scenario names the task, or has this key of its item, if nothing better is known."""
    known = [(one.task, one.args) for one in loaded.scenario.explore]
    if exc.where or (item.task, item.args) not in known:
        return exc
    return ScenarioError(exc.what, where=loaded.where("explore", known.index((item.task, item.args)), key), hint=exc.hint)
