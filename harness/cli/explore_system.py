"""The system in which tasks are explored, and one of them explored there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.explore_items import question_of
from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.model.exploration import Exploration
    from harness.ports.runtime import LiveSystem
    from harness.scenario import LoadedScenario

__all__ = ["explore_item", "exploring_system"]


@contextmanager
def exploring_system(loaded: LoadedScenario, run_id: str, folder: Path) -> Iterator[LiveSystem]:
    """Broker and services, started. They are processes of this machine: the task has to run under our kernel."""
    from harness.assembly import choose_runtime, system_plan
    from harness.ports.clock import MonotonicClock
    from harness.run.examine import check_app

    runtime = choose_runtime("processes")
    system = runtime.system(system_plan(loaded, Path.cwd(), run_id, folder, MonotonicClock()))
    try:
        answer = system.examine({"app": loaded.scenario.system.app, "objects": list(filter(None, [loaded.scenario.system.setup]))})
        check_app(loaded.scenario.model_copy(update={"load": (), "timeline": (), "schedule": ()}), answer, loaded.where)
        system.open()
        yield system
    finally:
        system.close()


def explore_item(
    loaded: LoadedScenario, item: ExploreItem, system: LiveSystem, *, say: Callable[[str], None], check: Callable[[], None]
) -> Exploration:
    """The verdict on one item. ``say`` is told how far it is, ``check`` raises to stop it."""
    from harness.assembly import exploring_parts
    from harness.explore.exploration import explore
    from harness.ports.exploring import ExploresHere

    if not isinstance(system, ExploresHere):
        raise EnvironmentFault("this system cannot be explored")
    with exploring_parts(system, dict(getattr(system, "stores", {}))) as (mechanism, surroundings):
        try:
            found = explore(mechanism, surroundings, question_of(item, loaded), seed=loaded.scenario.seed, say=say, check=check)
        except ScenarioError as exc:
            raise _placed(exc, loaded, item) from exc
    return replace(found, environment={**found.environment, **system.environment(), "seed": str(loaded.scenario.seed)})


def _placed(exc: ScenarioError, loaded: LoadedScenario, item: ExploreItem) -> ScenarioError:
    """Where the scenario names the task, if nothing better is known."""
    if exc.where or item.task not in {one.task for one in loaded.scenario.explore}:
        return exc
    index = [one.task for one in loaded.scenario.explore].index(item.task)
    return ScenarioError(exc.what, where=loaded.where("explore", index, "task"), hint=exc.hint)
