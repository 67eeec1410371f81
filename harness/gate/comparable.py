"""Whether two sides can be held against each other, and what a reader must know before he believes what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from harness.model.result import RunResult
from harness.model.verdict import Verdict

__all__ = ["left_out", "machine_of", "order_of_pairs", "refusal", "remarks"]


#: So many differing lines of a scenario are told.
_LINES = 3


def left_out(result: RunResult, *, anyway: bool = False) -> str:
    """Why a run does not count, in words; '' if it does. A failed check does not matter here: what was measured was measured.

    ``anyway``: one that measured its own generator counts, and `remarks` says so.
    """
    if result.interrupted:
        return f"it is partial: {result.interrupted}"
    if result.verdict is Verdict.ENVIRONMENT:
        return f"the environment failed: {result.error.partition(chr(10))[0]}" if result.error else "the environment failed"
    if result.generator is not None and result.generator.bottleneck and not anyway:
        return f"its generator was the bottleneck: {result.generator.bottleneck}"
    if result.tasks is None or not result.tasks.id:
        return "it has no tasks"
    return ""


def refusal(before: Sequence[RunResult], after: Sequence[RunResult]) -> str:
    """Why it makes no sense to compare these, in words; '' if it may."""
    names = [sorted({result.scenario for result in side}) for side in (before, after)]
    if names[0] != names[1] or len(names[0]) > 1:
        return f"A ran {' and '.join(names[0])}, B ran {' and '.join(names[1])}: runs of one scenario can be compared"
    for label, side in (("A", before), ("B", after)):
        if len({(result.plan, result.runtime) for result in side if result.plan}) > 1 and not _seeds_only(side):
            return f"the runs of {label} are not of one kind: their scenario or their runtime differs"
    return ""


def _seeds_only(side: Sequence[RunResult]) -> bool:
    """Whether they differ in nothing but their seeds."""
    if len({result.runtime for result in side}) > 1:
        return False
    return len({"\n".join(line for line in result.plan.splitlines() if not line.startswith("seed:")) for result in side}) == 1


def machine_of(result: RunResult) -> str:
    """What timings depend on, as far as the run wrote it down."""
    return result.environment.get("Machine", "")


def remarks(before: Sequence[RunResult], after: Sequence[RunResult], *, meant: bool = False) -> list[str]:
    """What differs, and what puts figures in doubt. ``meant``: how the scenario's text differs is known, since it was asked for."""
    found = [_differs("runtime", [{result.runtime for result in side} for side in (before, after)])]
    found.append(_differs("machine", [{machine_of(result) for result in side} for side in (before, after)]))
    for name in ("Celery", "Kombu", "Python"):
        found.append(_differs(name, [{result.environment.get(name, "") for result in side} for side in (before, after)]))
    found.append(
        _differs("broker", [{result.environment.get("Broker", "").partition(",")[0] for result in side} for side in (before, after)])
    )
    found.append(_load(before, after))
    found.append("" if meant else _texts(before[0].plan, after[0].plan))
    for label, side in (("A", before), ("B", after)):
        failed = sum(result.verdict is Verdict.FAIL for result in side)
        unsure = sum(result.verdict is Verdict.INCONCLUSIVE for result in side)
        doubted = sum(result.little is not None and result.little.holds is False for result in side)
        itself = sum(result.generator is not None and bool(result.generator.bottleneck) for result in side)
        closed = any(result.generator is not None and result.generator.kind == "locust" for result in side)
        of = f" of {len(side)}" if len(side) > 1 else ""
        found.append(f"{_of(label, failed, of)} failed a check: {side[0].findings[0].headline}" if failed and side[0].findings else "")
        found.append(f"{_of(label, failed, of)} failed a check" if failed and not side[0].findings else "")
        found.append(f"{_of(label, unsure, of)} is inconclusive" if unsure else "")
        found.append(f"latencies of {_of(label, doubted, of)} are in doubt: Little's law does not hold there" if doubted else "")
        found.append(f"{_of(label, itself, of)} measured its own generator, which was the bottleneck" if itself else "")
        found.append(
            f"{label}'s calls waited for answers (Locust): what a stall kept from being sent is not in its latencies" if closed else ""
        )
    return [text for text in found if text]


def _of(label: str, number: int, of: str) -> str:
    return f"{number}{of} runs of {label}" if of else label


def _differs(what: str, sides: Sequence[set[str]]) -> str:
    one, other = (" and ".join(sorted(side)) for side in sides)
    return f"another {what}: A {one or 'unknown'}, B {other or 'unknown'}" if one != other else ""


def _texts(before: str, after: str) -> str:
    """Lines of the scenario that one side alone has."""
    sides = [[line.strip() for line in plan.splitlines() if not line.startswith("seed:")] for plan in (before, after)]
    alone = [[line for line in side if line not in other] for side, other in (sides, sides[::-1])]
    if not any(alone):
        return ""
    told = [", ".join(lines[:_LINES]) + (", …" if len(lines) > _LINES else "") if lines else "nothing more" for lines in alone]
    return f"another text of the scenario: A has {told[0]}; B has {told[1]}"


def _load(before: Sequence[RunResult], after: Sequence[RunResult]) -> str:
    """Other calls: another rate, another length."""
    calls = [sum(result.calls for result in side) / len(side) for side in (before, after)]
    if max(calls) > 1.02 * min(calls):
        return f"another load: {calls[0]:,.0f} calls in a run of A, {calls[1]:,.0f} in one of B"
    return ""


def order_of_pairs(before: Sequence[RunResult], after: Sequence[RunResult]) -> list[tuple[int, int]]:
    """Runs made in turn: (index in A, index in B) by when they began; [] if they were not, or if that cannot be told."""
    if len(before) != len(after) or len(before) < 2:
        return []
    try:
        runs = [
            (datetime.fromisoformat(r.started.replace("Z", "+00:00")), s, i)
            for s, side in enumerate((before, after))
            for i, r in enumerate(side)
        ]
    except ValueError:
        return []
    runs.sort()
    if len({began for began, _, _ in runs}) < len(runs):
        return []
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    if any(one[1] == other[1] for one, other in pairs):
        return []
    return [(one[2], other[2]) if one[1] == 0 else (other[2], one[2]) for one, other in pairs]
