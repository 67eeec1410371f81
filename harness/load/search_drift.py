"""Does a figure drift over a long run? The median of slopes, with an interval that counts how windows hang together.

- Slope: H. Theil (1950); P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Amer. Statist. Assoc. 63 (1968);
  its interval, from the variance of Kendall's S: M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric Statistical Methods", 3rd ed.
  (Wiley 2014), section 9.3.
- A window is like the one before it, so S varies more than that of independent ones: its variance times the factor of K. H. Hamed,
  A. R. Rao, "A modified Mann-Kendall trend test for autocorrelated data", J. Hydrology 204 (1998), from the autocorrelations of
  the ranks of what the slope leaves; never less than 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, fmean, median
from typing import Literal, NamedTuple

from harness.model.quantities import format_duration
from harness.model.searching import Drift, Trend

__all__ = ["FEWEST", "Slope", "drift", "slope_of", "theil_sen"]

#: Windows without which nothing is said, and seconds over which they reach.
FEWEST, SHORTEST = 12, 60.0
#: So much per hour is worth a word, and so much over the whole run may stay unseen: shares of the figure's level.
_SHARE = 0.05
#: Less than this per hour is worth no word: of latencies in seconds, of memory in bytes. A quarter of it over a run may be how it began.
_LEAST = {"s": 0.001, "bytes": 1e6}
_SEEN = 0.25
_HOUR = 3600.0


class Slope(NamedTuple):
    """Per second, with the ends of the interval."""

    estimate: float
    low: float
    high: float


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs; 0 where there is none."""
    found = _slopes(times, values)
    return median(found) if found else 0.0


def _slopes(times: Sequence[float], values: Sequence[float]) -> list[float]:
    points = zip(times, values, strict=True)
    return sorted((later - earlier) / (after - before) for (before, earlier), (after, later) in combinations(points, 2) if after > before)


def slope_of(times: Sequence[float], values: Sequence[float], error: float) -> Slope:
    """With an interval that misses in a share ``error`` of cases. ValueError for fewer than `FEWEST` points."""
    n = len(values)
    if n < FEWEST:
        raise ValueError(f"{n} windows, {FEWEST} needed")
    found = _slopes(times, values)
    estimate = median(found)
    rest = [value - estimate * at for at, value in zip(times, values, strict=True)]
    variance = n * (n - 1) * (2 * n + 5) / 18 * _hanging_together(rest)
    reach = NormalDist().inv_cdf(1 - error / 2) * math.sqrt(variance)
    low = max(0, math.floor((len(found) - reach) / 2) - 1)
    high = min(len(found) - 1, math.ceil((len(found) + reach) / 2))
    return Slope(estimate, found[low], found[high])


def _hanging_together(rest: Sequence[float]) -> float:
    """Hamed and Rao's factor, of the lags whose autocorrelation is not to be told from none left out."""
    n = len(rest)
    ranks = _ranks(rest)
    middle = fmean(ranks)
    whole = math.fsum((rank - middle) ** 2 for rank in ranks)
    if whole <= 0:
        return 1.0
    noise = NormalDist().inv_cdf(0.95) / math.sqrt(n)
    total = 0.0
    for lag in range(1, n - 2):
        along = math.fsum((ranks[i] - middle) * (ranks[i + lag] - middle) for i in range(n - lag)) / whole
        if abs(along) <= noise:
            break  # what comes later is noise as well
        total += (n - lag) * (n - lag - 1) * (n - lag - 2) * along
    return max(1.0, 1 + 2 * total / (n * (n - 1) * (n - 2)))


def _ranks(values: Sequence[float]) -> list[float]:
    """From 1; the mean of their places where several are equal."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    place = 0
    while place < len(order):
        last = place
        while last + 1 < len(order) and values[order[last + 1]] == values[order[place]]:
            last += 1
        for index in order[place : last + 1]:
            ranks[index] = (place + last) / 2 + 1
        place = last + 1
    return ranks


def drift(name: str, unit: Literal["s", "bytes"], at: Sequence[float], values: Sequence[float | None], *, error: float = 0.01) -> Drift:
    """Grows: the whole interval is above 0, the slope is worth a word, and the rise over this run is large enough to be one.

    Steady: it may as well not rise, and even its upper end is no rise worth a word over this run; one that is sure to rise is steady
    only if that holds for a whole hour as well.
    """
    shown = tuple(None if value is None else round(value, 6) for value in values)
    known = [(moment, value) for moment, value in zip(at, values, strict=True) if value is not None]

    def told(outcome: Trend, why: str, level: float | None = None, slope: Slope | None = None) -> Drift:
        per_hour = [None] * 3 if slope is None else [round(one * _HOUR, 6) for one in slope]
        return Drift(
            name=name,
            unit=unit,
            level=level,
            slope=per_hour[0],
            low=per_hour[1],
            high=per_hour[2],
            outcome=outcome,
            why=why,
            at=tuple(at),
            values=shown,
        )

    if len(known) < len(values) and unit == "s":
        return told("cannot tell", "there are windows whose calls were never answered")
    if len(known) < FEWEST:
        return told("cannot tell", f"{len(known)} windows, {FEWEST} needed: let it last longer")
    times, figures = [moment for moment, _ in known], [value for _, value in known]
    lasted = times[-1] - times[0]
    if lasted < SHORTEST:
        return told("cannot tell", f"windows over {format_duration(lasted)}, {format_duration(SHORTEST)} needed: let it last longer")
    level, slope = median(figures), slope_of(times, figures, error)
    small = max(_SHARE * level, _LEAST[unit])
    if slope.low > 0:
        if slope.high * max(_HOUR, lasted) <= small:
            return told("steady", "", level, slope)
        if slope.estimate * _HOUR > small and slope.estimate * lasted > _SEEN * _LEAST[unit]:
            return told("grows", "", level, slope)
        return told("cannot tell", "it rises a little, and whether it goes on so cannot be told: let it last longer", level, slope)
    if slope.high * lasted <= small:
        return told("steady", "", level, slope)
    return told("cannot tell", "its windows vary too much for so short a run: let it last longer", level, slope)
