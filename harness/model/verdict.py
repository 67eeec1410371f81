"""Verdicts and how they combine."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["EXIT_CODES", "Verdict", "combine"]


class Verdict(str, Enum):
    """What a check, a scenario or a command concluded. ``environment`` is never a check's own."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ENVIRONMENT = "environment"

    def __str__(self) -> str:
        return self.value


EXIT_CODES: dict[Verdict, int] = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.ENVIRONMENT: 3,
    Verdict.INCONCLUSIVE: 4,
}

_PRIORITY = (Verdict.FAIL, Verdict.ENVIRONMENT, Verdict.INCONCLUSIVE, Verdict.PASS)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Over checks, matrix cells and files: fail, then environment, then inconclusive, then pass.

    Nothing to combine is inconclusive: no evidence is not a pass.
    """
    present = set(verdicts)
    return next((v for v in _PRIORITY if v in present), Verdict.INCONCLUSIVE)
