"""The result as lines for a terminal, in the order in which one reads: what ran, what it did, what broke, how to see it again."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from harness.model.finding import CheckResult, Finding, Story, WorldCell
from harness.model.quantities import format_duration
from harness.model.result import FaultResult, RunResult, Timing
from harness.model.verdict import Verdict
from harness.reporting.captions import fault_span
from harness.reporting.ink import WIDTH, Line, wrapped
from harness.reporting.lanes_text import story_lines
from harness.reporting.words import doubts, headline, number, place, printable, sentence, shortened, state_word, tally

__all__ = ["SIGNS", "STYLES", "check_lines", "fault_lines", "finding_lines", "last_lines", "phase_line", "spark_lines"]

STYLES = {Verdict.PASS: "pass", Verdict.FAIL: "failbold", Verdict.INCONCLUSIVE: "open", Verdict.ENVIRONMENT: "open"}
SIGNS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.INCONCLUSIVE: "?", Verdict.ENVIRONMENT: "!"}
_TEXT = 33
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 36


def phase_line(timing: Timing) -> list[Line]:
    """``  ready        1.3 s  Redis, …``."""
    name = shortened(printable(timing.name), 10)
    first, *rest = wrapped(printable(timing.text), first=" " * 22, indent=22)
    head: Line = [("", "  "), ("pass", name.ljust(10)), ("", f"{_short(timing.seconds):>8}  "), ("", first[22:])]
    return [head, *([("", text)] for text in rest)]


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 999.95 else format_duration(seconds)


def fault_lines(fault: FaultResult) -> list[Line]:
    """``     5.0 s    worker.kill        bit: …``."""
    at = f"{fault.begun:.1f} s" if fault.begun is not None else "never"
    word = {True: "bit: ", False: "did not bite: ", None: "unknown: "}[fault.bit]
    lead = f"{at:>10}    "
    name = shortened(printable(fault.name), 40)
    head = f"{lead}{name:<18} "
    first, *rest = wrapped(printable(word + fault.evidence), first=" " * len(head), indent=_TEXT)
    style = "" if fault.bit is True else "open"
    line: Line = [("bold", lead), ("", f"{name:<18} "), (style, first[len(head) :])]
    return [line, *([(style, text)] for text in rest)]


def spark_lines(result: RunResult) -> list[Line]:
    """The run in five rows of characters under a ruler of seconds, with a letter per fault; nothing without a series."""
    series = result.series
    if series is None or not series.finished:
        return []
    count = len(series.finished)
    group = max(1, -(-count // _COLUMNS))
    columns = -(-count // group)
    per = group * series.step
    known95 = [v for v in series.p95 if v is not None]
    again = [a + b + c for a, b, c in zip(series.retried, series.redelivered, series.duplicated, strict=True)]
    rows = [
        ("finished/s", series.finished, f"{number(round(max(series.finished), 1))} at most"),
        ("p95 latency", series.p95, f"at worst {format_duration(max(known95))}" if known95 else "no task ended"),
        ("queue", series.ready, f"{number(max(series.ready))} at most"),
        ("oldest", series.oldest, f"{format_duration(max(series.oldest))} at most"),
        ("run again", again, f"{number(sum(series.retried))} + {number(sum(series.redelivered))} + {number(sum(series.duplicated))}"),
    ]
    lines: list[Line] = [[("dim", "  seconds".ljust(17) + _ruler(columns, per, series.start))]]
    if result.faults:
        letters, legend = _letters(result.faults, columns, per, series.start)
        lines.append([("", "  faults".ljust(17)), ("bold", letters), ("dim", "  " + shortened(legend, WIDTH - 19 - columns))])
    for name, values, note in rows:
        lines.append([("", f"  {name}".ljust(17)), ("data", _spark(values, group, columns)), ("dim", "  " + note)])
    return lines


def _ruler(columns: int, per: float, start: float) -> str:
    unit = next((u for u in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600) if u / per >= 5), columns * per)
    text = ""
    tick = start
    while tick <= start + columns * per:
        text = text.ljust(round((tick - start) / per)) + f"{tick:g}"
        tick += unit
    return text[: columns + 4]


def _letters(faults: Sequence[FaultResult], columns: int, per: float, start: float) -> tuple[str, str]:
    row, legend = [" "] * columns, []
    free = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for fault in faults:
        span = fault_span(fault)
        word = printable(fault.name).rpartition(".")[2]
        letter = next((c for c in [*word.upper(), *free] if c in free), "#")
        if letter in free:
            free.remove(letter)
        legend.append(f"{letter} {word}" if word[:1].upper() != letter else word[:1].upper() + word[1:])
        if span is None:
            continue
        first = min(columns - 1, max(0, int((span[0] - start) / per)))
        last = min(columns, max(first + 1, int(-(-(span[1] - start) // per))))
        row[first:last] = letter * (last - first)
    return "".join(row), ", ".join(legend)


def _spark(values: Sequence[float | None], group: int, columns: int) -> str:
    grouped = [[v for v in values[i * group : (i + 1) * group] if v is not None] for i in range(columns)]
    peak = max((v for g in grouped for v in g), default=0.0)
    return "".join(" " if not g else _BLOCKS[round(max(g) / peak * 7) if peak > 0 else 0] for g in grouped)


def check_lines(check: CheckResult) -> list[Line]:
    """``  ✓ pass          no_loss        1,500 = …``, with the advice below."""
    word = check.verdict.value if check.verdict is not Verdict.FAIL else "FAIL"
    name = shortened(printable(check.name), 40)
    lead = f"  {SIGNS[check.verdict]} {word}".ljust(18)
    head = f"{lead}{name:<14} "
    first, *rest = wrapped(printable(check.summary), first=" " * len(head), indent=_TEXT)
    lines: list[Line] = [[(STYLES[check.verdict], lead), ("", f"{name:<14} "), ("", first[len(head) :])], *([("", text)] for text in rest)]
    if check.advice:
        lines += [[("dim", text)] for text in wrapped(printable(check.advice), first=" " * _TEXT, indent=_TEXT)]
    return lines


def finding_lines(finding: Finding, workers: list[str], told: Sequence[Finding] = ()) -> list[Line]:
    """Headline, sentence, story, source and world of one finding, and its fix. What was ``told`` already is not told again."""
    first, *rest = wrapped(printable(finding.headline), first=f"{finding.word}  ", indent=len(finding.word.value) + 2)
    lines: list[Line] = [[("failbold", text)] for text in (first, *rest)]
    if finding.sentence:
        lines += [[("", text)] for text in wrapped(printable(finding.sentence), first="  ", indent=2)]
    if finding.story and any(_same(finding.story, before.story) for before in told):
        lines += [[("dim", f"  The story is the one above{f', of call {finding.calls[0]}' if finding.calls else ''}.")]]
    else:
        lines += _drawn(finding, workers)
    if finding.fix and finding.fix not in {before.fix for before in told}:
        fix = wrapped(printable(finding.fix), first=" " * 7, indent=7)
        lines += [[("bold", "  Fix  "), ("", fix[0][7:])], *([("", text)] for text in fix[1:])]
    return lines


def _same(one: Story, other: Story | None) -> bool:
    """But for its title, which is its finding's headline."""
    return other is not None and one.model_copy(update={"title": other.title}) == other


def _drawn(finding: Finding, workers: list[str]) -> list[Line]:
    drawn, source = story_lines(finding, workers), _source_lines(finding) if place(finding) else []
    world = [line for cell in (finding.story.world if finding.story else ()) for line in _world_lines(cell)]
    lines = [line for block in (drawn, source) if block for line in ([], *block)]
    return [*lines, *([] if source or not drawn else [[]]), *world]


def _world_lines(world: WorldCell) -> list[Line]:
    style = "failbold" if world.wrong else ""
    before, after = f"  {world.name}: before {world.before}, after ", f", expected {world.expected}"
    if len(before + world.after + after) <= WIDTH:
        return [[("", before), (style, world.after), ("", after)]]
    return [[(style, text)] for text in wrapped(printable((before + world.after + after).strip()), first="  ", indent=4)]


def _source_lines(finding: Finding) -> list[Line]:
    lines: list[Line] = [[("bold", f"  {place(finding)}")]]
    story = finding.story
    if story is None or story.line is None:
        return lines
    for source in story.source:
        if not -2 <= source.number - story.line <= 1:
            continue
        hot = source.number == story.line
        code = shortened(printable(source.code), WIDTH - 12)
        lines.append([("failbold" if hot else "dim", f"  {'✕' if hot else ' '} {source.number:>4} "), ("" if hot else "dim", f"│ {code}")])
    return lines


def _paragraphs(reason: str) -> list[str]:
    """The first line is ours; further ones are a log's or a traceback's, and stay as they were written, however long."""
    first, _, rest = reason.partition("\n")
    written = (" " * 4 + line.rstrip() for line in textwrap.dedent(rest).splitlines() if line.strip())
    return [*wrapped(first, first="  ", indent=4), *written]


def last_lines(result: RunResult, folder: Path) -> list[Line]:
    """Why it is no pass, how to reproduce it, where the report is, and the verdict with the exit code."""
    lines: list[Line] = []
    if result.verdict is not Verdict.FAIL and result.verdict is not Verdict.PASS:
        lines += [[(STYLES[result.verdict], text)] for text in wrapped(printable(headline(result)))]
    reasons = [result.error] if result.error else []
    if result.verdict is not Verdict.PASS:
        reasons += doubts(result)
    for reason in reasons or ([sentence(result)] if result.verdict is Verdict.ENVIRONMENT else []):
        lines += [[("", text)] for text in _paragraphs(printable(reason))]
    lines += [[]] if lines else []
    if result.reproduce and result.verdict is not Verdict.PASS:
        lines.append([("bold", "  Reproduce  "), ("data", result.reproduce[0].command)])
    lines += [[("bold", "  Report     "), ("data", str(folder / "report.html"))], []]
    sign = SIGNS[result.verdict]
    overridden = f"   app settings overridden: {', '.join(result.overrides)}" if result.overrides else ""
    rest = f"  {tally(result.checks)}   {format_duration(result.took)}   exit {result.exit_code}"
    lines.append([(STYLES[result.verdict], f"{sign} {state_word(result)}"), ("", rest)])
    lines += [[("dim", text)] for text in wrapped(overridden.strip(), first="  ", indent=4)] if overridden else []
    return lines
