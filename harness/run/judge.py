"""Runs the checks. One that crashes is inconclusive, never a pass, and its error is shown."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from harness.model.finding import CheckResult
from harness.model.verdict import Verdict
from harness.ports.check import Check, Recorded

__all__ = ["judge_all"]


def judge_all(checks: Sequence[Check], recorded: Recorded) -> list[CheckResult]:
    """Every check's result, in order. Verdicts of a history with torn records are never a pass."""
    return [_demote_if_torn(_judge(check, recorded), recorded) for check in checks]


def _judge(check: Check, recorded: Recorded) -> CheckResult:
    try:
        return check.judge(recorded)
    except Exception as exc:
        last = traceback.extract_tb(exc.__traceback__)[-1]
        return CheckResult(
            name=check.name,
            question=check.question,
            verdict=Verdict.INCONCLUSIVE,
            summary=f"the check itself failed: {type(exc).__name__}: {exc} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})",
            advice="this is a bug of the harness: please report it with the run's folder",
        )


def _demote_if_torn(result: CheckResult, recorded: Recorded) -> CheckResult:
    torn = recorded.history.torn
    if not torn or result.verdict is not Verdict.PASS:
        return result
    return result.model_copy(
        update={
            "verdict": Verdict.INCONCLUSIVE,
            "summary": f"{result.summary}; but {torn} records of the journal are torn",
            "advice": "run it again",
        }
    )
