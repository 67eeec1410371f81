"""Time in steps of equal width: how a chart, and a table by the second, count what happened when."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Grid"]


class Grid:
    """``count`` steps of ``step`` seconds from 0 on; what lies outside is left out."""

    def __init__(self, count: int, step: float = 1.0) -> None:
        self.count, self.step = count, step

    def index(self, at: float | None) -> int | None:
        """Of the step that holds this moment; the very end belongs to the last one."""
        if at is None:
            return None
        number = math.floor(at / self.step + 1e-9)
        if number == self.count and at <= self.count * self.step + 1e-6:
            number -= 1
        return number if 0 <= number < self.count else None

    def counts(self, moments: Iterable[float | None]) -> tuple[int, ...]:
        """How many lie in each step."""
        found = [0] * self.count
        for at in moments:
            number = self.index(at)
            if number is not None:
                found[number] += 1
        return tuple(found)
