"""What `explore` tells of its answers: lines on a terminal, JSON for programs, the report's files."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.explore_items import Wanted
from harness.errors import TaskRefused
from harness.model.scenario import ExploreItem
from harness.reporting.ink import Ink, Line
from harness.reporting.live_line import LiveLine

if TYPE_CHECKING:
    from harness.model.exploration import Exploration, Flaw
    from harness.reporting.exploration_files import Told

__all__ = ["Teller", "told_of", "write"]


class Teller:
    """Says what becomes of one task after the other."""

    def __init__(self, wanted: Wanted, folder: Path) -> None:
        self._wanted, self._folder = wanted, folder
        self._ink = Ink(sys.stdout)
        self._live = LiveLine(sys.stdout, self._ink)
        self._early: Flaw | None = None
        self._begun = False

    @property
    def is_seen(self) -> bool:
        """Does anybody see the line that moves?"""
        return self._ink.colour and not self._wanted.as_json

    def begin(self, item: ExploreItem) -> None:
        """Its title."""
        from harness.reporting.drawn_text import drawn_text
        from harness.reporting.exploration_text import call_text

        self._early = None
        if self._wanted.as_json:
            return
        first, self._begun = not self._begun, True
        title: list[Line] = [[("bold", "celery-harness explore"), ("", f" {self._wanted.target}")]] if first else [[]]
        args = () if isinstance(item.args, str) else item.args
        drawn = drawn_text(item.args if isinstance(item.args, str) else "", item.rows or "", item.examples) if item.is_drawn else ""
        self._write([*title, [("", call_text(item.task, args, dict(item.kwargs)) + drawn)]])

    def say(self, text: str) -> None:
        """A line that moves where somebody looks on."""
        if self.is_seen:
            self._live.show(text)

    def tell(self, flaw: Flaw) -> None:
        """A finding, while others are looked for."""
        from harness.reporting.exploration_text import early_lines

        if not self._wanted.as_json:
            self._early = flaw
            self._write(early_lines(flaw, Path.cwd()))

    def end(self, told: Told) -> None:
        """One task, as soon as it is known."""
        import click

        from harness.reporting.exploration_files import document_of
        from harness.reporting.exploration_text import exploration_lines, last_line

        if self._wanted.as_json:
            click.echo(json.dumps(document_of(told), default=str))
            return
        report: list[Line] = [
            [("bold", "  Report     "), ("data", str(_relative(self._folder / "report.html")))],
            [],
            last_line(told.found),
        ]
        self._write([*exploration_lines(told.found, Path.cwd(), told.command, self._early), *report])

    def refuse(self, error: TaskRefused) -> None:
        """One task that cannot be explored, where others can."""
        import click

        self._live.stop()
        sys.stdout.flush()
        click.echo(f"error: {error}", err=True)

    def _write(self, lines: Sequence[Line]) -> None:
        self._live.stop()
        self._ink.write(lines)

    def close(self) -> None:
        """The line that moves goes."""
        self._live.stop()


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
