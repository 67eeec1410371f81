"""What the comparison of worlds brings to light, before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.checks._worlds.lens import Ident
from harness.model.finding import Word

__all__ = ["AGAIN", "DIFFERENT", "LEFT", "MISSING", "PART", "Outcome", "Violation"]

AGAIN = "more than once"
MISSING = "missing"
DIFFERENT = "different"
PART = "in part"
LEFT = "left behind"


@dataclass(frozen=True, slots=True)
class Violation:
    """One identity that is not as the fates allow. ``calls``: those that it is laid to, if any."""

    word: Word
    cause: str
    ident: Ident
    calls: tuple[int, ...]
    before: Any
    after: Any
    expected: Any
    path: str = ""


@dataclass
class Outcome:
    """All of it. ``doubts``: what could not be told, in words; any makes a pass inconclusive."""

    violations: list[Violation] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    compared: int = 0
    expiring: int = 0

    def doubt(self, words: str) -> None:
        """Say each doubt once."""
        if words not in self.doubts:
            self.doubts.append(words)
