"""What several ask of one finished history, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from harness.model.fate import Fate
from harness.model.fates import fates
from harness.model.history import History
from harness.model.little import little
from harness.model.measures import Little
from harness.model.sampling import Samples

__all__ = ["Readings"]


class Readings:
    """Of a history that does not change any more. ``semantics``: the broker's (`BrokerKind.semantics`)."""

    def __init__(self, history: History, semantics: Mapping[str, Any]) -> None:
        self.history, self.semantics = history, semantics

    @cached_property
    def fates(self) -> dict[str, Fate]:
        """Task id -> what became of it."""
        return fates(self.history, self.semantics)

    @cached_property
    def samples(self) -> Samples:
        """Latencies, with the part of the load that each belongs to."""
        return Samples(self.history, self.semantics, self.fates)

    @cached_property
    def little(self) -> Little | None:
        """Does the broker's own count agree with the journals? None where nobody can tell."""
        return little(self.history)
