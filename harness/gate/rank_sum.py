"""The ratio of two sides whose runs belong to no pairs: Hodges and Lehmann's estimate with the exact interval of Wilcoxon's rank sum.

M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric Statistical Methods", 3rd ed. (Wiley 2014), sections 4.1 to 4.3. As in
`harness.gate.statistics`, which is for pairs, no normal approximation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cache

from harness.gate.statistics import Effect

__all__ = ["effect_of_two", "fewest_runs"]


def effect_of_two(before: Sequence[float], after: Sequence[float], *, error: float) -> Effect:
    """From figures above 0 of each side; the interval misses the true ratio in at most a share ``error`` of all cases.

    Rests on independent runs whose logarithms differ by a shift alone. ``pairs``: runs of the side that has fewer. ValueError without any.
    """
    if not before or not after:
        raise ValueError("no runs")
    shifts = sorted(math.log(b / a) for a in before for b in after)
    ratio = math.exp(statistics.median(shifts))
    trimmed = _most_trimmed(len(before), len(after), error)
    fewer = min(len(before), len(after))
    if trimmed is None:
        return Effect(ratio, 0.0, math.inf, fewer)
    return Effect(ratio, math.exp(shifts[trimmed]), math.exp(shifts[-1 - trimmed]), fewer)


def fewest_runs(error: float) -> int:
    """So many a side bound something."""
    return next(n for n in range(2, 100) if _most_trimmed(n, n, error) is not None)


def _most_trimmed(m: int, n: int, error: float) -> int | None:
    """How many shifts may be cut off at either end: the largest u with 2 P(U <= u) <= ``error``; None: not even none."""
    below, found = 0, None
    for u, ways in enumerate(_ways(m, n)):
        below += ways
        if 2 * below > error * math.comb(m + n, m):
            break
        found = u
    return found


@cache
def _ways(m: int, n: int) -> tuple[int, ...]:
    """Entry u: in how many orders of m and n values exactly u pairs stand the other way round."""
    if m == 0 or n == 0:
        return (1,)
    # The largest of all is one of the m, and then n pairs stand so, or one of the n, and then none do.
    first, second = _ways(m - 1, n), _ways(m, n - 1)
    return tuple((first[u - n] if n <= u < n + len(first) else 0) + (second[u] if u < len(second) else 0) for u in range(m * n + 1))
