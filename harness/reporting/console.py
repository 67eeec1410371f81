"""The terminal: live progress while it runs, then the result in one screen. Plain where piped or NO_COLOR, ASCII where needed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TextIO

from harness.model.finding import Finding
from harness.model.result import RunResult, Timing
from harness.model.verdict import Verdict
from harness.ports.reporter import Progress
from harness.reporting.ink import Ink, Line, to_ascii, wrapped
from harness.reporting.outline import check_lines, fault_lines, finding_lines, last_lines, phase_line, spark_lines
from harness.reporting.words import number, plural, printable, shortened

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["Console", "result_lines"]

#: Findings that are told in full; the rest is a line each, and all are in the report.
_TOLD = 3
_LIVE_PHASES = ("ready", "clean", "run")


class Console:
    """Listener for people. ``quiet`` leaves out the live part."""

    name: ClassVar[str] = "console"

    def __init__(self, out: TextIO | None = None, *, env: Mapping[str, str] | None = None, quiet: bool = False) -> None:
        self._out = sys.stdout if out is None else out
        self._ink = Ink(self._out, env=env)
        self._quiet = quiet
        self._printed: set[str] = set()
        self._status: Status | None = None

    def begun(self, title: str, environment: str) -> None:
        """Title and environment, then the live part."""
        self._printed.clear()
        program, _, rest = title.partition(" ")
        lines: list[Line] = [[("bold", program), ("", f" {rest}")]] if rest else [[("bold", title)]]
        self._ink.write([*lines, *([("dim", text)] for text in wrapped(printable(environment))), []])

    def progress(self, event: Progress) -> None:
        """A line for each part that ended before the faults are known; everything else only moves the live line."""
        if event.phase == "note":
            self._stop()
            self._ink.write([[("dim", text)] for text in wrapped(printable(event.text), first="  ", indent=4)])
        elif event.took is not None and event.phase in _LIVE_PHASES:
            self._stop()
            name = str(event.detail.get("name") or event.phase)
            self._printed.add(name)
            self._ink.write(phase_line(Timing(name=name, seconds=event.took, text=event.text)))
        else:
            self._show(event)

    def finished(self, result: RunResult, folder: Path) -> None:
        """The result."""
        self._stop()
        self._ink.write(result_lines(result, folder, printed=self._printed))

    def close(self) -> None:
        """Take the live line away; for a run that ends without a result."""
        self._stop()

    def _show(self, event: Progress) -> None:
        if self._quiet or not self._ink.colour:
            return
        text = shortened(printable(_live_text(event)), 76)
        text = text if self._ink.unicode else to_ascii(text)
        if self._status is None:
            from rich.console import Console as RichConsole  # imported here: a piped run never needs it
            from rich.status import Status
            from rich.text import Text

            spinner = "dots" if self._ink.unicode else "line"
            self._status = Status(Text(text), console=RichConsole(file=self._out, highlight=False), spinner=spinner)
            self._status.start()
        else:
            from rich.text import Text

            self._status.update(Text(text))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _live_text(event: Progress) -> str:
    at = f" {event.at:.1f} s" if event.at is not None else ""
    share = f"  {number(event.done)} of {number(event.total)}" if event.done is not None and event.total is not None else ""
    return f"{event.phase}{at}{share}  {event.text}"


def result_lines(result: RunResult, folder: Path, printed: set[str] | frozenset[str] = frozenset()) -> list[Line]:
    """Everything below the header; parts in `printed` were written while they ended."""
    lines: list[Line] = []
    told = {timing.name: timing for timing in result.timings}
    shown_faults = False
    for name, timing in told.items():
        if name not in printed and name != "check":
            lines += phase_line(timing)
        if name == "run":
            lines += [line for fault in result.faults for line in fault_lines(fault)]
            shown_faults = True
    if not shown_faults:
        lines += [line for fault in result.faults for line in fault_lines(fault)]
    checks = [line for check in result.checks for line in check_lines(check)]
    for block in (spark_lines(result), checks, _findings(result), last_lines(result, folder)):
        if block:
            lines += [[], *block]
    return lines


def _findings(result: RunResult) -> list[Line]:
    found: list[Finding] = [f for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings]
    found.sort(key=lambda f: f.story is None)
    workers = [lane.name for lane in result.lanes]
    lines: list[Line] = []
    for finding in found[:_TOLD]:
        lines += [[]] if lines else []
        lines += finding_lines(finding, workers)
    if len(found) > _TOLD:
        lines += [[], [("dim", f"  and {plural(len(found) - _TOLD, 'more finding')}, in the report")]]
    return lines
