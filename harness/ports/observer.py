"""Observers: see what is recorded while a run goes on. They judge nothing and change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.model.history import Depth, Usage

__all__ = ["NoObserver", "Observer"]


class Observer(Protocol):
    """Of one run's pass with faults. An observer that raises is noted and asked no more."""

    def begin(self, scenario: str, t0: float) -> str:
        """The load begins; ``t0`` in seconds of CLOCK_MONOTONIC. What the user should know (an address), or ''."""

    def see(self, records: Sequence[Mapping[str, Any]]) -> None:
        """New records of the journals (docs/journal.md), in the order of each file."""

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        """What was sampled just now."""

    def end(self) -> None:
        """Stop; also twice, also without `begin`."""


class NoObserver:
    """Sees nothing."""

    def begin(self, scenario: str, t0: float) -> str:
        """Nothing."""
        return ""

    def see(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
