"""How long a load lasts and how many calls it makes, as far as its words alone say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.model.scenario import Call, LoadItem

__all__ = [
    "MAX_CALLS",
    "area",
    "at_most_calls",
    "bursts",
    "call_count",
    "day_area",
    "day_rate",
    "latest_end",
    "levels",
    "longest_delay",
    "nominal_end",
]

#: More calls than this in one load are refused: their plan alone would fill the memory.
MAX_CALLS = 10_000_000

#: k/rate and k·every may miss a whole number by a rounding error; that must not add a call.
_TOLERANCE = 1e-9
_RELATIVE = 1e-12

#: A Poisson stream strays further than this many standard deviations once in 10⁹ loads.
_DEVIATIONS = 6.0


def call_count(item: LoadItem) -> int | None:
    """How many calls a stream makes; None where chance decides (Poisson arrivals for a time)."""
    if item.arrival == "trace":
        return len(item.played.at)
    if item.arrival == "burst":
        assert item.count is not None
        return item.count * bursts(item)
    if item.count is not None:
        return item.count
    if item.arrival == "poisson":
        return None
    return _whole(area(item))


def at_most_calls(item: LoadItem) -> int:
    """The same, and for Poisson arrivals a number that is practically never exceeded."""
    exact = call_count(item)
    if exact is not None:
        return exact
    return math.ceil(area(item) + _DEVIATIONS * math.sqrt(area(item)) + _DEVIATIONS**2)


def area(item: LoadItem) -> float:
    """Arrivals expected in `for`: the integral of the rate."""
    assert item.duration is not None
    if item.arrival in ("step", "spike"):
        return math.fsum(seconds * rate for seconds, rate in levels(item))
    assert item.rate is not None
    if item.arrival == "ramp":
        return ((item.start_rate or 0.0) + item.rate) / 2 * item.duration
    if item.arrival == "diurnal":
        return day_area(item, item.duration)
    return item.rate * item.duration


def levels(item: LoadItem) -> list[tuple[float, float]]:
    """(seconds, rate) one after the other, of a stream whose rate only jumps: step and spike."""
    assert item.duration is not None
    if item.arrival == "step":
        return [(item.duration / len(item.rates), rate) for rate in item.rates]
    assert item.rate is not None and item.peak is not None and item.peak_at is not None and item.peak_for is not None
    up = min(item.peak_at, item.duration)
    down = min(item.peak_at + item.peak_for, item.duration)
    return [(up, item.rate), (down - up, item.peak), (item.duration - down, item.rate)]


def day_rate(item: LoadItem, time: float) -> float:
    """Diurnal: low + (high - low)·(1 - cos 2πt/T)/2, lowest at the beginning and highest after half a period."""
    middle, swing, turn = _day(item)
    return middle - swing * math.cos(turn * time)


def day_area(item: LoadItem, time: float) -> float:
    """Diurnal arrivals until a time: the integral of `day_rate`."""
    middle, swing, turn = _day(item)
    return middle * time - swing * math.sin(turn * time) / turn


def _day(item: LoadItem) -> tuple[float, float, float]:
    assert item.rate is not None and item.period is not None
    low = item.low or 0.0
    return (item.rate + low) / 2, (item.rate - low) / 2, 2 * math.pi / item.period


def bursts(item: LoadItem) -> int:
    """How often a burst comes."""
    if item.every is None or item.duration is None:
        return 1
    return max(1, _whole(item.duration / item.every))


def nominal_end(item: LoadItem) -> float:
    """Seconds from the start of the load until a stream is over: `at` + `for`, or `at` + count/rate."""
    if item.arrival == "trace":
        return item.at + (item.played.at[-1] / item.speed if item.played.at else 0.0)
    if item.duration is not None:
        return item.at + item.duration
    if item.count is not None and item.rate is not None and item.arrival != "burst":
        return item.at + item.count / item.rate
    return item.at


def latest_end(load: Sequence[LoadItem]) -> float:
    """When the whole load is over; with Poisson arrivals a time that is practically never exceeded."""
    return max((nominal_end(item) + _slack(item) for item in load), default=0.0)


def _slack(item: LoadItem) -> float:
    if item.arrival != "poisson" or item.count is None or item.rate is None:
        return 0.0
    return (_DEVIATIONS * math.sqrt(item.count) + _DEVIATIONS**2) / item.rate


def longest_delay(item: LoadItem) -> float:
    """The longest time that a call of the stream spends waiting for countdowns and ETAs: a chain's add up."""
    if item.chord is not None:
        return max(map(_delay, item.chord.header)) + _delay(item.chord.body)
    if item.chain:
        return sum(map(_delay, item.chain))
    return max(map(_delay, item.group)) if item.group else _delay(item)


def _delay(call: Call | LoadItem) -> float:
    return max(call.countdown or 0.0, call.eta or 0.0)


def _whole(expected: float) -> int:
    """Arrivals at 0, 1, 2, ... below `expected`."""
    return max(1, math.ceil(expected - max(_TOLERANCE, _RELATIVE * expected)))
