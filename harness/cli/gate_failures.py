"""What a cell of the gate shows that came to no verdict."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.gate.results import CellRun, refused_run
from harness.model.verdict import EXIT_CODES, Verdict
from harness.reporting.words import shortened

__all__ = ["failed_run"]


def failed_run(exc: HarnessError, took: float, longest: int) -> CellRun:
    """Of a cell that came to no verdict: the scenario was wrong, or the environment failed. ``longest``: letters that are told."""
    why = shortened(" ".join(filter(None, (str(exc).partition("\n")[0], exc.hint))), longest)
    if exc.exit_code == 2:
        return refused_run(why, took)
    return CellRun(Verdict.ENVIRONMENT, EXIT_CODES[Verdict.ENVIRONMENT], took, why)
