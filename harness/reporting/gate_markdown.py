"""`gate.md`: a gate for the page of a CI job, in blocks that are whole by themselves; the verdict comes first, what passed last, folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from harness.model.gate import Comparison, GateCell, GateResult, Measure
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.reporting.gate_places import Places
from harness.reporting.gate_words import SIGNS, cells_by_kind, gate_headline, gate_state
from harness.reporting.markup import code_span, escaped, table
from harness.reporting.words import exit_meaning, number, plural, shortened

__all__ = ["gate_blocks", "gate_markdown_text"]

_ROWS = 100  # of one table: a reader of a job's page wants the first ones, a program reads gate.json
_LONGEST = 500
_STRIP = 60
_CHART = 25
#: How far the chart of ratios reaches to either side of 1; the first that holds all intervals.
_REACHES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)


def gate_markdown_text(result: GateResult, places: Places) -> str:
    """The whole document."""
    return "\n\n".join(gate_blocks(result, places)) + "\n"


def gate_blocks(result: GateResult, places: Places) -> list[str]:
    """The document's blocks in order: each is complete Markdown, so that a page with little room can take the first ones."""
    kinds = cells_by_kind(result)
    shard = f" (shard {result.shard.index} of {result.shard.count})" if result.shard else ""
    blocks = [f"# {gate_state(result)}: reliability gate{shard}", _strip(result, kinds), f"**{escaped(gate_headline(result))}**"]
    blocks += _failed(kinds["failed"], places)
    blocks += _unjudged(kinds["refused"], "Refused", "The scenario, or what it names in the app, is wrong. Nothing was judged.")
    blocks += _compared(
        result.cells, "regression", "Slower than the baseline", "Both commits ran in turn on this machine; 1× is the baseline."
    )
    blocks += _unjudged(kinds["not judged"], "The environment failed", "The machine failed, not the tasks: nothing is said about them.")
    blocks += _unjudged(kinds["inconclusive"], "Inconclusive", "Too little evidence for a verdict. No evidence is not a pass.")
    blocks += _compared(result.cells, "suspected", "Perhaps slower", "Worse than the baseline's samples, and not decided.")
    blocks += _left_out(result)
    if result.notes:
        blocks.append("## Notes\n\n" + "\n".join(f"- {_text(note)}" for note in result.notes))
    return [*blocks, _facts(result), *_passed(kinds["passed"])]


def _strip(result: GateResult, kinds: dict[str, list[GateCell]]) -> str:
    """A sign per cell (or share of cells) and their numbers: the gate at a glance."""
    counts = {kind: len(cells) for kind, cells in kinds.items()} | {"left out": len(result.left_out)}
    total = sum(counts.values())
    if not total:
        return "no cell"
    scale = min(1.0, _STRIP / total)
    signs = "".join(SIGNS[kind] * max(1, round(count * scale)) for kind, count in counts.items() if count)
    return f"`{signs}` " + ", ".join(f"{SIGNS[kind]} {number(count)} {kind}" for kind, count in counts.items() if count)


def _failed(cells: Sequence[GateCell], places: Places) -> list[str]:
    count = sum(max(1, len(cell.findings)) for cell in cells)
    rows = list(islice((row for cell in cells for row in _failed_rows(cell, places)), _ROWS))
    return [_section("Failed", "", ["Cell", "Finding", "Where", "Repeat"], rows, count)] if rows else []


def _failed_rows(cell: GateCell, places: Places) -> Iterator[list[str]]:
    known = {Verdict.PASS: "new: passed in the baseline", Verdict.FAIL: "failed in the baseline too", None: ""}
    since = known.get(cell.before, f"{cell.before} in the baseline")
    name, again = _code(cell.title) + (f"<br>{since}" if since else ""), _code(cell.replay)
    if not cell.findings:
        yield [name, f"**FAIL** {_text(cell.summary)}", _where(cell.file, cell.line, places), again]
    for finding in cell.findings:
        fix = f"**Fix** {_text(finding.fix)}" if finding.fix else ""
        told = [f"**{finding.word}** {_text(finding.headline)}", _text(finding.sentence), fix]
        yield [name, "<br>".join(filter(None, told)), _where(finding.file, finding.line, places), again]
        name = again = "″"


def _where(file: str, line: int | None, places: Places) -> str:
    """The line as the user names it; a link where the CI shows the commit's files."""
    shown = _code(file if line is None or not file else f"{file}:{line}")
    found = places.find(file, line)
    url = places.url(found) if found else ""
    return f"[{shown}]({url})" if url and shown else shown


def _compared(cells: Sequence[GateCell], outcome: str, title: str, lead: str) -> list[str]:
    """Comparisons with this outcome, each with its interval drawn on one common scale."""
    found = [(cell, c) for cell in cells for c in cell.comparisons if c.outcome == outcome]
    if not found:
        return []
    reach = _reach([c for _, c in found])
    rows = [
        [_code(cell.title), c.measure, _figure(c.measure, c.before), _figure(c.measure, c.after), _ratio(c), _chart(c, reach), _text(c.why)]
        for cell, c in found
    ]
    return [_section(title, lead, ["Cell", "Measure", "Before", "Now", "Ratio", f"{1 / reach:.2g}× … 1 … {reach:g}×", "Why"], rows)]


def _reach(comparisons: Sequence[Comparison]) -> float:
    ratios = [abs(math.log(r)) for c in comparisons for r in (c.ratio, c.low, c.high) if r is not None and _usable(r)]
    return next((reach for reach in _REACHES if math.log(reach) >= max(ratios, default=0.0)), _REACHES[-1])


def _usable(ratio: float) -> bool:
    return 0 < ratio < math.inf


def _chart(comparison: Comparison, reach: float) -> str:
    """``·······│···├──●──┤···``: the ratio and its interval on a logarithmic scale with 1 in the middle."""

    def column(ratio: float) -> int:
        share = (math.log(ratio) / math.log(reach) + 1) / 2
        return min(_CHART - 1, max(0, round(share * (_CHART - 1))))

    if comparison.ratio is None or not _usable(comparison.ratio):
        return ""
    cells = ["·"] * _CHART
    low, high = comparison.low, comparison.high
    if low is not None and high is not None and _usable(low) and _usable(high):
        for index in range(column(low), column(high) + 1):
            cells[index] = "─"
        cells[column(low)], cells[column(high)] = "├", "┤"
    cells[_CHART // 2] = "│"
    cells[column(comparison.ratio)] = "●"
    return f"`{''.join(cells)}`"


def _ratio(comparison: Comparison) -> str:
    if comparison.ratio is None:
        return ""
    text = f"**{comparison.ratio:.2f}×**"
    if comparison.low is not None and comparison.high is not None:
        level = f"{comparison.confidence:.0%}: " if comparison.confidence is not None else ""
        text += f" ({level}{comparison.low:.2f} to {comparison.high:.2f}, {plural(comparison.pairs, 'pair')})"
    return text


def _figure(measure: Measure, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{number(round(value, 1))}/s" if measure == "throughput" else format_duration(value)


def _unjudged(cells: Sequence[GateCell], title: str, lead: str) -> list[str]:
    rows = []
    for cell in cells:
        told = [_text(cell.summary), *(f"**{f.word}** {_text(f.headline)}" for f in cell.findings)]
        rows.append([_code(cell.title), "<br>".join(filter(None, told)), _code(cell.replay)])
    return [_section(title, lead, ["Cell", "Why", "Repeat"], rows)] if rows else []


def _left_out(result: GateResult) -> list[str]:
    rows = [[_code(left.title), f"about {format_duration(left.estimate)}", _text(left.why)] for left in result.left_out]
    return [_section("Left out", "These did not run, so they have no verdict.", ["Cell", "Takes", "Why"], rows)] if rows else []


def _passed(cells: Sequence[GateCell]) -> list[str]:
    if not cells:
        return []
    rows = []
    for cell in cells:
        compared = ", ".join(f"{c.measure} {_short(c)}" for c in cell.comparisons if c.outcome in ("same", "better"))
        since = "" if cell.before in (None, Verdict.PASS) else f"was {cell.before}"
        p95, rate = _figure("p95", cell.measures.p95), _figure("throughput", cell.measures.throughput)
        rows.append([_code(cell.title), format_duration(cell.took), p95, rate, ", ".join(filter(None, (since, compared)))])
    inner = _rows(["Cell", "Took", "p95", "Finished", "Against the baseline"], rows)
    return [f"<details><summary>✓ {number(len(cells))} passed</summary>\n\n{inner}\n\n</details>"]


def _short(comparison: Comparison) -> str:
    return f"{comparison.outcome} ({comparison.ratio:.2f}×)" if comparison.ratio is not None else comparison.outcome


def _facts(result: GateResult) -> str:
    facts = [
        f"commit {_code(result.commit[:12])}" if result.commit else "no commit",
        f"baseline {_code(result.baseline[:12])}" if result.baseline else "no baseline",
        _text(result.runtime),
        _text(result.machine),
        _text(result.started),
        f"took {format_duration(result.took)} of {format_duration(result.budget)}",
        f"exit {result.exit_code} ({exit_meaning(result.exit_code)})",
    ]
    return "; ".join(filter(None, facts)) + "."


def _section(title: str, lead: str, header: Sequence[str], rows: Sequence[Sequence[str]], count: int = 0) -> str:
    return "\n\n".join(filter(None, (f"## {title}", lead, _rows(header, rows, count))))


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]], count: int = 0) -> str:
    """A table of the first rows, and how many of ``count`` (default: of those given) there are besides."""
    more = max(count, len(rows)) - _ROWS
    text = table(header, rows[:_ROWS])
    return f"{text}\n\n… and {number(more)} more, in `gate.json`." if more > 0 else text


def _cut(render: Callable[[str], str], text: str) -> str:
    return render(shortened(" ".join(text.split()), _LONGEST))


def _text(text: str) -> str:
    return _cut(escaped, text)


def _code(text: str) -> str:
    return _cut(code_span, text) if text.strip() else ""
