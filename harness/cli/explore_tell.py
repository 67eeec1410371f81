"""What `explore` tells of its answers: lines on a terminal, JSON for programs, the report's files."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.explore_items import Wanted
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.model.exploration import Exploration
    from harness.reporting.exploration_files import Told

__all__ = ["show", "shown", "told_of", "write"]


@contextmanager
def shown(wanted: Wanted, item: ExploreItem, *, first: bool) -> Iterator[Callable[[str], None]]:
    """The title, and a line that moves where somebody looks on."""
    from harness.reporting.drawn_text import drawn_text
    from harness.reporting.exploration_text import call_text
    from harness.reporting.ink import Ink, Line
    from harness.reporting.live_line import LiveLine

    if wanted.as_json:
        yield lambda text: None
        return
    ink = Ink(sys.stdout)
    title: list[Line] = [[("bold", "celery-harness explore"), ("", f" {wanted.target}")]] if first else [[]]
    args = () if isinstance(item.args, str) else item.args
    drawn = drawn_text(item.args if isinstance(item.args, str) else "", item.rows or "", item.examples) if item.is_drawn else ""
    ink.write([*title, [("", call_text(item.task, args, dict(item.kwargs)) + drawn)]])
    live = LiveLine(sys.stdout, ink)
    try:
        yield live.show
    finally:
        live.stop()


def show(told: Told, wanted: Wanted, folder: Path) -> None:
    """One task, as soon as it is known."""
    import click

    from harness.reporting.exploration_files import document_of
    from harness.reporting.exploration_text import exploration_lines, last_line
    from harness.reporting.ink import Ink, Line

    if wanted.as_json:
        click.echo(json.dumps(document_of(told), default=str))
        return
    report: list[Line] = [[("bold", "  Report     "), ("data", str(_relative(folder / "report.html")))], [], last_line(told.found)]
    Ink(sys.stdout).write([*exploration_lines(told.found, Path.cwd(), told.command), *report])


def write(told: Sequence[Told], folder: Path) -> None:
    """The files of all that is known so far."""
    from harness.reporting.exploration_files import write_exploration

    write_exploration(told, folder, Path.cwd())


def told_of(found: Exploration, wanted: Wanted) -> Told:
    """With the command that shows the same."""
    from harness.reporting.exploration_files import Told

    words = ["celery-harness", "explore", wanted.target, "--task", found.task]
    if found.drawn is None or (found.verdict == "fails" and not found.drawn.rows):
        words += ["--args", json.dumps(list(found.args))] if found.args else []
        words += ["--kwargs", json.dumps(dict(found.kwargs))] if found.kwargs else []
    else:
        words += ["--args", wanted.args] if isinstance(wanted.args, str) else []
        words += ["--examples", str(wanted.examples)] if wanted.examples else []
        words += ["--seed", str(wanted.seed)] if wanted.seed is not None else []
    for name, value in wanted.limit.items():
        words += [f"--{name}", f"{value:g}s" if name == "time" else str(value)]
    words += ["--points", wanted.points] if wanted.points != "auto" else []
    return Told(found, wanted.target, shlex.join(words))


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
