"""Drift: what grows is named, what is steady is not, and what is too short or wavers cannot be told."""

from __future__ import annotations

import random

import pytest

from harness.load.search_drift import drift, slope_of, theil_sen

_TIMES = [float(10 * number) for number in range(60)]


def wavering(chance: random.Random, memory: float) -> list[float]:
    """Each value hangs on the one before."""
    values = [chance.gauss(0, 1)]
    for _ in _TIMES[1:]:
        values.append(memory * values[-1] + chance.gauss(0, 1) * (1 - memory**2) ** 0.5)
    return values


def test_a_line_has_its_slope() -> None:
    found = slope_of(_TIMES, [3.0 + 0.5 * at for at in _TIMES], 0.01)
    assert found == pytest.approx((0.5, 0.5, 0.5))
    assert theil_sen([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 90.0, 3.0]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("memory", "most"), [(0.0, 6), (0.5, 12), (0.8, 24)])
def test_the_interval_misses_no_drift_about_as_seldom_as_it_says(memory: float, most: int) -> None:
    """Of 300: 1 % where windows are independent; where they hang together the factor of Hamed and Rao helps, and is not all."""
    chance = random.Random(5)
    missed = 0
    for _ in range(300):
        found = slope_of(_TIMES, wavering(chance, memory), 0.01)
        missed += not found.low <= 0 <= found.high
    assert missed <= most


def test_a_leak_grows() -> None:
    chance = random.Random(1)
    found = drift("memory of w-1", "bytes", _TIMES, [80e6 + 20_000 * at + chance.gauss(0, 200_000) for at in _TIMES])
    assert found.outcome == "grows" and found.slope == pytest.approx(72e6, rel=0.1)
    assert found.low is not None and found.high is not None and found.low < 72e6 < found.high


def test_what_only_wavers_is_steady() -> None:
    chance = random.Random(1)
    assert drift("m", "bytes", _TIMES, [80e6 + chance.gauss(0, 300_000) for _ in _TIMES]).outcome == "steady"
    assert drift("p95", "s", _TIMES, [0.12 + chance.gauss(0, 0.004) for _ in _TIMES]).outcome == "steady"
    assert drift("m", "bytes", _TIMES, [80e6 for _ in _TIMES]).outcome == "steady"


def test_what_falls_is_steady() -> None:
    assert drift("m", "bytes", _TIMES, [80e6 - 20_000 * at for at in _TIMES]).outcome == "steady"


@pytest.mark.parametrize(
    ("per_second", "wavers", "every", "outcome"),
    [
        (3_300.0, 20_000.0, 2.0, "cannot tell"),  # 12 % of the level an hour, and 0.2 MB in this minute
        (3_300.0, 20_000.0, 10.0, "grows"),  # the same over ten minutes
        (500.0, 2_000.0, 10.0, "steady"),  # 2 % an hour, and sure of it
        (1_000.0, 20_000.0, 1_200.0, "cannot tell"),  # 4 % an hour, of which 20 hours make a lot
    ],
)
def test_what_surely_rises_is_not_called_steady_for_being_short(per_second: float, wavers: float, every: float, outcome: str) -> None:
    chance = random.Random(3)
    times = [every * number for number in range(33 if every == 2.0 else 60)]
    found = drift("memory of w-1", "bytes", times, [98e6 + per_second * at + chance.gauss(0, wavers) for at in times])
    assert found.low is not None and found.low > 0
    assert found.outcome == outcome and ("it rises a little" in found.why) is (outcome == "cannot tell")


@pytest.mark.parametrize(
    ("times", "values", "why"),
    [
        (_TIMES[:11], [1.0] * 11, "11 windows, 12 needed"),
        ([float(n) for n in range(20)], [1.0] * 20, "windows over 19.0 s, 60.0 s needed"),
        (_TIMES, [None, *[1.0] * 59], "never answered"),
    ],
)
def test_what_is_too_little_cannot_be_told(times: list[float], values: list[float | None], why: str) -> None:
    found = drift("p95", "s", times, values)
    assert found.outcome == "cannot tell" and why in found.why and found.slope is None


def test_what_wavers_too_much_cannot_be_told() -> None:
    chance = random.Random(2)
    found = drift("p95", "s", _TIMES, [abs(chance.gauss(0.5, 0.4)) for _ in _TIMES])
    assert found.outcome == "cannot tell" and found.slope is not None and found.high is not None
