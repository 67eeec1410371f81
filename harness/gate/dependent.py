"""Intervals from within one run, whose samples are not independent: a slow second is followed by another.

A run is a row of seconds. Whatever is estimated here is a sum over seconds by a sum over seconds; what it errs is the sum of the
seconds' residuals, and how much that sum varies is the *block bootstrap* over seconds: all blocks of b seconds in a row, drawn with
replacement. For a sum the bootstrap's variance has a closed form, so nothing is drawn and the same run gives the same interval.

- Blocks of residuals: H. R. Künsch, "The jackknife and the bootstrap for general stationary observations", Ann. Statist. 17 (1989);
  with the factor for few blocks from overlapping batch means: M. S. Meketon, B. Schmeiser, "Overlapping batch means: something for
  nothing?", Winter Simulation Conference 1984. Never less than the residuals' own
  autocovariances say: C. J. Geyer, "Practical Markov chain Monte Carlo", Statist. Sci. 7 (1992), section 3.3.
- Their length: D. N. Politis, H. White, "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23 (2004),
  with the correction of A. Patton, D. N. Politis, H. White, Econometric Reviews 28 (2009).
- Percentiles: the interval of the share below, taken back through the samples: R. S. Woodruff, "Confidence intervals for medians and
  other position measures", J. Amer. Statist. Assoc. 47 (1952). The share's interval is Wilson's score, with as many samples as would vary
  so much if they were independent: E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected number of
  positive counts estimated from survey data", Survey Methodology 24 (1998).
- The ratio of two estimates from their own intervals: A. Donner, G. Y. Zou, "Closed-form confidence intervals for functions of the
  normal mean and standard deviation", Stat. Methods Med. Res. 21 (2012).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import NamedTuple

__all__ = [
    "FEWEST_BLOCKS",
    "FEWEST_SECONDS",
    "Bounds",
    "Sample",
    "quantile_bounds",
    "quantile_of",
    "ratio_bounds",
    "share_bounds",
    "student",
]

#: Of fewer nobody can tell how they hang together.
FEWEST_SECONDS = 20
#: Seconds that hang together for longer than such a part of the run leave too little to judge by.
FEWEST_BLOCKS = 6


class Sample(NamedTuple):
    """``weight``: how many of them; infinite values have never ended."""

    second: int
    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """An estimate above 0 and its interval: ``low`` 0 and ``high`` infinite bound nothing. ``why``: '' or why they do not."""

    estimate: float
    low: float = 0.0
    high: float = math.inf
    why: str = ""

    def times(self, factor: float) -> Bounds:
        """All three."""
        return Bounds(self.estimate * factor, self.low * factor, self.high * factor, self.why)


def share_bounds(above: Sequence[float], below: Sequence[float], error: float) -> Bounds:
    """Of sum(above) / sum(below), one pair per second in order; misses in at most a share ``error`` of cases. ValueError: nothing below."""
    whole = math.fsum(below)
    if whole <= 0:
        raise ValueError("nothing to divide by")
    estimate = math.fsum(above) / whole
    if estimate <= 0:
        return Bounds(0.0, why="there was none")
    spread = _spread([a - estimate * b for a, b in zip(above, below, strict=True)])
    if spread.why:
        return Bounds(estimate, why=spread.why)
    factor = math.exp(min(700.0, spread.critical(error) * spread.deviation / whole / estimate))
    return Bounds(estimate, estimate / factor, estimate * factor)


def quantile_of(samples: Sequence[Sample], share: float) -> float:
    """Nearest rank. ValueError without samples."""
    ranked = sorted((value, weight) for _, value, weight in samples)
    if not ranked:
        raise ValueError("no samples")
    sums = list(accumulate(weight for _, weight in ranked))
    return ranked[min(len(ranked) - 1, bisect_left(sums, share * sums[-1] - 1e-9))][0]


def quantile_bounds(samples: Sequence[Sample], share: float, error: float) -> Bounds:
    """Of a percentile by nearest rank; as `share_bounds`. What lies beyond the slowest samples is not bounded."""
    ranked = sorted((value, weight) for _, value, weight in samples)
    sums = list(accumulate(weight for _, weight in ranked))
    whole = sums[-1]

    def at(part: float) -> float:
        return ranked[min(len(ranked) - 1, bisect_left(sums, part * whole - 1e-9))][0]

    estimate = at(share)
    # Whatever makes a second slow shows in its middle more clearly than in its few slowest samples.
    spread = _spread(_below(samples, estimate, whole), _below(samples, at(0.5), whole))
    if spread.why:
        return Bounds(estimate, why=spread.why)
    # Samples say no more than their number does, however even their seconds are.
    deviation = spread.deviation / whole
    independent = min(whole, share * (1 - share) / deviation**2) if deviation > 0 else whole
    begin, end = _wilson(share, independent, spread.critical(error))
    low = at(begin) if begin * independent >= 1 else 0.0
    high = at(end) if (1 - end) * independent >= 1 else math.inf
    return Bounds(estimate, min(low, estimate), max(high, estimate), "" if high < math.inf else "too few slower samples")


def _below(samples: Sequence[Sample], limit: float, whole: float) -> list[float]:
    """Per second: samples up to the limit, beyond what the second's number of samples lets expect."""
    upto: dict[int, float] = defaultdict(float)
    weights: dict[int, float] = defaultdict(float)
    for second, value, weight in samples:
        weights[second] += weight
        upto[second] += weight if value <= limit else 0.0
    share = math.fsum(upto.values()) / whole
    return [upto[second] - share * weights[second] for second in sorted(weights)]


def _wilson(share: float, count: float, critical: float) -> tuple[float, float]:
    squared = critical * critical
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = critical / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count * count))
    return middle - half, middle + half


def ratio_bounds(before: Bounds, after: Bounds) -> Bounds:
    """Of after / before, which are independent. Each one's interval at its own confidence gives the ratio's at the same."""
    why = before.why or after.why
    if math.isinf(before.estimate) or math.isinf(after.estimate):
        ratio = math.nan if before.estimate == after.estimate else math.inf if math.isinf(after.estimate) else 0.0
        return Bounds(ratio, after.low / before.high if before.high else 0.0, _divided(after.high, before.low), why)
    ratio = math.log(after.estimate / before.estimate)
    down = math.hypot(_log(after.estimate, after.low), _log(before.high, before.estimate))
    up = math.hypot(_log(after.high, after.estimate), _log(before.estimate, before.low))
    return Bounds(math.exp(ratio), math.exp(ratio - down), math.exp(min(700.0, ratio + up)) if up < math.inf else math.inf, why)


def _divided(above: float, below: float) -> float:
    return above / below if below > 0 and math.isfinite(above) else math.inf


def _log(above: float, below: float) -> float:
    """log(above / below), where above may be infinite and below 0."""
    return math.inf if below <= 0 or math.isinf(above) else math.log(above / below)


class _Spread(NamedTuple):
    """How much the sum of residuals varies. ``why``: '' or why that cannot be told."""

    deviation: float = 0.0
    freedom: float = 1.0
    why: str = ""

    def critical(self, error: float) -> float:
        """How many deviations to either side leave out a share ``error``."""
        return student(1 - error / 2, self.freedom)


def _spread(residuals: Sequence[float], guide: Sequence[float] = ()) -> _Spread:
    """``guide``: residuals of the same seconds that show better how long these hang together."""
    n = len(residuals)
    if n < FEWEST_SECONDS:
        return _Spread(why=f"{n} seconds, {FEWEST_SECONDS} needed")
    covariances = _covariances(residuals)
    found = [covariances, _covariances(guide)] if guide else [covariances]
    reach = max(_reach(one) for one in found)
    length = max(math.ceil(n ** (1 / 3)), reach, *(math.ceil(_block_length(one, n)) for one in found))
    if length * FEWEST_BLOCKS > n:
        return _Spread(why="seconds hang together")
    sums = [0.0, *accumulate(residuals)]
    squares = math.fsum((sums[i + length] - sums[i]) ** 2 for i in range(n - length + 1))
    blocks = squares * n * n / (length * (n - length + 1) * (n - length))
    variance = max(n * covariances[0], blocks, _remembered(covariances, reach, n))
    return _Spread(math.sqrt(variance), n / length - 1)


def _covariances(residuals: Sequence[float]) -> list[float]:
    """At lag 0 and up to beyond where a block may reach."""
    n = len(residuals)
    lags = min(n // 2, max(math.ceil(math.sqrt(n)) + 6, n // FEWEST_BLOCKS + 4))
    return [math.fsum(residuals[i] * residuals[i + lag] for i in range(n - lag)) / n for lag in range(lags)]


def _reach(covariances: Sequence[float]) -> int:
    """How many seconds hang together, by Geyer's initial positive sequence: pairs of neighbouring lags as long as their sum is above 0."""
    pairs = range(1, len(covariances) - 1, 2)
    return next((lag - 1 for lag in pairs if covariances[lag] + covariances[lag + 1] <= 0), pairs[-1] + 1)


def _remembered(covariances: Sequence[float], reach: int, n: int) -> float:
    """Variance of the residuals' sum by their autocovariances.

    Blocks miss what reaches beyond their ends, so a run whose slowness wanders slowly would look surer than it is. Each covariance is
    too low by the variance of the mean that was taken off, which the last factor gives back.
    """
    total = covariances[0] + 2 * math.fsum(covariances[1 : reach + 1])
    left = 1 - (2 * reach + 1) / n
    return max(0.0, total) * n / left if left > 0 else math.inf


def _block_length(covariances: Sequence[float], n: int) -> float:
    """Politis and White's for overlapping blocks: from the autocorrelations up to where they are no longer to be told from none."""
    variance = covariances[0]
    if variance <= 0:
        return 1.0
    furthest = min(len(covariances) - 1, math.ceil(math.sqrt(n)) + 5)
    noise = 2 * math.sqrt(math.log10(n) / n) * variance
    row = max(5, math.ceil(math.sqrt(math.log10(n))))
    last = next((m for m in range(furthest - row + 1) if all(abs(c) < noise for c in covariances[m + 1 : m + 1 + row])), furthest - row)
    window = min(furthest, 2 * max(1, last))
    weights = [min(1.0, 2 * (1 - lag / window)) for lag in range(1, window + 1)]
    longrun = variance + 2 * math.fsum(w * c for w, c in zip(weights, covariances[1:], strict=False))
    slope = 2 * math.fsum(w * lag * c for lag, (w, c) in enumerate(zip(weights, covariances[1:], strict=False), 1))
    if longrun <= variance:
        return 1.0  # one second makes up for another: taken as independent, they look no surer than they are
    return float((2 * slope * slope / (4 / 3 * longrun * longrun) * n) ** (1 / 3))


def student(probability: float, freedom: float) -> float:
    """Student's t: the value that is not exceeded with this probability. By Cornish and Fisher's expansion: M. Abramowitz, I. A. Stegun,
    "Handbook of Mathematical Functions" (1964), 26.7.5; up to 99.5 % and from 6 degrees of freedom on within 1 % of the table.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
