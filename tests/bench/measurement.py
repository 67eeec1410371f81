"""One measured ratio, and helpers for interleaved pairs on a machine that other work shares."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Measurement", "pairs", "ratio_of_medians"]


@dataclass(frozen=True)
class Measurement:
    """``goal``: e.g. '<= 1.05'. ``spread``: lowest and highest single pair."""

    name: str
    ratio: float
    goal: str
    unit: str
    runs: int
    spread: tuple[float, float]

    @property
    def ok(self) -> bool:
        """Is the goal met?"""
        sign, number = self.goal.split()
        return self.ratio <= float(number) if sign == "<=" else self.ratio >= float(number)

    def row(self) -> dict[str, Any]:
        """As `reports/bench/latest.json` has it."""
        return {**asdict(self), "spread": list(self.spread), "ok": self.ok}


def pairs(first: Callable[[], float], second: Callable[[], float], count: int) -> list[tuple[float, float]]:
    """``count`` interleaved pairs, the order within a pair alternating, after one of each that is not counted."""
    first(), second()
    found = []
    for number in range(count):
        if number % 2:
            b = second()
            a = first()
        else:
            a = first()
            b = second()
        found.append((a, b))
    return found


def ratio_of_medians(name: str, found: Sequence[tuple[float, float]], goal: str, unit: str) -> Measurement:
    """The median of the pairs' ratios: a pair shares its moment, so drift of the machine cancels."""
    ratios = sorted(a / b for a, b in found)
    return Measurement(name, statistics.median(ratios), goal, unit, len(ratios), (ratios[0], ratios[-1]))
