"""A comparison as lines for a terminal: the two sides, a table of ratios, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from harness.model.comparing import Comparison, Row
from harness.reporting.compare_words import basis, figure, interval, name_of, outcome_of, part_of, side_text, summary, times
from harness.reporting.ink import WIDTH, Line, wrapped
from harness.reporting.words import plural, printable, shortened

__all__ = ["comparison_lines"]

_NAME, _FIGURE, _RATIO, _INTERVAL = 23, 11, 8, 15
_STYLES = {"worse": "fail", "better": "pass", "open": ""}
_STATES = {0: ("pass", "✓ COMPARED"), 1: ("failbold", "✕ REGRESSION"), 4: ("open", "? INCONCLUSIVE")}


def comparison_lines(comparison: Comparison, files: Sequence[Path]) -> list[Line]:
    """All of it, of tasks and phases only p95 and means; the rest is in the files."""
    lines: list[Line] = [[("bold", printable(comparison.scenario)), ("", f"  {comparison.runtime}  B against A")]]
    for side in comparison.sides:
        lines += [[("", text)] for text in wrapped(printable(side_text(side)), first=f"  {side.label}  ", indent=5)]
    if comparison.rows:
        lines += [[], _head()]
    for part, rows in groupby(comparison.rows, key=part_of):
        whole = part == "the whole load"
        lines += [] if whole else [[("bold", f"  {shortened(printable(part), WIDTH - 2)}")]]
        lines += [_row(row) for row in rows if whole or row.statistic in ("p95", "mean")]
    for note in comparison.notes:
        lines += [[("open", text)] for text in ["", *wrapped(printable(note), first="  ! ", indent=4)][1:]]
    if comparison.rows:
        lines += [[], *([("dim", text)] for text in wrapped(basis(comparison), first="  ", indent=2))]
    return [*lines, [], *_last(comparison, files)]


def _head() -> Line:
    share = "interval"
    return [("dim", f"  {'':<{_NAME}}{'A':>{_FIGURE}}{'B':>{_FIGURE}}{'B/A':>{_RATIO}}  {share:<{_INTERVAL}}")]


def _row(row: Row) -> Line:
    a, b = figure(row.before, row, "A"), figure(row.after, row, "B")
    left = f"  {name_of(row):<{_NAME}}{a:>{_FIGURE}}{b:>{_FIGURE}}"
    if row.ratio is None and not interval(row):
        return [("", left), ("dim", f"  {shortened(row.why, WIDTH - len(left) - 2)}")]
    end = outcome_of(row) or ("" if interval(row) else shortened(row.why, WIDTH - len(left) - _RATIO - 4))
    ratio, between = times(row.ratio), interval(row)
    if not between:
        return [("", f"{left}{ratio:>{_RATIO}}"), ("dim", f"  {end}")]
    return [("", f"{left}{ratio:>{_RATIO}}  {between:<{_INTERVAL}}"), (_STYLES[row.outcome], end)]


def _last(comparison: Comparison, files: Sequence[Path]) -> list[Line]:
    style, state = _STATES.get(comparison.exit_code, ("open", "! INTERRUPTED"))
    text = summary(comparison)
    if comparison.failure is not None:
        count, limit = len(comparison.failure.rows), f"{comparison.failure.tolerance * 100:g} %"
        text += f" {plural(count, 'figure is', 'figures are') if count else 'None is'} worse by more than {limit}."
        doubtful = [comparison.rows[index] for index in comparison.failure.undecided]
        if doubtful:
            text += f" Worse, but by no ratio: {', '.join(f'{name_of(row)} ({row.why})' for row in doubtful)}."
    first, *rest = wrapped(f"{text}   exit {comparison.exit_code}", first=" " * (len(state) + 2), indent=2)
    lines: list[Line] = [[(style, state), ("", first[len(state) :])], *([("", line)] for line in rest)]
    return lines + [[("dim", "  Report  "), ("", printable(str(path)))] for path in files if path.suffix == ".html"]
