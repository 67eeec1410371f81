"""The one clock and the one source of randomness: passed in, never reached for."""

from __future__ import annotations

import random
import time
from typing import Protocol

__all__ = ["Clock", "MonotonicClock", "derived_random"]


class Clock(Protocol):
    """Seconds of CLOCK_MONOTONIC (one clock for all processes of a machine), wall time, and waiting."""

    def now(self) -> float:
        """Seconds since an arbitrary start, the same for every process of this machine."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait; less when a signal arrives."""


class MonotonicClock:
    """The real one."""

    def now(self) -> float:
        """CLOCK_MONOTONIC, as the agent's journals have it."""
        return time.monotonic()

    def wall(self) -> float:
        """The system's time of day."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Plain sleep."""
        time.sleep(max(0.0, seconds))


def derived_random(seed: int, *purpose: object) -> random.Random:
    """An independent, reproducible stream per purpose, so that adding one draw does not shift all others."""
    return random.Random("/".join([str(seed), *map(str, purpose)]))
