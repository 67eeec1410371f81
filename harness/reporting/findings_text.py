"""What failing checks found, for a terminal: each kind is told once, with the story of one offender."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.finding import Finding
from harness.reporting.ink import Line, wrapped
from harness.reporting.outline import finding_lines
from harness.reporting.words import place, plural, printable

__all__ = ["told_lines"]

#: Kinds that are told with a story, and further findings of one kind that are named; all are in the report.
_TOLD = 3
_NAMED = 3


def told_lines(findings: Sequence[Finding], workers: list[str]) -> list[Line]:
    """Findings with a story first. Of those of one kind (word, cause and task) one is told, the others are named below it."""
    kinds: dict[tuple[str, ...], list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: f.story is None):
        kinds.setdefault(_kind(finding), []).append(finding)
    lines: list[Line] = []
    told: list[Finding] = []
    for first, *more in list(kinds.values())[:_TOLD]:
        lines += [[]] if lines else []
        lines += finding_lines(first, workers, told)
        lines += _named(more)
        told.append(first)
    left = sum(len(members) for members in list(kinds.values())[_TOLD:])
    return lines + ([[], [("dim", f"  and {plural(left, 'more finding')}, in the report")]] if left else [])


def _kind(finding: Finding) -> tuple[str, ...]:
    """What has no cause is a kind of its own."""
    return (finding.word.value, finding.cause or f"{finding.headline} {place(finding)}", finding.task)


def _named(more: Sequence[Finding]) -> list[Line]:
    if not more:
        return []
    shown = [f"{f.headline} {place(f)}".strip() for f in more[:_NAMED]]
    shown += [f"{plural(len(more) - _NAMED, 'further one')}, in the report"] if len(more) > _NAMED else []
    head = f"and {len(more)} more of this kind: "
    if len(shown) == 1:
        return [[], *([("", text)] for text in wrapped(printable(head + shown[0]), first="  ", indent=4))]
    return [[], [("", "  " + head.rstrip())], *([("", text)] for one in shown for text in wrapped(printable(one), first="  - ", indent=4))]
