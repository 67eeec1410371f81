"""The rate at which trials turn from kept to missed, with an interval, from trials that err now and then.

P(kept at rate r) = e + (1 - 2e) / (1 + exp((log r - m) / s)): a logistic curve over the logarithm of the rate, with its middle m (the
capacity) and its width s, both unknown. e stands for trials that come out wrong whatever their rate is, because something else had the
machine. The posterior over a grid of m and s, flat in the logarithm of s, gives the estimate (median of m) and the interval (equal tails,
over all s).

- Middle and width together, by Bayes on a grid: L. L. Kontsevich, C. W. Tyler, "Bayesian adaptive estimation of psychometric slope and
  threshold", Vision Research 39 (1999).
- The share e, without which one odd trial misleads all that follow: F. A. Wichmann, N. J. Hill, "The psychometric function: I. Fitting,
  sampling, and goodness of fit", Perception & Psychophysics 63 (2001).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from operator import add

__all__ = ["Knee", "Posterior"]

#: One trial in fifty comes out wrong whatever its rate.
_ODD = 0.02
#: Widths of the curve: from 9 of 10 kept to 1 of 10 the rate grows by 7 % to a factor of 2.9.
_WIDTHS = tuple(0.015 * 2.0**step for step in range(5))
#: The middle lies within so many times the first rate, or that part of it; and how fine it is looked at.
_FAR, _STEP = 5_000.0, 0.01
_REACH = math.ceil(math.log(_FAR) / _STEP)
#: How far from the middle of the bracket it may be expected, in log rate: half of it within a factor of two.
_NEAR = math.log(2.0)


@dataclass(frozen=True, slots=True)
class Knee:
    """The estimate, and the ends of the interval."""

    estimate: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """How wide the interval is: its upper end by its lower one."""
        return self.high / self.low


class Posterior:
    """What is known of the middle. ``start``: a rate of the right order."""

    def __init__(self, start: float) -> None:
        self._start = math.log(start)
        self._logs = [[0.0] * (2 * _REACH + 1) for _ in _WIDTHS]
        self._sums: list[float] = list(accumulate([1.0] * (2 * _REACH + 1)))

    def about(self, rate: float) -> None:
        """Before anything else is known it is expected here: Cauchy's curve, so that it may be far off all the same."""
        centre = math.log(rate)
        prior = [-math.log1p(((self._middle(place) - centre) / _NEAR) ** 2) for place in range(2 * _REACH + 1)]
        self._take(prior for _ in _WIDTHS)

    def add(self, rate: float, kept: bool) -> None:
        """A trial that counts."""
        place = min(2 * _REACH, max(0, round((math.log(rate) - self._start) / _STEP) + _REACH))
        begin = 2 * _REACH - place
        self._take(row[begin : begin + 2 * _REACH + 1] for row in _curves(kept))

    def _take(self, rows: Iterable[Sequence[float]]) -> None:
        self._logs = [list(map(add, known, row)) for known, row in zip(self._logs, rows, strict=True)]
        highest = max(map(max, self._logs))
        self._sums = list(accumulate(sum(math.exp(value - highest) for value in column) for column in zip(*self._logs, strict=True)))

    def _middle(self, place: int) -> float:
        return self._start + (place - _REACH) * _STEP

    def quantile(self, share: float) -> float:
        """The rate below which the middle lies with this probability."""
        wanted = share * self._sums[-1]
        place = bisect_left(self._sums, wanted)
        before = self._sums[place - 1] if place else 0.0
        part = (wanted - before) / (self._sums[place] - before) if self._sums[place] > before else 0.5
        return math.exp(self._middle(place) + (part - 0.5) * _STEP)

    def knee(self, error: float) -> Knee:
        """The interval misses the middle with probability ``error``, as far as the curve is of that shape."""
        return Knee(self.quantile(0.5), self.quantile(error / 2), self.quantile(1 - error / 2))


@cache
def _curves(kept: bool) -> list[list[float]]:
    """Per width the logarithm of the probability of that outcome, by how far the middle is from the rate: from far below to far above."""
    return [[_likely(offset * _STEP / width, kept) for offset in range(-2 * _REACH, 2 * _REACH + 1)] for width in _WIDTHS]


def _likely(above: float, kept: bool) -> float:
    """``above``: how far the middle is above the rate, in widths."""
    share = 1 / (1 + math.exp(max(-60.0, min(60.0, -above if kept else above))))
    return math.log(_ODD + (1 - 2 * _ODD) * share)
