"""Several runs on one screen: a row for each, then how many passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.model.verdict import EXIT_CODES, Verdict, combine
from harness.reporting.ink import WIDTH, Line, wrapped
from harness.reporting.outline import SIGNS, STYLES
from harness.reporting.words import counted, headline, lead_finding, plural, printable

__all__ = ["HEAD", "Row", "closing_lines", "exit_code_of", "row_lines", "row_of"]

_VERDICT, _SECONDS = 12, 11
_INDENT = 4 + _VERDICT + _SECONDS + 2
_FOUND = 6
#: Above the first row.
HEAD: Line = [("dim", f"    {'verdict':<{_VERDICT}}{'took':>{_SECONDS}}  scenario [cell], and what was found first")]


@dataclass(frozen=True, slots=True)
class Row:
    """One run. ``title``: scenario and cell; ``verdict`` None: what the scenario names was refused, so nothing ran.

    ``seconds`` None: it ended before a result. ``found``: the first finding, else why it is no pass; '' for a pass.
    """

    title: str
    verdict: Verdict | None
    seconds: float | None = None
    found: str = ""


def row_of(result: RunResult, title: str) -> Row:
    """The row of a run that has a result."""
    lead = lead_finding(result)
    found = f"{lead.word} {lead.headline}" if lead else "" if result.verdict is Verdict.PASS else headline(result)
    return Row(title, result.verdict, result.took, found)


def row_lines(row: Row, width: int = WIDTH) -> list[Line]:
    """``  ✕ FAIL            10.5 s  orders [broker=redis]``, and below it what was found."""
    word = "refused" if row.verdict is None else "FAIL" if row.verdict is Verdict.FAIL else row.verdict.value
    sign, style = ("!", "open") if row.verdict is None else (SIGNS[row.verdict], STYLES[row.verdict])
    took = "" if row.seconds is None else format_duration(row.seconds)
    first, *rest = _title(row.title, width)
    lines: list[Line] = [[(style, f"  {sign} {word:<{_VERDICT}}"), ("", f"{took:>{_SECONDS}}  {first}")]]
    found = wrapped(printable(row.found), first=" " * _FOUND, indent=_FOUND, width=width) if row.found else []
    return [*lines, *([("", " " * _INDENT + text)] for text in rest), *([("", text)] for text in found)]


def _title(title: str, width: int) -> list[str]:
    """On one line, or the cell below its scenario."""
    title, room = printable(title), width - _INDENT
    name, _, cell = title.partition(" [")
    return [title] if len(title) <= room or not cell else [name, *wrapped(f"[{cell}", width=room, indent=1)]


def exit_code_of(rows: Sequence[Row]) -> int:
    """Over all: a failure first, then what was refused, then as verdicts combine."""
    verdicts = [row.verdict for row in rows if row.verdict is not None]
    if len(verdicts) < len(rows) and Verdict.FAIL not in verdicts:
        return 2
    return EXIT_CODES[combine(verdicts)]


def closing_lines(rows: Sequence[Row], *, total: int, took: float, exit_code: int) -> list[Line]:
    """``✕ FAIL  20 runs: 18 passed, 2 failed   3 min 20 s   exit 1``. ``total``: how many were to run."""
    verdicts = [row.verdict for row in rows if row.verdict is not None]
    refused, missing = len(rows) - len(verdicts), total - len(rows)
    parts = [counted(verdicts), f"{refused} refused" if refused else "", f"{missing} not ended" if missing else ""]
    verdict = next((v for v, code in EXIT_CODES.items() if code == exit_code), Verdict.INCONCLUSIVE)
    state = "INTERRUPTED" if exit_code > 128 else "REFUSED" if exit_code == 2 else verdict.value.upper()
    sign = "!" if exit_code == 2 else SIGNS[verdict]
    words = f"{plural(total, 'run')}: {', '.join(filter(None, parts))}"
    return [[(STYLES[verdict], f"{sign} {state}"), ("", f"  {words}   {format_duration(took)}   exit {exit_code}")]]
