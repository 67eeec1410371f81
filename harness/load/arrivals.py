"""When the calls of a load are due: open loop, decided before the run and by nothing but the seed.

Arrivals are counted from 0: the first call of a constant stream is due when the stream begins, the last one before its
end, so ``rate: 50/s`` with ``for: 30s`` is 1,500 calls. A ramp is the same with the integral of its rate.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.model.scenario import LoadItem
from harness.ports.clock import derived_random
from harness.scenario.extent import bursts, call_count, nominal_end

__all__ = ["PlannedCall", "arrivals", "load_seconds", "plan_calls"]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call: its number from 1 in the order in which calls are due, its load item from 0, and when (seconds from the load's start)."""

    number: int
    item: int
    due: float


def arrivals(item: LoadItem, rng: random.Random) -> list[float]:
    """Due times of one stream in seconds from the start of the load, in order. ``rng`` is used by Poisson arrivals only."""
    return [item.at + offset for offset in _offsets(item, rng)]


def _offsets(item: LoadItem, rng: random.Random) -> Iterator[float]:
    if item.arrival == "poisson":
        return _poisson(item, rng)
    count = call_count(item)
    assert count is not None  # only Poisson arrivals leave it to chance
    if item.arrival == "burst":
        return _bursts(item)
    if item.arrival == "ramp":
        return _ramp(item, count)
    if item.rate is None:
        return (0.0 for _ in range(count))
    rate = item.rate
    return (number / rate for number in range(count))


def _bursts(item: LoadItem) -> Iterator[float]:
    assert item.count is not None
    every = item.every or 0.0
    return (number * every for number in range(bursts(item)) for _ in range(item.count or 0))


def _ramp(item: LoadItem, count: int) -> Iterator[float]:
    """Call k is due when the integral of the rate, s·t + (e-s)·t²/2d, reaches k.

    Written as 2k / (s + √(s² + 2k(e-s)/d)), which stays exact where the rate hardly changes and where it falls.
    """
    assert item.rate is not None and item.duration is not None
    start = item.start_rate or 0.0
    slope = (item.rate - start) / item.duration
    for number in range(count):
        below = start + math.sqrt(max(0.0, start * start + 2 * number * slope))
        yield min(2 * number / below, item.duration) if number else 0.0


def _poisson(item: LoadItem, rng: random.Random) -> Iterator[float]:
    """Exponential gaps, by inversion: the same draws in every version of Python."""
    assert item.rate is not None
    due, made = 0.0, 0
    while item.count is None or made < item.count:
        due -= math.log(1.0 - rng.random()) / item.rate
        if item.duration is not None and due >= item.duration:
            return
        made += 1
        yield due


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
