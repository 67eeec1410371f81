"""Intervals from within one run keep their word although its seconds hang together, and find what was planted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate.dependent import FEWEST_SECONDS, Bounds, Sample, quantile_bounds, quantile_of, ratio_bounds, share_bounds, student
from tests.parts import parts
from tests.unit.gate.compared import samples, slowness

_ERROR = 0.05
_RUNS = 120


def _allowed(cases: int, error: float) -> int:
    """So many false alarms of ``cases`` are seen or passed in one of 10,000 tests only, if each has the chance ``error``."""
    chance, below = 0.0, -1
    while 1 - chance > 1e-4:
        below += 1
        chance += math.comb(cases, below) * error**below * (1 - error) ** (cases - below)
    return below


def _false_alarms(found: Callable[[random.Random], Bounds], seed: int) -> int:
    chance = random.Random(seed)
    return sum(not one.low <= 1 <= one.high for one in (found(chance) for _ in range(_RUNS)))


@pytest.mark.parametrize(("seconds", "memory"), parts([(30, 0.0), (60, 0.6), (120, 0.9)], quick=[(30, 0.0), (60, 0.6)]))
@pytest.mark.parametrize("share", [0.50, 0.95])
def test_a_against_a_alarms_no_more_often_than_stated(seconds: int, memory: float, share: float) -> None:
    def ratio(chance: random.Random) -> Bounds:
        sides = (quantile_bounds(samples(chance, seconds, memory), share, _ERROR / 2) for _ in range(2))
        return ratio_bounds(*sides)

    assert _false_alarms(ratio, seconds) <= _allowed(_RUNS, _ERROR)


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_rates_of_one_system_alarm_no_more_often_than_stated(memory: float) -> None:
    def ratio(chance: random.Random) -> Bounds:
        sides = [[math.exp(level) for level in slowness(chance, 90, memory)] for _ in range(2)]
        return ratio_bounds(*(share_bounds(side, [1.0] * len(side), _ERROR / 2) for side in sides))

    assert _false_alarms(ratio, 1) <= _allowed(_RUNS, _ERROR)


def test_seconds_taken_as_independent_would_break_the_word() -> None:
    """The test above can fail: samples in another order look surer than they are."""

    def shuffled(chance: random.Random) -> Bounds:
        sides = []
        for _ in range(2):
            found = samples(chance, 120, 0.9)
            order = chance.sample(range(120), 120)
            sides.append(quantile_bounds([Sample(order[s], value) for s, value, _ in found], 0.5, _ERROR / 2))
        return ratio_bounds(*sides)

    assert _false_alarms(shuffled, 3) > 2 * _allowed(_RUNS, _ERROR)


@pytest.mark.parametrize(("seconds", "memory", "slower"), [(60, 0.3, 1.8), (240, 0.6, 1.5)])
def test_a_planted_slowdown_is_found(seconds: int, memory: float, slower: float) -> None:
    chance = random.Random(5)
    seen = 0
    for _ in range(40):
        one, other = (samples(chance, seconds, memory, slower=by) for by in (1.0, slower))
        seen += ratio_bounds(quantile_bounds(one, 0.5, 0.005), quantile_bounds(other, 0.5, 0.005)).low > 1
    assert seen >= 30


def test_a_run_that_only_gets_slower_says_nothing() -> None:
    found = quantile_bounds([Sample(second, 0.1 + second) for second in range(60) for _ in range(5)], 0.5, 0.01)
    assert (found.low, found.high, found.why) == (0.0, math.inf, "seconds hang together")


def test_a_short_run_says_nothing() -> None:
    found = quantile_bounds([Sample(second, 0.1) for second in range(FEWEST_SECONDS - 1)], 0.5, 0.01)
    assert (found.low, found.high) == (0.0, math.inf) and "needed" in found.why


def test_few_samples_beyond_it_leave_a_percentile_open_above() -> None:
    found = quantile_bounds(samples(random.Random(1), 30, 0.0, rate=4), 0.99, 0.01)
    assert 0 < found.low <= found.estimate and math.isinf(found.high)


def test_never_is_the_slowest_of_all() -> None:
    chance = random.Random(2)
    calm = quantile_bounds(samples(chance, 60, 0.0), 0.5, 0.005)
    lost = [Sample(s, math.inf if chance.random() < 0.7 else value) for s, value, _ in samples(chance, 60, 0.0)]
    found = ratio_bounds(calm, quantile_bounds(lost, 0.5, 0.005))
    assert math.isinf(found.estimate) and found.low > 1 and math.isinf(found.high)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.sampled_from([0.5, 0.95]))
def test_another_unit_changes_the_unit_alone(seed: int, factor: float, share: float) -> None:
    found = samples(random.Random(seed), 40, 0.2, rate=5)
    one = quantile_bounds(found, share, 0.01)
    other = quantile_bounds([Sample(s, value * factor) for s, value, _ in found], share, 0.01)
    assert (other.estimate, other.low, other.high) == pytest.approx((one.estimate * factor, one.low * factor, one.high * factor))


_SIDES = st.tuples(st.floats(0.01, 10), st.floats(0.1, 1), st.floats(1, 10)).map(lambda t: Bounds(t[0], t[0] * t[1], t[0] * t[2]))


@given(_SIDES, _SIDES)
def test_the_ratio_the_other_way_round_is_its_inverse(one: Bounds, other: Bounds) -> None:
    there, back = ratio_bounds(one, other), ratio_bounds(other, one)
    assert (back.estimate, back.low, back.high) == pytest.approx((1 / there.estimate, 1 / there.high, 1 / there.low))
    assert there.low <= there.estimate * (1 + 1e-9) and there.estimate <= there.high * (1 + 1e-9)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), min_size=1, max_size=40), st.sampled_from([0.5, 0.95, 0.99]))
def test_weights_are_repetitions(values: list[tuple[float, int]], share: float) -> None:
    repeated = [Sample(0, value) for value, times in values for _ in range(times)]
    assert quantile_of([Sample(0, value, times) for value, times in values], share) == quantile_of(repeated, share)


@pytest.mark.parametrize(("freedom", "table"), [(5, 4.032), (10, 3.169), (30, 2.750), (1000, 2.581)])
def test_student_as_in_the_table(freedom: float, table: float) -> None:
    assert student(0.995, freedom) == pytest.approx(table, rel=0.01)


def test_nothing_to_divide_by_is_refused_and_none_is_none() -> None:
    with pytest.raises(ValueError, match="divide"):
        share_bounds([1.0], [0.0], 0.01)
    assert share_bounds([0.0] * 30, [1.0] * 30, 0.01) == Bounds(0.0, why="there was none")
