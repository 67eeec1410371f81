"""Short values that vary and stand in two places: a code that is kept and sent is one value, although it might be equal by accident.

A long token is known again wherever it stands. One of six digits is not; but where two places held the same one in each execution, they do.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Twins", "is_short"]

_LEAST = 4
#: Seconds. Executions so near to each other differ by no border of the calendar, as a rule.
_AT_ONCE = 3600.0
_CLOCK = ("%H%M%S", "%M%S", "%H%M", "%y%m%d", "%m%d", "%d%m", "%Y", "%j")
#: Seconds between the moment at which a task asked for the time and our look.
_BEFORE = 8

Place = tuple[Any, ...]
#: What a world holds: place -> the values that stand there.
Held = Mapping[Place, frozenset[str]]


def is_short(token: str) -> bool:
    """Of one that varies: may it be known again in its own place alone?"""
    return _LEAST <= len(token) <= 32


class Twins:
    """Learns which places hold the same. Places that once did not are never taken for such again."""

    def __init__(self) -> None:
        self._twins: set[frozenset[Place]] = set()
        self._unlike: set[frozenset[Place]] = set()

    def learn(self, samples: Sequence[Held], seen: Sequence[float]) -> set[Place]:
        """From worlds that should be equal, which were looked at at these times of the task's clock. All places that have a twin."""
        shared = set.intersection(*(set(sample) for sample in samples))
        values = {place: [sample[place] for sample in samples] for place in shared}
        near = [n for n, at in enumerate(seen) if at - min(seen) < _AT_ONCE]
        times = set().union(*(_told_by_clock(seen[n]) for n in near))
        by_values: dict[tuple[frozenset[str], ...], list[Place]] = defaultdict(list)
        for place, held in values.items():
            here = [held[n] for n in near]
            if len(set(here)) == len(near) > 1 and not any(one & times for one in here):
                by_values[tuple(held)].append(place)
        for places in by_values.values():
            for place in places[1:]:
                self._twins.add(frozenset((places[0], place)))
        self._unlike |= {pair for pair in self._twins if pair <= shared and len({tuple(values[place]) for place in pair}) > 1}
        return {place for pair in self._twins - self._unlike for place in pair}


def _told_by_clock(at: float) -> set[str]:
    """Short words that a task may have made of the time."""
    moments = [at - back for back in range(_BEFORE)]
    return {time.strftime(form, zone(moment)) for moment in moments for form in _CLOCK for zone in (time.gmtime, time.localtime)} | {
        str(int(moment)) for moment in moments
    }
