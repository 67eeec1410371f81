"""A search as it goes on: a line per trial, then a chart of lines and what it comes down to; or one JSON object per line."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from harness.model.searching import Moment, Recovery, SearchKind, SearchResult, Trial
from harness.reporting.capacity_words import drift_figures, outcome_text, rate, seconds, state_of, trial_figures
from harness.reporting.ink import Ink, Line, wrapped
from harness.reporting.live_line import LiveLine
from harness.reporting.words import printable

__all__ = ["SearchConsole", "SearchJson", "SearchTelling", "chart_lines", "result_lines"]

_TITLES = {"capacity": "capacity search", "stress": "stress", "soak": "soak"}
_STYLES = {"kept": "pass", "missed": "fail", "generator": "open", "uncounted": "open"}
_SIGNS = {"kept": "●", "missed": "✕", "generator": "○", "uncounted": "·"}
_TRENDS = {"grows": "fail", "steady": "pass", "cannot tell": "open"}
_BARS = "▁▂▃▄▅▆▇█"
_BAR, _COLUMNS = 32, 60


class SearchTelling(Protocol):
    """Who is told."""

    def begun(self, title: str, runtime: str, kind: SearchKind, wanted: Sequence[str], notes: Sequence[str]) -> None:
        """Before the first run."""

    def live(self, text: str) -> None:
        """What happens just now."""

    def trial(self, trial: Trial) -> None:
        """One is over."""

    def finished(self, result: SearchResult, files: Sequence[Path]) -> None:
        """All is known, and written."""

    def close(self) -> None:
        """Nothing moves any more; also twice."""


class SearchConsole:
    """For people."""

    def __init__(self, out: TextIO) -> None:
        self._ink = Ink(out)
        self._live = LiveLine(out, self._ink)
        self._told: set[str] = set()

    def begun(self, title: str, runtime: str, kind: SearchKind, wanted: Sequence[str], notes: Sequence[str]) -> None:
        """What is searched."""
        self._told.update(notes)
        lines: list[Line] = [[("bold", printable(title)), ("", f"  {_TITLES[kind]}, {runtime}")]]
        lines += [[("dim", text)] for text in wrapped(printable(f"wanted: {'; '.join(wanted)}"), first="  ", indent=10)]
        lines += [[("dim", text)] for note in notes for text in wrapped(printable(note), first="  note: ", indent=8)]
        self._ink.write(lines)

    def live(self, text: str) -> None:
        """On a terminal only."""
        self._live.show(text)

    def trial(self, trial: Trial) -> None:
        """Its line."""
        self._live.stop()
        head = f"  {trial.number:>3}  {rate(trial.rate):>9}  "
        lines: list[Line] = [[("", head), (_STYLES[trial.outcome], f"{outcome_text(trial):<16}"), ("dim", trial_figures(trial))]]
        if trial.why:
            lines += [[("dim", text)] for text in wrapped(printable(trial.why), first=" " * len(head), indent=len(head))]
        self._ink.write(lines)

    def finished(self, result: SearchResult, files: Sequence[Path]) -> None:
        """Chart, notes, result."""
        self._live.stop()
        notes = [note for note in result.notes if note not in self._told]
        self._ink.write([*chart_lines(result), *result_lines(result, notes, files)])

    def close(self) -> None:
        """Take the live line away."""
        self._live.stop()


class SearchJson:
    """For programs: ``event`` is begun, trial or result."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begun(self, title: str, runtime: str, kind: SearchKind, wanted: Sequence[str], notes: Sequence[str]) -> None:
        """What is searched."""
        self._emit({"event": "begun", "kind": kind, "scenario": title, "runtime": runtime, "wanted": list(wanted), "notes": list(notes)})

    def live(self, text: str) -> None:
        """Nothing."""

    def trial(self, trial: Trial) -> None:
        """As the result has it."""
        self._emit({"event": "trial", **json.loads(trial.model_dump_json())})

    def finished(self, result: SearchResult, files: Sequence[Path]) -> None:
        """All of it."""
        self._emit({"event": "result", "files": [str(path) for path in files], "result": json.loads(result.model_dump_json())})

    def close(self) -> None:
        """Nothing."""

    def _emit(self, document: dict[str, Any]) -> None:
        self._out.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._out.flush()


def chart_lines(result: SearchResult) -> list[Line]:
    """p95 by rate; backlog over time; drifts."""
    lines: list[Line] = []
    if result.kind == "capacity" and len(result.trials) > 1:
        lines += _by_rate(result)
    if result.recovery is not None and result.recovery.moments:
        lines += _over_time(result.recovery)
    if result.drifts:
        lines += _drifts(result)
    return lines


def _by_rate(result: SearchResult) -> list[Line]:
    """A bar per trial, on a logarithmic scale."""
    shown = sorted(result.trials, key=lambda trial: (trial.rate, trial.number))
    finite = [trial.p95 for trial in shown if trial.p95]
    low, high = (min(finite), max(finite)) if finite else (1.0, 1.0)
    span = math.log(high / low) or 1.0
    lines: list[Line] = [[], [("bold", "  rate        p95 end to end")]]
    for trial in shown:
        share = 1.0 if not trial.p95 else math.log(trial.p95 / low) / span
        bar = "█" * max(1, round(share * _BAR)) if trial.calls else ""
        style = _STYLES[trial.outcome]
        lines.append(
            [
                ("", f"  {rate(trial.rate):>8}  "),
                (style, f"{_SIGNS[trial.outcome]} {bar}"),
                ("dim", f" {seconds(trial.p95)}" if trial.calls else ""),
            ]
        )
    return lines


def _over_time(found: Recovery) -> list[Line]:
    rows: list[tuple[str, list[float], str]] = [
        ("rate", [moment.rate for moment in found.moments], rate(max(moment.rate for moment in found.moments))),
        ("backlog", [float(moment.backlog) for moment in found.moments], f"{found.backlog_peak:,}"),
        ("p95", _latencies(found.moments), seconds(_slowest(found.moments))),
    ]
    last = found.moments[-1].at + 1
    lines: list[Line] = [[], [("bold", f"  0 to {last:.0f} s"), ("dim", f"  overload until {found.dropped_at:.0f} s")]]
    return [*lines, *([("", f"  {name:<9}"), ("data", _spark(values)), ("dim", f"  at most {most}")] for name, values, most in rows)]


def _slowest(moments: Sequence[Moment]) -> float | None:
    values = [moment.p95 for moment in moments if moment.rate]
    return None if not values or any(value is None for value in values) else max(value for value in values if value is not None)


def _latencies(moments: Sequence[Moment]) -> list[float]:
    """One that is infinite is drawn as high as the highest."""
    most = max((moment.p95 for moment in moments if moment.p95 is not None), default=0.0)
    return [0.0 if not moment.rate else most if moment.p95 is None else moment.p95 for moment in moments]


def _spark(values: Sequence[float]) -> str:
    """The highest of each column."""
    width = max(1, math.ceil(len(values) / _COLUMNS))
    columns = [max(values[start : start + width]) for start in range(0, len(values), width)]
    most = max(columns, default=0.0) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int(value / most * len(_BARS)))] for value in columns)


def _drifts(result: SearchResult) -> list[Line]:
    lines: list[Line] = [[], [("dim", f"  {'':<24}{'level':>10}{'per hour':>14}  {'99 % interval':<24}")]]
    for found in result.drifts:
        level, slope, interval = drift_figures(found)
        lines.append(
            [("", f"  {printable(found.name):<24}{level:>10}{slope:>14}  {interval:<24}  "), (_TRENDS[found.outcome], found.outcome)]
        )
        if found.why:
            lines += [[("dim", text)] for text in wrapped(found.why, first=" " * 6, indent=6)]
    return lines


def result_lines(result: SearchResult, notes: Sequence[str], files: Sequence[Path]) -> list[Line]:
    """What a reader must know and was not told yet, and what it comes down to."""
    lines: list[Line] = []
    for note in notes:
        lines += [[("open", text)] for text in wrapped(printable(note), first="  ! ", indent=4)]
    style, sign = {0: ("pass", "✓"), 1: ("failbold", "✕")}.get(result.exit_code, ("open", "?"))
    state = f"{sign} {state_of(result)}"
    first, *rest = wrapped(printable(f"{result.headline}   exit {result.exit_code}"), first=" " * (len(state) + 2), indent=2)
    lines = [[], *lines, [], [(style, state), ("", first[len(state) :])], *([("", line)] for line in rest)]
    return lines + [[("dim", "  Report  "), ("", printable(str(path)))] for path in files if path.suffix == ".html"]
