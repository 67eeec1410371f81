"""Unfinished calls over time: do they pile up, and when are they gone again? Pure functions of when calls were due and when they ended."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from harness.load.search_drift import theil_sen
from harness.model.backlog import Backlog
from harness.model.measuring import place_of
from harness.model.searching import Moment

__all__ = ["Answered", "Growth", "back_at", "gone_at", "growth", "moments"]

#: Looks at the backlog over the time that counts.
_LOOKS = 41
#: Growth by less than this share of the offered rate is none: it would take minutes to show.
_SHARE = 0.02
#: Nor is it any by less than so many calls, and twice the square root of how many are under way: so much it wavers by itself.
_CALLS, _WAVERS = 3.0, 2.0
#: A backlog is gone, and a latency is back, if it stays so for as long (seconds).
STAYS = 2.0


class Answered(NamedTuple):
    """A call: when it was due, and when the last of what it caused had ended; infinite: never."""

    due: float
    end: float


@dataclass(frozen=True, slots=True)
class Growth:
    """``slope``: calls per second. ``grows``, ``shrinks``: beyond what wavers by itself."""

    slope: float
    rise: float
    grows: bool
    shrinks: bool


def growth(backlog: Backlog, begin: float, end: float, rate: float) -> Growth:
    """Over this time, at this offered rate: the median of slopes between looks (Theil and Sen), which a short hiccup does not move."""
    times = [begin + (end - begin) * number / (_LOOKS - 1) for number in range(_LOOKS)]
    values = [float(backlog.at(moment)) for moment in times]
    slope = theil_sen(times, values)
    rise = slope * (end - begin)
    wavering = _CALLS + _WAVERS * math.sqrt(max(0.0, median(values)))
    beyond = abs(slope) > _SHARE * rate and abs(rise) > wavering
    return Growth(slope, rise, grows=beyond and slope > 0, shrinks=beyond and slope < 0)


def gone_at(backlog: Backlog, begin: float, end: float, level: int) -> float | None:
    """When, from ``begin`` on, it was at ``level`` or below and stayed there for `STAYS`; None: not before ``end``."""
    since = begin if backlog.at(begin) <= level else None
    for moment in backlog.changes(begin):
        if moment > end:
            break
        if backlog.at(moment) > level:
            if since is not None and moment - since >= STAYS:
                return since
            since = None
        elif since is None:
            since = moment
    return since if since is not None and end - since >= STAYS else None


def back_at(calls: Sequence[Answered], begin: float, end: float, kept: "Kept") -> float | None:
    """When, from ``begin`` on, the calls due in each stretch of `STAYS` kept what is asked for, to the end; None: not before ``end``."""
    ordered = sorted(call for call in calls if begin <= call.due < end)
    first: float | None = None
    count = max(1, int((end - begin) / STAYS))
    for number in range(count):
        low, high = begin + number * STAYS, begin + (number + 1) * STAYS if number < count - 1 else end
        part = ordered[bisect_left(ordered, (low, -math.inf)) : bisect_left(ordered, (high, -math.inf))]
        if part and not kept([call.end - call.due for call in part]):
            first = None
        elif part and first is None:
            first = low
    return first


class Kept:
    """Do these latencies keep what is asked for? ``percent``: of the percentile that is looked at; ``limit``: seconds."""

    def __init__(self, percent: float, limit: float) -> None:
        self.percent, self.limit = percent, limit

    def __call__(self, values: Sequence[float]) -> bool:
        ranked = sorted(values)
        return ranked[place_of(self.percent, len(ranked))] <= self.limit


def moments(calls: Sequence[Answered], backlog: Backlog, end: float, step: float) -> tuple[Moment, ...]:
    """For charts: one per ``step`` seconds."""
    ordered = sorted(calls)
    found = []
    for number in range(max(1, math.ceil(end / step - 1e-9))):
        low, high = number * step, (number + 1) * step
        part = ordered[bisect_left(ordered, (low, -math.inf)) : bisect_left(ordered, (high, -math.inf))]
        ranked = sorted(call.end - call.due for call in part)
        slow = ranked[place_of(95, len(ranked))] if ranked else math.inf
        found.append(
            Moment(
                at=round(low, 3),
                rate=round(len(part) / step, 3),
                backlog=backlog.at(high),
                p95=round(slow, 6) if math.isfinite(slow) else None,
            )
        )
    return tuple(found)
