"""What `explore` does with its answers: load, start the system, explore task by task, report."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.explore_items import Wanted, items_of, loaded_scenario, question_of
from harness.cli.explore_system import explore_item, exploring_system
from harness.errors import EnvironmentFault, Interrupted
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.explore.rules import Question
    from harness.model.exploration import Exploration
    from harness.ports.runtime import LiveSystem
    from harness.run.signals import InterruptGuard
    from harness.scenario import LoadedScenario

__all__ = ["run_explorations"]

_EXITS = {"certified": 0, "fails": 1, "inconclusive": 4}
_WORST = (1, 4, 0)


def run_explorations(wanted: Wanted) -> int:
    """All tasks that are wanted; the exit code over all: 1, 4, 0 in this order."""
    from harness.run.folders import new_run_folder
    from harness.run.signals import InterruptGuard

    run_id, folder = new_run_folder(wanted.reports)
    found: list[Exploration] = []
    try:
        loaded = loaded_scenario(wanted, folder)
        items = items_of(wanted, loaded)
        with InterruptGuard() as guard, exploring_system(loaded, run_id, folder) as system:
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


def _one(
    wanted: Wanted, loaded: LoadedScenario, item: ExploreItem, system: LiveSystem, guard: InterruptGuard, folder: Path, *, first: bool
) -> Exploration:
    with _shown(wanted, question_of(item, loaded), first=first) as say:
        found = explore_item(loaded, item, system, say=say, check=guard.check)
    _show(found, wanted, folder)
    return found


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
