"""What a gate says while it runs: a line per cell, then what was left out, what is slower, notes, and the verdict. Or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from harness.gate.compare import shown
from harness.model.gate import GateCell, GateResult
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.reporting.ink import Ink, Line, wrapped
from harness.reporting.live_line import LiveLine
from harness.reporting.outline import SIGNS, STYLES
from harness.reporting.words import counted, plural, printable

__all__ = ["GateConsole", "GateJson", "Telling", "verdict_words"]

_TEXT = 18


class Telling(Protocol):
    """Who is told what happens in a gate."""

    def begun(self, head: str) -> None:
        """What is going to run, and where."""

    def live(self, text: str) -> None:
        """What is going on this moment."""

    def cell(self, cell: GateCell) -> None:
        """It ran; also again, when a repetition of it ended otherwise."""

    def note(self, text: str) -> None:
        """Something that a reader must know."""

    def finished(self, result: GateResult, files: Sequence[Path]) -> None:
        """The verdict is known and the reports are written."""

    def close(self) -> None:
        """Nothing more will come, whatever happened; also twice."""


class GateJson:
    """For programs: one object per line with ``event``: begun, cell, note or result."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out

    def begun(self, head: str) -> None:
        """``{"event": "begun", "text": …}``."""
        self._emit({"event": "begun", "text": head})

    def live(self, text: str) -> None:
        """Nothing: programs have no use for it."""

    def cell(self, cell: GateCell) -> None:
        """``{"event": "cell", "cell": {…}}``, as in `gate.json`."""
        self._emit({"event": "cell", "cell": cell.model_dump(mode="json")})

    def note(self, text: str) -> None:
        """``{"event": "note", "text": …}``."""
        self._emit({"event": "note", "text": text})

    def finished(self, result: GateResult, files: Sequence[Path]) -> None:
        """``{"event": "result", "files": […], "result": {…}}``: the content of `gate.json`."""
        self._emit({"event": "result", "files": [str(file) for file in files], "result": result.model_dump(mode="json")})

    def close(self) -> None:
        """Nothing is open."""

    def _emit(self, document: dict[str, Any]) -> None:
        self._out.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._out.flush()


class GateConsole:
    """For people; plain where piped or NO_COLOR, ASCII where needed."""

    def __init__(self, out: TextIO | None = None) -> None:
        out = sys.stdout if out is None else out
        self._ink = Ink(out)
        self._live = LiveLine(out, self._ink)

    def begun(self, head: str) -> None:
        """The first lines."""
        self._write([[("bold", "gate"), ("", f"  {head}")], []])

    def live(self, text: str) -> None:
        """One line that moves, on a terminal only."""
        self._live.show(text)

    def cell(self, cell: GateCell) -> None:
        """``  ✓ pass          6.2 s  scenarios/pay.yaml``, and below it why it is no pass."""
        self._write(_cell_lines(cell))

    def note(self, text: str) -> None:
        """Dim."""
        self._write([[("dim", line)] for line in wrapped(printable(text), first="  ", indent=4)])

    def finished(self, result: GateResult, files: Sequence[Path]) -> None:
        """The rest."""
        self._write(_last_lines(result, files))

    def close(self) -> None:
        """Take the live line away."""
        self._live.stop()

    def _write(self, lines: Sequence[Line]) -> None:
        self.close()
        self._ink.write(lines)


def _cell_lines(cell: GateCell) -> list[Line]:
    word = "FAIL" if cell.verdict is Verdict.FAIL else cell.verdict.value
    lead = f"  {SIGNS[cell.verdict]} {word}".ljust(_TEXT)
    lines: list[Line] = [[(STYLES[cell.verdict], lead), ("", f"{format_duration(cell.took):>9}  {printable(cell.key)}")]]
    if cell.verdict is Verdict.PASS:
        return lines
    before = f" (the baseline has: {cell.before})" if cell.before is not None else ""
    told = [f"{cell.summary}{before}"]
    places = dict.fromkeys(f"{f.file}:{f.line}" if f.line is not None else f.file for f in cell.findings if f.file)
    told += [f"{' '.join(cell.words)}  {', '.join(places)}".strip()] if cell.words else []
    lines += [[("", text)] for line in told for text in wrapped(printable(line), first=" " * _TEXT, indent=_TEXT + 2)]
    return lines + ([[("bold", f"{'':<{_TEXT}}Reproduce  "), ("data", cell.replay)]] if cell.replay else [])


def _last_lines(result: GateResult, files: Sequence[Path]) -> list[Line]:
    blocks = [_left_out(result), _performance(result)]
    lines: list[Line] = []
    for block in blocks:
        lines += [[], *block] if block else []
    if files:
        lines += [[], [("bold", "  Reports    "), ("data", str(files[0].parent))]]
    rest = f"  {verdict_words(result)}   {format_duration(result.took)}   exit {result.exit_code}"
    return [*lines, [], [(STYLES[result.verdict], f"{SIGNS[result.verdict]} {_state(result)}"), ("", rest)]]


def _left_out(result: GateResult) -> list[Line]:
    if not result.left_out:
        return []
    lines: list[Line] = [[("open", f"  Left out, so not judged: {plural(len(result.left_out), 'cell')}")]]
    for one in result.left_out:
        lines += [[("", text)] for text in wrapped(printable(f"{one.key}: {one.why}"), first="  - ", indent=4)]
    return lines


def _performance(result: GateResult) -> list[Line]:
    lines: list[Line] = []
    for outcome, style in (("regression", "failbold"), ("suspected", "open"), ("better", "pass")):
        for cell in result.cells:
            found = [one for one in cell.comparisons if one.outcome == outcome]
            if found:
                lines.append([(style, f"  {outcome:<14}"), ("", printable(cell.key))])
                reasons = [one.why for one in found] if outcome == "suspected" else []
                told = [*map(shown, found), *dict.fromkeys(reasons)]  # the same reason once; a regression's is in its figures
                lines += [[("", text)] for line in told for text in wrapped(printable(line), first=" " * 16, indent=18)]
    return lines


def _state(result: GateResult) -> str:
    if result.exit_code > 128 and result.verdict is not Verdict.FAIL:
        return "INTERRUPTED"
    return "REFUSED" if result.exit_code == 2 else result.verdict.value.upper()


def verdict_words(result: GateResult) -> str:
    """``10 passed, 1 failed, 2 left out, 1 regression``."""
    parts = [counted(cell.verdict for cell in result.cells) or "nothing ran"]
    parts += [f"{len(result.left_out)} left out"] if result.left_out else []
    outcomes = [one.outcome for cell in result.cells for one in cell.comparisons]
    parts += [plural(outcomes.count("regression"), "regression")] if "regression" in outcomes else []
    parts += [f"{outcomes.count('suspected')} suspected"] if "suspected" in outcomes else []
    return ", ".join(parts)
