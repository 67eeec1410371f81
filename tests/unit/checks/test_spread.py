"""The formulas of `_spread` against counting all cases, and against chance."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from harness.checks._spread import SIGNIFICANT, binomial_tail, combined, group_probability, range_probability


@pytest.mark.parametrize(("k", "n"), [(2, 2), (3, 4), (4, 5), (5, 3)])
def test_range_against_counting(k: int, n: int) -> None:
    cases = list(itertools.product(range(n), repeat=k))
    for spread in range(n):
        counted = sum(max(c) - min(c) <= spread for c in cases) / len(cases)
        assert range_probability(k, n, spread) == pytest.approx(counted)


@pytest.mark.parametrize(("k", "m", "p"), [(5, 0, 0.3), (5, 3, 0.3), (5, 5, 0.3), (200, 150, 0.5), (5, 6, 0.3), (4, 2, 1.0), (4, 1, 0.0)])
def test_binomial_tail_against_the_sum(k: int, m: int, p: float) -> None:
    assert binomial_tail(k, m, p) == pytest.approx(sum(math.comb(k, i) * p**i * (1 - p) ** (k - i) for i in range(m, k + 1)), abs=1e-15)


def test_combining_uniform_values_is_uniform() -> None:
    rng = random.Random(3)
    found = [combined([1 - rng.random() for _ in range(4)]) for _ in range(4000)]
    assert sum(p < 0.1 for p in found) / 4000 == pytest.approx(0.1, abs=0.02)
    assert combined([]) == 1.0 and combined([1.0, 1.0]) == 1.0
    assert combined([0.03]) == pytest.approx(0.03)


def test_full_jitter_is_never_refuted_by_its_own_draws() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        groups = [(base, [rng.randrange(base + 1) for _ in range(rng.randrange(2, 40))]) for base in (1, 2, 4, 8, 60)]
        assert combined(group_probability(d, b) for b, d in groups) >= SIGNIFICANT


def test_what_refutes_it() -> None:
    assert group_probability([4] * 9, 4) < 1e-4
    assert group_probability([4] * 12, 4) < SIGNIFICANT
    assert group_probability([58, 59, 60] * 4, 60) < SIGNIFICANT
    assert group_probability([8] * 60 + [0], 8) < SIGNIFICANT  # one odd value hides nothing
    assert group_probability([4], 4) == 1.0 and group_probability([0] * 50, 0) == 1.0
