"""How many calls are unfinished at any moment, by what became of each: exact, where a depth that is sampled misses what lies between."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

from harness.model.fate import Fate, FateKind
from harness.model.history import Call, History
from harness.model.starts import end_of

__all__ = ["Backlog"]

#: Tasks of which something is still to come, or may be.
_OPEN = (FateKind.UNKNOWN, FateKind.STRANDED, FateKind.SCHEDULED)


class Backlog:
    """Of spans (begin, end) in seconds; the end is infinite for what was never finished.

    A span counts from its begin on, and not any more at its end.
    """

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        known = list(spans)
        self.begins = sorted(begin for begin, _ in known)
        self.ends = sorted(end for _, end in known if math.isfinite(end))
        changes = Counter(self.begins)
        changes.subtract(self.ends)
        self.moments = sorted(changes)  # the number changes at these only
        self._levels = list(accumulate(changes[at] for at in self.moments))
        areas = (level * (after - at) for level, (at, after) in zip(self._levels, pairwise(self.moments), strict=False))
        self._areas = [0.0, *accumulate(areas)]  # below the curve, up to each moment

    @classmethod
    def of(cls, history: History, found: Mapping[str, Fate]) -> Backlog:
        """Of the load's calls, from when each was due until nothing of it was left to do. ``found``: task id -> fate.

        A retry ends nothing; a failure does. What was lost, revoked or thrown away is over with its last sign: nobody works on it any
        more. Calls that were never published are not counted.
        """
        spans = ((call.due, _over(call, found)) for call in history.calls.values())
        return cls((due, over) for due, over in spans if over is not None)

    def at(self, moment: float) -> int:
        """How many are unfinished at this moment."""
        index = bisect_right(self.moments, moment) - 1
        return self._levels[index] if index >= 0 else 0

    def mean(self, begin: float, end: float) -> float:
        """The mean number between two moments, each weighted by the time that it lasted."""
        return (self._area(end) - self._area(begin)) / (end - begin) if end > begin else float(self.at(begin))

    def highest(self, begin: float, end: float) -> int:
        """The largest number between two moments, both included."""
        first, last = bisect_right(self.moments, begin), bisect_right(self.moments, end)
        return max([self.at(begin), *self._levels[first:last]])

    def ended(self, begin: float, end: float) -> int:
        """Calls that ended in this time."""
        return bisect_right(self.ends, end) - bisect_right(self.ends, begin)

    def changes(self, begin: float) -> list[float]:
        """Moments from ``begin`` on at which it may change, in order; none where nothing ends any more."""
        return self.moments[bisect_left(self.moments, begin) :]

    def usual(self, begin: float, end: float, share: float) -> int:
        """The number that was not exceeded for this share of the time between two moments."""
        inner = self.moments[bisect_right(self.moments, begin) : bisect_left(self.moments, end)]
        lasted = sorted((self.at(at), after - at) for at, after in pairwise([begin, *inner, end]))
        passed = 0.0
        for level, seconds in lasted:
            passed += seconds
            if passed >= share * (end - begin):
                return level
        return lasted[-1][0] if lasted else 0

    def _area(self, moment: float) -> float:
        index = bisect_right(self.moments, moment) - 1
        return self._areas[index] + self._levels[index] * (moment - self.moments[index]) if index >= 0 else 0.0


def _over(call: Call, found: Mapping[str, Fate]) -> float | None:
    """When nothing of a call was left to do; infinite: that moment was not seen; None: it was never published."""
    kinds = [fate.kind for message in call.messages if (fate := found.get(message.task_id)) is not None]
    if all(kind is FateKind.UNPUBLISHED for kind in kinds):
        return None
    if any(kind in _OPEN for kind in kinds):
        return math.inf
    last = call.due
    for message in call.messages:
        if message.begun is not None:
            last = max(last, message.begun)
        for delivery in message.deliveries:
            end = end_of(delivery)
            last = max(last, end if end is not None else delivery.at)
    return last
