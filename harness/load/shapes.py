"""One function per shape of arrivals: due times of a stream in seconds from its beginning, in order.

Where the rate changes, call k is due when its integral reaches k.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping

from harness.model.scenario import LoadItem
from harness.scenario.extent import bursts, call_count, day_area, day_rate, levels

__all__ = ["SHAPES", "offsets"]

#: In arrivals: at 1,000 a second a picosecond; and what the rounding of large numbers leaves.
_CLOSE, _RELATIVE = 1e-9, 1e-15
#: Halving alone would end after as many: a double has no more digits.
_STEPS = 100

_Shape = Callable[[LoadItem, int, random.Random], Iterator[float]]


def offsets(item: LoadItem, rng: random.Random) -> Iterator[float]:
    """Of any stream. ``rng`` is used by Poisson arrivals only."""
    return SHAPES[item.arrival](item, call_count(item) or 0, rng)


def _constant(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    if item.rate is None:
        return (0.0 for _ in range(count))
    rate = item.rate
    return (number / rate for number in range(count))


def _bursts(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    every = item.every or 0.0
    return (number * every for number in range(bursts(item)) for _ in range(item.count or 0))


def _ramp(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    """The integral is s·t + (e-s)·t²/2d.

    Written as 2k / (s + √(s² + 2k(e-s)/d)), which stays exact where the rate hardly changes and where it falls.
    """
    assert item.rate is not None and item.duration is not None
    start = item.start_rate or 0.0
    slope = (item.rate - start) / item.duration
    for number in range(count):
        below = start + math.sqrt(max(0.0, start * start + 2 * number * slope))
        yield min(2 * number / below, item.duration) if number else 0.0


def _levels(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    """Level by level: from the integral at its beginning the rate is constant."""
    begun, reached, number = 0.0, 0.0, 0
    pieces = [piece for piece in levels(item) if piece[0] > 0]
    for index, (seconds, rate) in enumerate(pieces):
        last = index == len(pieces) - 1
        # A call that is due just as the rate changes is due once, at that moment, whichever side rounding puts it on.
        while number < count and (last or number < reached + seconds * rate):
            yield begun + min(max(0.0, (number - reached) / rate), seconds)
            number += 1
        begun += seconds
        reached += seconds * rate


def _diurnal(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    """The integral has no inverse in closed form."""
    before = 0.0
    for number in range(count):
        before = _reaches(item, number, before) if number else 0.0
        yield before


def _reaches(item: LoadItem, number: int, low: float) -> float:
    """When the integral of a diurnal rate, which only rises, reaches ``number``; ``low``: not before.

    Newton's steps, and where one leaves the interval that holds the moment (the rate may be 0 at midnight), its middle.
    """
    assert item.duration is not None
    high = item.duration
    time = low
    for _ in range(_STEPS):
        missing = number - day_area(item, time)
        if abs(missing) <= _CLOSE + _RELATIVE * number:
            break
        low, high = (time, high) if missing > 0 else (low, time)
        rate = day_rate(item, time)
        time = time + missing / rate if rate > 0 else high
        if not low < time < high:
            time = (low + high) / 2
    return time


def _poisson(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    """Exponential gaps, by inversion: the same draws in every version of Python."""
    assert item.rate is not None
    due, made = 0.0, 0
    while item.count is None or made < item.count:
        due -= math.log(1.0 - rng.random()) / item.rate
        if item.duration is not None and due >= item.duration:
            return
        made += 1
        yield due


def _trace(item: LoadItem, count: int, rng: random.Random) -> Iterator[float]:
    return (at / item.speed for at in item.played.at)


SHAPES: Mapping[str, _Shape] = {
    "constant": _constant,
    "poisson": _poisson,
    "ramp": _ramp,
    "step": _levels,
    "spike": _levels,
    "diurnal": _diurnal,
    "burst": _bursts,
    "trace": _trace,
}
