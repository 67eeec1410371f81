"""When the calls of a load are due: open loop, decided before the run and by nothing but the seed.

Arrivals are counted from 0: the first call of a constant stream is due when the stream begins, the last one before its
end, so ``rate: 50/s`` with ``for: 30s`` is 1,500 calls. Where the rate changes it is the same with its integral
(`harness.load.shapes`).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.load.shapes import offsets
from harness.model.scenario import LoadItem
from harness.ports.clock import derived_random
from harness.scenario.extent import nominal_end

__all__ = ["PlannedCall", "arrivals", "load_seconds", "plan_calls"]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call: its number from 1 in the order in which calls are due, its load item from 0, and when (seconds from the load's start)."""

    number: int
    item: int
    due: float


def arrivals(item: LoadItem, rng: random.Random) -> list[float]:
    """Due times of one stream in seconds from the start of the load, in order. ``rng`` is used by Poisson arrivals only."""
    return [item.at + offset for offset in offsets(item, rng)]


def plan_calls(load: Sequence[LoadItem], seed: int) -> list[PlannedCall]:
    """Every call of a load in the order in which it is due; of calls due together, the earlier load item's come first.

    Each stream has a random source of its own, so a change of one leaves the others' arrivals as they are.
    """
    streams = [[(due, index) for due in arrivals(item, derived_random(seed, "arrivals", index))] for index, item in enumerate(load)]
    return [PlannedCall(number, index, due) for number, (due, index) in enumerate(heapq.merge(*streams), start=1)]


def load_seconds(load: Sequence[LoadItem], seed: int) -> float:
    """How long the load lasts: until the last stream's `for` is over (without one: count/rate, or its last call)."""
    return max((max([nominal_end(item), *_last(item, index, seed)]) for index, item in enumerate(load)), default=0.0)


def _last(item: LoadItem, index: int, seed: int) -> list[float]:
    """The last due time where only the draws tell it."""
    if item.arrival == "poisson" and item.duration is None:
        return arrivals(item, derived_random(seed, "arrivals", index))[-1:]
    return []
