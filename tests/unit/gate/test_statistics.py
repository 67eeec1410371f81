"""Against published tables, a published example, and plain enumeration."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from harness.gate.compare import CONFIDENCE, FEWEST_PAIRS, MOST_PAIRS, allowed_error
from harness.gate.statistics import effect, lower_tail, most_trimmed, walsh_averages

#: R. L. McCornack, "Extended Tables of the Wilcoxon Matched Pair Signed Rank Statistic", JASA 60 (1965): n -> (two-sided 5 %, 1 %).
_CRITICAL = {
    6: (0, None),
    7: (2, None),
    8: (3, 0),
    9: (5, 1),
    10: (8, 3),
    11: (10, 5),
    12: (13, 7),
    13: (17, 9),
    14: (21, 12),
    15: (25, 15),
    16: (29, 19),
    17: (34, 23),
    18: (40, 27),
    19: (46, 32),
    20: (52, 37),
    25: (89, 68),
    30: (137, 109),
}

#: Hollander & Wolfe, table 3.1 (depression scale factors before and after) with the values of examples 3.1, 3.3 and 3.4.
_BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
_AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)


@pytest.mark.parametrize("n", _CRITICAL)
def test_critical_values_are_those_of_the_published_table(n: int) -> None:
    assert (most_trimmed(n, 0.05), most_trimmed(n, 0.01)) == _CRITICAL[n]


@pytest.mark.parametrize("n", range(1, 11))
def test_the_distribution_is_that_of_all_sign_patterns(n: int) -> None:
    sums = [sum(rank for rank, sign in enumerate(signs, 1) if sign) for signs in itertools.product((0, 1), repeat=n)]
    for rank_sum in range(-1, n * (n + 1) // 2 + 1):
        assert lower_tail(n, rank_sum) == sum(s <= rank_sum for s in sums) / 2**n


def test_the_textbooks_example() -> None:
    found = effect([(math.exp(x), math.exp(y)) for x, y in zip(_BEFORE, _AFTER, strict=True)], error=0.04)
    assert math.log(found.ratio) == pytest.approx(-0.46)
    assert (math.log(found.low), math.log(found.high)) == (pytest.approx(-0.786), pytest.approx(-0.010))
    assert lower_tail(9, 5) == pytest.approx(0.0195, abs=5e-5)


def test_walsh_averages() -> None:
    assert walsh_averages([1.0, 3.0]) == [1.0, 2.0, 3.0]


def test_few_pairs_bound_nothing() -> None:
    found = effect([(1.0, 2.0)] * 7, error=0.01)
    assert (found.ratio, found.low, found.high, found.pairs) == (pytest.approx(2.0), 0.0, math.inf, 7)


def test_no_pairs_are_no_question() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        effect([], error=0.01)


def test_both_looks_together_err_as_seldom_as_is_said() -> None:
    assert allowed_error(FEWEST_PAIRS) + allowed_error(MOST_PAIRS) == pytest.approx(1 - CONFIDENCE)
    assert most_trimmed(FEWEST_PAIRS, allowed_error(FEWEST_PAIRS)) == 0
    assert most_trimmed(FEWEST_PAIRS - 1, allowed_error(FEWEST_PAIRS)) is None, "fewer pairs could not have the confidence"
    assert most_trimmed(MOST_PAIRS, allowed_error(MOST_PAIRS))


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    chance = random.Random(5)
    rounds, missed = 2000, 0
    for _ in range(rounds):
        pairs = [(chance.lognormvariate(0, 0.3), 1.2 * chance.lognormvariate(0, 0.3)) for _ in range(10)]
        found = effect(pairs, error=0.05)
        missed += not found.low <= 1.2 <= found.high
    assert missed / rounds < 0.06
