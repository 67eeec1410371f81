"""The rank-sum interval against all orders there are, and on simulated sides."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from harness.gate.rank_sum import effect_of_two, fewest_runs


@pytest.mark.parametrize(("m", "n"), [(3, 4), (5, 5), (2, 7)])
def test_the_interval_misses_in_exactly_the_orders_that_it_may(m: int, n: int) -> None:
    """Of one population every order of the ranks is as likely as any other."""
    error, missed = 0.10, 0
    orders = list(combinations(range(m + n), m))
    for order in orders:
        before = [math.exp(rank) for rank in order]
        after = [math.exp(rank) for rank in range(m + n) if rank not in order]
        found = effect_of_two(before, after, error=error)
        missed += not found.low <= 1 <= found.high
    assert missed <= error * len(orders)
    assert missed > 0 or m == 2 or (m, n) == (3, 4)


def test_five_runs_a_side_are_the_fewest_for_99_percent() -> None:
    assert (fewest_runs(0.01), fewest_runs(0.05)) == (5, 4)
    found = effect_of_two([1.0] * 4, [2.0] * 4, error=0.01)
    assert (found.ratio, found.low, found.high) == (pytest.approx(2.0), 0.0, math.inf)


def test_a_planted_ratio_lies_within() -> None:
    chance = random.Random(4)
    sides = [[by * math.exp(chance.gauss(0, 0.05)) for _ in range(8)] for by in (1.0, 1.5)]
    found = effect_of_two(*sides, error=0.01)
    assert 1 < found.low < 1.5 < found.high and found.pairs == 8


def test_a_side_without_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="no runs"):
        effect_of_two([], [1.0], error=0.01)
