"""A story as lanes of characters: one row per event, at most a given number of rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.finding import Finding, Step
from harness.reporting.ink import WIDTH, Line
from harness.reporting.story_view import LaneView, fold_waits, guilty_kinds, lanes_of
from harness.reporting.words import printable, shortened

__all__ = ["story_lines"]

_LEFT = 15
_RIGHT_TEXT = 20
_CIRCLED = "①②③④⑤⑥⑦⑧⑨"


@dataclass(frozen=True, slots=True)
class _Grid:
    columns: dict[str, int]
    names: list[LaneView]
    step: int


def story_lines(finding: Finding, workers: list[str], *, rows: int = 24, width: int = WIDTH) -> list[Line]:
    """Header and events of the finding's story; empty without one. At most `rows` lines."""
    story = finding.story
    if story is None:
        return []
    grid = _grid(lanes_of(story, workers), width)
    steps = _fitting([s for s in fold_waits(story.steps) if not (s.kind == "publish" and s.lane == "caller")], rows - 1)
    red = guilty_kinds(finding)
    counts: dict[str, int] = {}
    lines = [_header(story.title if len(story.title) <= 12 else _subject(finding), grid)]
    for step in steps:
        lines.extend(_row(step, grid, counts, red, width))
    return lines[:rows]


def _subject(finding: Finding) -> str:
    return f"call {finding.calls[0]}" if finding.calls else "one task"


def _grid(lanes: list[LaneView], width: int) -> _Grid:
    shown = [lane for lane in lanes if lane.kind != "caller"]
    room = width - _LEFT - _RIGHT_TEXT
    step = max(6, min(12, room // max(1, len(shown) - 1))) if len(shown) > 1 else 11
    return _Grid({lane.name: _LEFT + i * step for i, lane in enumerate(shown)}, shown, step)


def _header(title: str, grid: _Grid) -> Line:
    text = " " * _LEFT
    for lane in grid.names:
        text = text[: grid.columns[lane.name]].ljust(grid.columns[lane.name]) + shortened(printable(lane.name), grid.step - 1)
    return [("bold", f"  {shortened(printable(title), 12)}".ljust(_LEFT)), ("", text[_LEFT:])]


def _fitting(steps: list[Step], rows: int) -> list[Step]:
    """Leave out what tells least until the rest fits: first what the next row tells as well, all of it; then from the middle, and no more
    than must go. How a task ended goes last, a wait never first.
    """
    for kind in ("start", "publish"):
        if len(steps) > rows:
            steps = [s for s in steps if s.kind != kind]
    for kind in ("deliver", "end"):
        gone = _innermost([n for n, s in enumerate(steps) if s.kind == kind], len(steps) - rows)
        steps = [s for n, s in enumerate(steps) if n not in gone]
    if len(steps) <= rows:
        return steps
    half = rows // 2
    left_out = len(steps) - rows + 1
    note = Step(at=steps[half].at, kind="wait", lane="broker", text=f"{left_out} more events")
    return [*steps[:half], note, *steps[len(steps) - (rows - half - 1) :]]


def _innermost(numbers: list[int], count: int) -> set[int]:
    """So many of them, around the one in the middle."""
    count = max(0, min(count, len(numbers)))
    first = (len(numbers) - count) // 2
    return set(numbers[first : first + count])


def _row(step: Step, grid: _Grid, counts: dict[str, int], red: set[str], width: int) -> list[Line]:
    bad = step.kind in red
    text = printable(step.text)
    lane, to = grid.columns.get(step.lane), grid.columns.get(step.to)
    clock = " " * 10 if step.kind == "wait" else f"{step.at:10.3f}"
    if step.kind == "wait":
        picture, column = "┊", grid.columns.get("broker", _LEFT)
    elif step.kind.startswith("effect"):
        target = step.to if to is not None else step.lane
        counts[target] = counts.get(target, 0) + 1
        text = f"{_CIRCLED[min(counts[target], 9) - 1]} {text}"
        picture, column = _drawn(lane, to, step.kind)
    else:
        picture, column = _drawn(lane, to, step.kind)
    if step.kind == "deliver":
        text = step.note
    body = clock.ljust(column) + picture
    style = "failbold" if bad else "dim" if step.kind == "wait" else "bold" if step.kind in ("crash", "fault") else ""
    space = width - len(body) - 1
    if step.note and step.kind != "deliver" and len(text) + len(step.note) + 2 <= space:
        text = f"{text}, {printable(step.note)}"
    return [[("dim" if step.kind == "wait" else "", body), ("", " "), (style, shortened(text, max(4, space)))]]


def _drawn(lane: int | None, to: int | None, kind: str) -> tuple[str, int]:
    """(picture, its column). An arrow from lane to lane, else the lane's own sign."""
    if lane is None and to is None:
        return "·", _LEFT
    if lane is None or to is None or lane == to:
        at = lane if lane is not None else to
        assert at is not None
        return {"crash": "✸", "fault": "✸", "lost": "✕", "held": "┊", "publish": "●"}.get(kind, "├"), at
    if to > lane:
        head, tail = ("●", "▶┐") if kind == "deliver" else ("├", "▶")
        return head + "─" * (to - lane - (2 if kind == "deliver" else 3)) + tail, lane
    return "◀" + "─" * (lane - to - 1) + ("┘" if kind in ("ack", "reject", "end") else "┤"), to
