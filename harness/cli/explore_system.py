"""The system in which tasks are explored, and one of them explored there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.cli.explore_items import question_of
from harness.errors import EnvironmentFault, ScenarioError, TaskRefused
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.explore.succession import Succession
    from harness.model.exploration import Exploration, Flaw
    from harness.ports.exploring import ExploresHere, Mechanism
    from harness.ports.runtime import LiveSystem
    from harness.scenario import LoadedScenario

__all__ = ["Explorer", "Witness", "explore_item", "exploring", "exploring_system"]


class Witness(Protocol):
    """Sees what a certificate rests on, when it can be seen."""

    def imported(self, answer: Mapping[str, Any]) -> None:
        """What the app's examination said, once per system."""

    def begun(self, system: ExploresHere) -> None:
        """All stores are as the user's setup left them."""

    def ended(self, mechanism: Mechanism, drew: Iterable[str] = ()) -> None:
        """The exploration came to a verdict. ``drew``: files of the modules that drew its arguments."""


@contextmanager
def exploring_system(
    loaded: LoadedScenario,
    run_id: str,
    folder: Path,
    witness: Witness | None = None,
    meanwhile: Callable[[LiveSystem], None] = lambda system: None,
) -> Iterator[LiveSystem]:
    """Broker and services, started. They are processes of this machine: the task has to run under our kernel.

    ``meanwhile``: is called when they are, while the app is still looked at.
    """
    from harness.assembly import choose_runtime, system_plan
    from harness.ports.clock import MonotonicClock
    from harness.ports.exploring import ExploresHere
    from harness.run.examine import check_app

    runtime = choose_runtime("processes")
    system = runtime.system(system_plan(loaded, Path.cwd(), run_id, folder, MonotonicClock()))
    try:
        if not isinstance(system, ExploresHere):
            raise EnvironmentFault("this system cannot be explored")
        asked = {"grounds": True} if witness else {}
        answered = system.examining(
            {"app": loaded.scenario.system.app, "objects": list(filter(None, [loaded.scenario.system.setup])), **asked}
        )
        try:
            system.open()
            meanwhile(system)
        finally:  # what the app refuses goes before what the machine does
            answer = answered()
            check_app(loaded.scenario.model_copy(update={"load": (), "timeline": (), "schedule": ()}), answer, loaded.where)
        if witness:
            witness.imported(answer)
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
    """The verdict on one item, in a world and a process of its own. ``say`` is told how far it is, ``check`` raises to stop it.

    ``points``: auto, effects or lines.
    """
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


@contextmanager
def exploring(loaded: LoadedScenario, items: Sequence[ExploreItem], run_id: str, folder: Path, points: str) -> Iterator[Explorer]:
    """An explorer of these items, in a system of its own."""
    with ExitStack() as stack:
        explorer = Explorer(loaded, points, early=not any(item.is_drawn for item in items))
        stack.callback(explorer.close)  # where the system does not come up
        system = stack.enter_context(exploring_system(loaded, run_id, folder, meanwhile=explorer.begin))
        stack.callback(explorer.close)
        yield explorer
        system.came_to_its_end()


class Explorer:
    """Explores one item after another in one system: see `Succession`. ``early``: there will be one, surely."""

    def __init__(self, loaded: LoadedScenario, points: str, *, early: bool) -> None:
        self._loaded, self._points, self._early = loaded, points, early
        self._system: Any = None  # a LiveSystem that ExploresHere
        self._succession: Succession | None = None

    def begin(self, system: LiveSystem) -> None:
        """It is open."""
        self._system = system
        if self._early:
            succession = self._begin_succession()
            _import_meanwhile()
            succession.prepare()

    def _begin_succession(self) -> Succession:
        from harness.explore.succession import Succession

        if self._succession is None:
            self._succession = Succession(self._system, dict(getattr(self._system, "stores", {})), self._points)
        return self._succession

    def explore(
        self,
        item: ExploreItem,
        *,
        say: Callable[[str], None],
        check: Callable[[], None],
        tell: Callable[[Flaw], None] = lambda flaw: None,
    ) -> Exploration:
        """As `explore_item`; TaskRefused where only this one cannot be explored. ``tell``: see `harness.explore.exploration.explore`."""
        loaded, system = self._loaded, self._system
        assert system is not None, "begin comes first"
        if item.is_drawn:
            try:
                return explore_item(loaded, item, system, say=say, check=check, points=self._points)
            except ScenarioError as exc:
                raise TaskRefused.of(exc) from exc
        try:
            found = self._begin_succession().explore(question_of(item, loaded), seed=loaded.scenario.seed, say=say, check=check, tell=tell)
        except ScenarioError as exc:
            raise _placed(exc, loaded, item) from exc
        return replace(found, environment={**found.environment, **system.environment(), "seed": str(loaded.scenario.seed)})

    def close(self) -> None:
        """What it has started is gone."""
        if self._succession is not None:
            self._succession.close()


def _import_meanwhile() -> None:
    """What an exploration needs later, while the app's processes come up."""
    import redis  # noqa: F401

    import harness.explore.exploration
    import harness.explore.surroundings
    import harness.reporting.exploration_text  # noqa: F401


def _placed(exc: ScenarioError, loaded: LoadedScenario, item: ExploreItem, key: str = "task") -> ScenarioError:
    """Where the scenario names the task, or has this key of its item, if nothing better is known."""
    known = [(one.task, one.args) for one in loaded.scenario.explore]
    if exc.where or (item.task, item.args) not in known:
        return exc
    return type(exc)(exc.what, where=loaded.where("explore", known.index((item.task, item.args)), key), hint=exc.hint)
