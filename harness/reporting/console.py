"""The terminal: live progress while it runs, then the result in one screen. Plain where piped or NO_COLOR, ASCII where needed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TextIO

from harness.model.result import RunResult, Timing
from harness.model.verdict import Verdict
from harness.ports.reporter import Progress
from harness.reporting.findings_text import told_lines
from harness.reporting.ink import Ink, Line, wrapped
from harness.reporting.latencies import latency_lines
from harness.reporting.live_line import LiveLine
from harness.reporting.outline import check_lines, fault_lines, last_lines, phase_line, spark_lines
from harness.reporting.words import number, printable

__all__ = ["Console", "result_lines"]

_LIVE_PHASES = ("ready", "clean", "run")


class Console:
    """Listener for people. ``quiet`` leaves out the live part."""

    name: ClassVar[str] = "console"

    def __init__(self, out: TextIO | None = None, *, env: Mapping[str, str] | None = None, quiet: bool = False) -> None:
        self._out = sys.stdout if out is None else out
        self._ink = Ink(self._out, env=env)
        self._quiet = quiet
        self._printed: set[str] = set()
        self._live = LiveLine(self._out, self._ink)
        self._several = False

    def begun(self, title: str, environment: str) -> None:
        """Title and environment, then the live part."""
        self._printed.clear()
        first, *rest = wrapped(printable(title), indent=2)
        name, _, more = first.partition(" ")
        lines: list[Line] = [[], []] if self._several else []
        lines += [[("bold", name), ("", f" {more}")], *([("", text)] for text in rest)]
        self._several = True
        self._ink.write([*lines, *([("dim", text)] for text in wrapped(printable(environment))), []])

    def progress(self, event: Progress) -> None:
        """A line for each part that ended before the faults are known; everything else only moves the live line."""
        if event.phase == "note":
            self._live.stop()
            self._ink.write([[("dim", text)] for text in wrapped(printable(event.text), first="  ", indent=4)])
        elif event.took is not None and event.phase in _LIVE_PHASES:
            self._live.stop()
            name = str(event.detail.get("name") or event.phase)
            self._printed.add(name)
            self._ink.write(phase_line(Timing(name=name, seconds=event.took, text=event.text)))
        elif not self._quiet:
            self._live.show(_live_text(event))

    def finished(self, result: RunResult, folder: Path) -> None:
        """The result."""
        self._live.stop()
        self._ink.write(result_lines(result, folder, printed=self._printed))

    def close(self) -> None:
        """Take the live line away; for a run that ends without a result."""
        self._live.stop()


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
    for block in ([*spark_lines(result), *latency_lines(result)], checks, _findings(result), last_lines(result, folder)):
        if block:
            lines += [[], *block]
    return lines


def _findings(result: RunResult) -> list[Line]:
    found = [finding for check in result.checks if check.verdict is Verdict.FAIL for finding in check.findings]
    return told_lines(found, [lane.name for lane in result.lanes])
