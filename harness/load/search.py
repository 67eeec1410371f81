"""Which rate to try next, and when to stop: a search for the highest rate that keeps what is asked for. Pure and deterministic.

First the rate is doubled or halved until one was kept and one was missed. Then each trial is made where the posterior says that kept and
missed are as likely (`search_knee`): bisection that does not trust a single answer. M. Horstein, "Sequential transmission using noiseless
feedback", IEEE Trans. Inf. Theory 9 (1963); R. Waeber, P. I. Frazier, S. G. Henderson, "Bisection search with noisy responses", SIAM J.
Control Optim. 51 (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.load.search_knee import Posterior
from harness.model.quantities import format_duration, format_rate
from harness.model.searching import Capacity, Ended, Outcome

__all__ = ["CapacitySearch", "Goal", "budget_text"]

#: How often the generator may be found short before nobody tries higher.
_SHORT = 3
#: Trials that say nothing, in a row, before it is given up.
_SILENT = 3
#: A rate so close to one that cannot be tried is as good as it.
_CLOSE = 1.1
#: How often the lowest rate, or the highest, is tried before it is believed.
_TWICE = 2


@dataclass(frozen=True, slots=True)
class Goal:
    """``precision``: the interval is narrow enough when each end is within this share of its middle. ``at_least``: a rate to decide on."""

    start: float
    lowest: float
    highest: float
    confidence: float = 0.95
    precision: float = 0.2
    at_least: float | None = None
    most: int = 60


class CapacitySearch:
    """Ask `next`, make the trial, `add` what came out; until `next` is None. ``ended`` and ``stopped`` say why, the latter in words."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.ended: Ended = "cut"
        self.stopped = "it was cut short"
        self._posterior = Posterior(goal.start)
        self._kept: list[float] = []
        self._missed: list[float] = []
        self._ceiling = math.inf  # the lowest rate at which the generator was short
        self._short = self._silent = 0
        self._last = goal.start

    @property
    def kept(self) -> float | None:
        """The highest rate that was kept."""
        return max(self._kept, default=None)

    @property
    def missed(self) -> float | None:
        """The lowest rate that was missed."""
        return min(self._missed, default=None)

    @property
    def bracketed(self) -> bool:
        """Was one kept, and one missed?"""
        return bool(self._kept and self._missed)

    def add(self, rate: float, outcome: Outcome) -> None:
        """What became of a trial."""
        self._silent = self._silent + 1 if outcome == "uncounted" else 0
        if outcome == "generator":
            self._short += 1
            self._ceiling = min(self._ceiling, rate)
        elif outcome != "uncounted":
            before = self.bracketed
            (self._kept if outcome == "kept" else self._missed).append(rate)
            self._posterior.add(rate, outcome == "kept")
            if self.bracketed and not before:
                self._posterior.about(math.sqrt(max(self._kept) * min(self._missed)))
        self._last = rate

    def next(self) -> float | None:
        """The rate of the next trial; None: enough is known, or more cannot be."""
        if self._silent:
            return self._last if self._silent < _SILENT else self._over("silent", f"{_SILENT} trials in a row say nothing")
        if len(self._kept) + len(self._missed) >= self.goal.most:
            return self._over("trials", f"{self.goal.most} trials were made")
        if self._decided():
            return self._over("decided", "")
        if not self.bracketed:
            return self._bracket()
        if self.goal.at_least is None and self._narrow():
            return self._over("precise", "")
        # Nothing tells more about a rate than trials at that rate.
        wanted = self.goal.at_least or self._posterior.quantile(0.5)
        return self._below_ceiling(min(max(wanted, self.goal.lowest), self.goal.highest))

    def _bracket(self) -> float | None:
        goal = self.goal
        if self._missed:
            if self._missed.count(goal.lowest) >= _TWICE:
                return self._over("lowest", f"not even {format_rate(goal.lowest)} was kept, and a trial of less tells nothing")
            return max(goal.lowest, min(self._missed) / 2)
        if not self._kept:
            return self._below_ceiling(goal.start)
        if self._kept.count(goal.highest) >= _TWICE:
            return self._over("highest", f"{format_rate(goal.highest)} was kept, and is the highest rate that was to be tried")
        return self._below_ceiling(min(goal.highest, max(self._kept) * 2))

    def _below_ceiling(self, rate: float) -> float | None:
        """The rate, or where the generator cannot make so many calls one between those that it can and those that it cannot."""
        if rate < self._ceiling:
            return rate
        base = self.kept or self._ceiling / 2
        between = math.sqrt(base * self._ceiling)
        if self._short >= _SHORT or (self._kept and self._ceiling / base < _CLOSE) or between < self.goal.lowest:
            return self._over("generator", f"the generator did not make {format_rate(self._ceiling)} as asked")
        return between if self._kept else max(self.goal.lowest, self._ceiling / 2)

    def _narrow(self) -> bool:
        knee = self._posterior.knee(1 - self.goal.confidence)
        return knee.ratio <= (1 + self.goal.precision) / (1 - self.goal.precision)

    def _decided(self) -> bool:
        wanted = self.goal.at_least
        if wanted is None:
            return False
        found = self.capacity()
        return (found.low is not None and found.low >= wanted) or (found.high is not None and found.high < wanted)

    def _over(self, ended: Ended, why: str) -> float | None:
        self.stop(ended, why)
        return None

    def stop(self, ended: Ended, why: str) -> None:
        """No further trial, for this reason."""
        self.ended, self.stopped = ended, why

    def capacity(self) -> Capacity:
        """What is known. Where no rate was missed, or none kept, there is one bound alone, which is no surer than what was tried."""
        goal = self.goal
        knee = self._posterior.knee(1 - goal.confidence)
        low = min(self.kept, knee.low) if self.kept is not None and not self._missed else knee.low if self._kept else None
        high = max(self.missed, knee.high) if self.missed is not None and not self._kept else knee.high if self._missed else None
        return Capacity(
            estimate=knee.estimate if low is not None and high is not None else None,
            low=low,
            high=high,
            confidence=goal.confidence,
            ended=self.ended,
            bound=self.stopped,
            at_least=goal.at_least,
        )


def budget_text(seconds: float) -> str:
    """Why a search ends whose time is up."""
    return f"the budget of {format_duration(seconds)} was used up"
