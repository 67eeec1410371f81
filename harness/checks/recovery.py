"""recovery: after each fault the backlog goes and work flows again, within a time."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from harness.checks._common import count, inconclusive
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import FaultRecord, History
from harness.model.quantities import Duration, format_duration
from harness.model.recovering import Recovery, recoveries
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["RecoversInTime", "RecoveryParameters"]


class RecoveryParameters(CheckParameters):
    """The time allowed."""

    within: Duration = Field(default=30.0, gt=0, description="from the healing of a fault until the backlog is gone and work flows")


class RecoversInTime:
    """Reads the broker's depth and the ends of tasks; queue length alone would miss what a dead worker holds."""

    name: ClassVar[str] = "recovery"
    question: ClassVar[str] = "after every fault the backlog goes and work flows again in time"
    summary: ClassVar[str] = "the system recovers from each fault within a time"
    Parameters: ClassVar[type[BaseModel]] = RecoveryParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: RecoveryParameters) -> None:
        self.within = parameters.within

    def judge(self, recorded: Recorded) -> CheckResult:
        """Later than allowed, or never: fail. No fault that can be measured, or watched too briefly: inconclusive."""
        history = recorded.history
        if not history.faults:
            return inconclusive(RecoversInTime, "there was no fault to recover from", "plan a fault in the timeline")
        if not history.depths:
            return inconclusive(RecoversInTime, "the broker's depth was not sampled", "look for errors of the monitor in the report")
        measured = recoveries(history)
        findings = tuple(f for f in (self._finding(history, r) for r in measured) if f is not None)
        brief = [r for r in measured if r.pending and r.waited <= self.within]
        known = [r for r in measured if r.seconds is not None]
        verdict = Verdict.FAIL if findings else Verdict.INCONCLUSIVE if brief or not known else Verdict.PASS
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=self._summary(history, measured, known),
            advice=self._advice(verdict, brief),
            findings=findings,
            numbers={"slowest": max((r.seconds or 0.0 for r in known), default=0.0), "measured": float(len(known))},
            by_fault=tuple(self._cell(r) for r in measured),
        )

    def _summary(self, history: History, measured: list[Recovery], known: list[Recovery]) -> str:
        pending = [r for r in measured if r.pending]
        if pending:
            names = ", ".join(_name(history, r.fault) for r in pending)
            return f"no recovery from {names} in the {format_duration(max(r.waited for r in pending))} that were watched"
        if not known:
            return "nothing to measure: " + "; ".join(f"{_name(history, r.fault)}: {r.why}" for r in measured)
        slowest = max(known, key=lambda r: r.seconds or 0.0)
        return f"slowest {format_duration(slowest.seconds or 0.0)}, after {_name(history, slowest.fault)}"

    def _advice(self, verdict: Verdict, brief: list[Recovery]) -> str:
        if verdict is not Verdict.INCONCLUSIVE:
            return ""
        return "let the drain outlast `within`" if brief else "let the load go on for a while after the last fault is healed"

    def _finding(self, history: History, recovery: Recovery) -> Finding | None:
        name = _name(history, recovery.fault)
        if recovery.seconds is not None and recovery.seconds > self.within:
            took, allowed = format_duration(recovery.seconds), format_duration(self.within)
            return Finding(
                word=Word.SLOW,
                headline=f"Recovery from {name} took {took}; {allowed} are allowed.",
                sentence="It is counted from the fault's healing until the backlog was back to normal and what it interrupted had ended.",
                cause="recovery",
                fix=EXPLANATIONS[Word.SLOW][2],
                faults=(recovery.fault,),
            )
        if recovery.pending and recovery.waited > self.within:
            last = history.depths[-1]
            return Finding(
                word=Word.STUCK,
                headline=f"No recovery from {name} in {format_duration(recovery.waited)}.",
                sentence=f"At the end {count(last.ready, 'message')} waited in the broker and {last.unacked:,} were held unacknowledged.",
                cause="no recovery",
                fix=EXPLANATIONS[Word.STUCK][2],
                faults=(recovery.fault,),
            )
        return None

    def _cell(self, recovery: Recovery) -> tuple[Verdict | None, str]:
        if recovery.seconds is not None:
            late = recovery.seconds > self.within
            return (Verdict.FAIL if late else Verdict.PASS), f"in {format_duration(recovery.seconds)}"
        if recovery.pending:
            return (Verdict.FAIL if recovery.waited > self.within else Verdict.INCONCLUSIVE), "not recovered"
        return None, recovery.why


def _name(history: History, index: int) -> str:
    fault: FaultRecord | None = next((f for f in history.faults if f.index == index), None)
    return fault.name if fault is not None else f"fault {index + 1}"
