"""What `explore` does with its answers: load, start the system, explore task by task, report."""

from __future__ import annotations

import fnmatch
import json
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFault, Interrupted, ScenarioError, UsageError
from harness.model.scenario import ExploreItem, ExploreLimit

if TYPE_CHECKING:
    from harness.explore.rules import Question
    from harness.model.exploration import Exploration
    from harness.ports.runtime import LiveSystem
    from harness.run.signals import InterruptGuard
    from harness.scenario import LoadedScenario

__all__ = ["Wanted", "run_explorations"]

_EXITS = {"certified": 0, "fails": 1, "inconclusive": 4}
_WORST = (1, 4, 0)


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


def run_explorations(wanted: Wanted) -> int:
    """All tasks that are wanted; the exit code over all: 1, 4, 0 in this order."""
    from harness.run.folders import new_run_folder
    from harness.run.signals import InterruptGuard

    run_id, folder = new_run_folder(wanted.reports)
    found: list[Exploration] = []
    try:
        loaded = _loaded(wanted, folder)
        items = _items(wanted, loaded)
        with InterruptGuard() as guard, _system(loaded, run_id, folder) as system:
            for number, item in enumerate(items):
                found.append(_one(wanted, loaded, item, system, guard, folder, first=number == 0))
                _write(found, folder)
            system.came_to_its_end()
    except Interrupted as exc:
        if not found:
            exc.what = "interrupted: everything was stopped; nothing was concluded"
        raise
    finally:
        if not found:
            shutil.rmtree(folder, ignore_errors=True)
    codes = {_EXITS[one.verdict] for one in found}
    return next(code for code in _WORST if code in codes)


# --- what is explored -------------------------------------------------------------------------------------------------


def _loaded(wanted: Wanted, folder: Path) -> LoadedScenario:
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


def _items(wanted: Wanted, loaded: LoadedScenario) -> list[ExploreItem]:
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


def _question(item: ExploreItem, loaded: LoadedScenario) -> Question:
    from harness.explore.rules import Limits, Question

    declared = next((value for pattern, value in loaded.scenario.semantics.items() if fnmatch.fnmatchcase(item.task, pattern)), "")
    limits = Limits(worlds=item.limit.worlds, seconds=item.limit.time, kills=item.limit.kills)
    return Question(item.task, tuple(item.args), dict(item.kwargs), limits, item.semantics or declared)


# --- exploring --------------------------------------------------------------------------------------------------------


@contextmanager
def _system(loaded: LoadedScenario, run_id: str, folder: Path) -> Iterator[LiveSystem]:
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


def _one(
    wanted: Wanted, loaded: LoadedScenario, item: ExploreItem, system: LiveSystem, guard: InterruptGuard, folder: Path, *, first: bool
) -> Exploration:
    from harness.assembly import exploring_parts
    from harness.explore.exploration import explore
    from harness.ports.exploring import ExploresHere

    if not isinstance(system, ExploresHere):
        raise EnvironmentFault("this system cannot be explored")
    question = _question(item, loaded)
    with _shown(wanted, question, first=first) as say, exploring_parts(system, _stores(system)) as (mechanism, surroundings):
        try:
            found = explore(mechanism, surroundings, question, seed=loaded.scenario.seed, say=say, check=guard.check)
        except ScenarioError as exc:
            raise _placed(exc, loaded, item) from exc
    found = replace(found, environment={**found.environment, **system.environment(), "seed": str(loaded.scenario.seed)})
    _show(found, wanted, folder)
    return found


def _stores(system: Any) -> Mapping[str, Any]:
    return dict(system.stores)


def _placed(exc: ScenarioError, loaded: LoadedScenario, item: ExploreItem) -> ScenarioError:
    """Where the scenario names the task, if nothing better is known."""
    if exc.where or item.task not in {one.task for one in loaded.scenario.explore}:
        return exc
    index = [one.task for one in loaded.scenario.explore].index(item.task)
    return ScenarioError(exc.what, where=loaded.where("explore", index, "task"), hint=exc.hint)


# --- telling ----------------------------------------------------------------------------------------------------------


@contextmanager
def _shown(wanted: Wanted, question: Question, *, first: bool) -> Iterator[Callable[[str], None]]:
    """The title, and a line that moves where somebody looks on."""
    from harness.reporting.exploration_text import call_text
    from harness.reporting.ink import Ink, Line
    from harness.reporting.live_line import LiveLine

    if wanted.as_json:
        yield lambda text: None
        return
    ink = Ink(sys.stdout)
    title: list[Line] = [[("bold", "celery-harness explore"), ("", f" {wanted.target}")]] if first else [[]]
    ink.write([*title, [("", call_text(question.task, question.args, dict(question.kwargs)))]])
    live = LiveLine(sys.stdout, ink)
    try:
        yield live.show
    finally:
        live.stop()


def _show(found: Exploration, wanted: Wanted, folder: Path) -> None:
    if wanted.as_json:
        click_echo(json.dumps(_document(found), default=str))
        return
    from harness.reporting.exploration_text import exploration_lines, last_line
    from harness.reporting.ink import Ink, Line

    report: list[Line] = [[("bold", "  Report     "), ("data", str(_relative(folder / "exploration.json")))], [], last_line(found)]
    Ink(sys.stdout).write([*exploration_lines(found, Path.cwd(), _command(found, wanted)), *report])


def click_echo(text: str) -> None:
    """On standard output, at once."""
    import click

    click.echo(text)


def _command(found: Exploration, wanted: Wanted) -> str:
    words = ["celery-harness", "explore", wanted.target, "--task", found.task]
    words += ["--args", json.dumps(list(found.args))] if found.args else []
    words += ["--kwargs", json.dumps(dict(found.kwargs))] if found.kwargs else []
    return shlex.join(words)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _document(found: Exploration) -> dict[str, Any]:
    return {"version": 1, **asdict(found), "python": platform.python_version()}


def _write(found: Sequence[Exploration], folder: Path) -> None:
    """Each time in one step: a reader never sees half of it."""
    coming = folder / "exploration.json.new"
    try:
        coming.write_text(json.dumps([_document(one) for one in found], indent=1, default=str) + "\n")
        coming.replace(folder / "exploration.json")
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc
