"""Paired ratios: how much slower, and how sure. Hodges-Lehmann's estimate with the exact interval of Wilcoxon's signed-rank test.

From the textbook: M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric Statistical Methods", 3rd ed. (Wiley 2014), sections 3.1
(the signed-rank statistic T+ and its distribution), 3.2 (estimate) and 3.3 (interval). No normal approximation: pairs are few.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

__all__ = ["Effect", "effect", "lower_tail", "most_trimmed", "walsh_averages"]


@dataclass(frozen=True, slots=True)
class Effect:
    """The typical ratio after / before. ``low`` 0 and ``high`` infinite: so few pairs bound nothing at this confidence."""

    ratio: float
    low: float
    high: float
    pairs: int


def effect(pairs: Sequence[tuple[float, float]], *, error: float) -> Effect:
    """From pairs (before, after) of figures above 0; the interval misses the true ratio in at most a share ``error`` of all cases.

    Rests on the differences of logarithms: independent pairs, each as likely to err to one side as to the other. ValueError without pairs.
    """
    if not pairs:
        raise ValueError("no pairs")
    averages = walsh_averages([math.log(after / before) for before, after in pairs])
    trimmed = most_trimmed(len(pairs), error)
    ratio = math.exp(statistics.median(averages))
    if trimmed is None:
        return Effect(ratio, 0.0, math.inf, len(pairs))
    return Effect(ratio, math.exp(averages[trimmed]), math.exp(averages[-1 - trimmed]), len(pairs))


def walsh_averages(values: Sequence[float]) -> list[float]:
    """The means of all pairs of values, each value with itself too, in order: n(n+1)/2 of them; their median is the estimate."""
    return sorted((a + b) / 2 for a, b in combinations_with_replacement(values, 2))


def most_trimmed(n: int, error: float) -> int | None:
    """How many Walsh averages may be cut off at either end: the largest w with 2 P(T+ <= w) <= ``error``; None: not even none."""
    found = None
    for rank_sum in range(n * (n + 1) // 2 + 1):
        if 2 * lower_tail(n, rank_sum) > error:
            break
        found = rank_sum
    return found


def lower_tail(n: int, rank_sum: int) -> float:
    """P(T+ <= ``rank_sum``) for n pairs without a difference: each of the ranks 1 ... n counts with probability one half."""
    if rank_sum < 0:
        return 0.0
    return sum(_subsets(n)[: rank_sum + 1]) / 2.0**n


@cache
def _subsets(n: int) -> tuple[int, ...]:
    """Entry w: how many subsets of {1, ..., n} have the sum w. One rank after another either joins a subset or does not."""
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    return tuple(counts)
