"""Counting: every message of the run ends in exactly one class (see harness.model.fates for the rules)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.model.fates import Fate, FateKind

__all__ = ["Balance", "balance"]

#: In the order in which a summary names them.
_WORDS = {
    FateKind.SUCCEEDED: "succeeded",
    FateKind.FAILED: "failed",
    FateKind.REVOKED: "revoked",
    FateKind.EXPIRED: "expired",
    FateKind.DEAD_LETTERED: "dead-lettered",
    FateKind.REJECTED: "rejected",
    FateKind.DISCARDED: "discarded",
    FateKind.SCHEDULED: "scheduled",
    FateKind.STRANDED: "stranded",
    FateKind.LOST: "lost",
    FateKind.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Balance:
    """Tasks by class. ``total`` leaves out tasks whose publish failed or was never confirmed and that nobody saw."""

    total: int
    by_kind: Mapping[FateKind, int]
    unpublished: int
    runs_again: int
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """'1,500 = 1,497 succeeded + 3 failed'; the classes add up to the total."""
        parts = [f"{self.by_kind[kind]:,} {word}" for kind, word in _WORDS.items() if self.by_kind.get(kind)]
        return f"{self.total:,} = " + (" + ".join(parts) or "0")


def balance(fates: Mapping[str, Fate]) -> Balance:
    """Count fates of tasks."""
    by_kind = Counter(fate.kind for fate in fates.values())
    unpublished = by_kind.pop(FateKind.UNPUBLISHED, 0)
    total = sum(by_kind.values())
    runs_again = sum(fate.runs_again for fate in fates.values())
    numbers = {"tasks": float(total), "unpublished": float(unpublished), "runs_again": float(runs_again)}
    numbers |= {kind.value: float(number) for kind, number in by_kind.items()}
    return Balance(total, by_kind, unpublished, runs_again, numbers)
