"""recovery: after each fault the backlog goes and work flows again, within a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, Field

from harness.checks._common import count, inconclusive
from harness.checks._common_fixes import RECONNECT, SUPERVISE
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import FaultRecord, History
from harness.model.quantities import Duration, format_duration
from harness.model.recovering import Gone, Recovery, recoveries
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["RecoversInTime", "RecoveryParameters"]


_MOST_NAMED = 4
_FIX_HELD = (
    "What a dead worker held comes back only when the broker gives it back: on Redis after the visibility timeout, so set it to a little "
    "more than the longest task; a lock or status that a killed attempt left behind needs an expiry."
)
_FIX_BUSY = (
    "Work waits although workers are there: look at their logs for tasks that wait for what a killed attempt left behind (then a lease "
    "with an expiry instead of a flag), else give it more workers, or more time (`within`)."
)


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
        """Later than allowed, never, or short of a worker: fail. A fault that is not measured or watched too briefly: inconclusive."""
        history = recorded.history
        if not history.faults:
            return inconclusive(RecoversInTime, "there was no fault to recover from", "plan a fault in the timeline")
        if not history.depths:
            return inconclusive(RecoversInTime, "the broker's depth was not sampled", "look for errors of the monitor in the report")
        measured = recoveries(history)
        findings = tuple(f for f in (self._finding(history, r) for r in measured) if f is not None)
        brief = [r for r in measured if r.pending and r.waited <= self.within]
        known = [r for r in measured if r.seconds is not None]
        untold = [r for r in measured if r.seconds is None and not r.pending]
        verdict = Verdict.FAIL if findings else Verdict.INCONCLUSIVE if brief or untold or not known else Verdict.PASS
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=self._summary(history, measured, known),
            advice="let the drain outlast `within`" if verdict is Verdict.INCONCLUSIVE else "",
            findings=findings,
            numbers={"slowest": max((r.seconds or 0.0 for r in known), default=0.0), "measured": float(len(known))},
            by_fault=tuple(self._cell(r) for r in measured),
        )

    def _summary(self, history: History, measured: list[Recovery], known: list[Recovery]) -> str:
        parts = []
        pending = [r for r in measured if r.pending]
        if pending:
            names = ", ".join(_name(history, r.fault) for r in pending)
            parts.append(f"no recovery from {names} in the {format_duration(max(r.waited for r in pending))} that were watched")
            parts.extend(_told(r.gone) for r in pending if r.gone)
        elif known:
            slowest = max(known, key=lambda r: r.seconds or 0.0)
            parts.append(f"slowest {format_duration(slowest.seconds or 0.0)}, after {_name(history, slowest.fault)}")
        untold = [f"{_name(history, r.fault)}: {r.why}" for r in measured if r.seconds is None and not r.pending]
        if untold:
            parts.append(("not measured: " if parts else "nothing to measure: ") + "; ".join(untold))
        return "; ".join(parts)

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
        if recovery.pending and (recovery.waited > self.within or any(left.final for left in recovery.gone)):
            return self._stuck(history, recovery, name)
        return None

    def _stuck(self, history: History, recovery: Recovery, name: str) -> Finding:
        last = history.depths[-1]
        waiting = f"At the end {count(last.ready, 'message')} waited in the broker and {last.unacked:,} were held unacknowledged."
        headline, fix = f"No recovery from {name} in {format_duration(recovery.waited)}.", _FIX_BUSY if last.ready else _FIX_HELD
        ended = [left for left in recovery.gone if left.how]
        if recovery.gone:
            workers = count(len(recovery.gone), "worker")
            alone = "itself" if len(recovery.gone) == 1 else "themselves"
            what = f"ended by {alone}" if len(ended) == len(recovery.gone) else "never came back"
            headline = f"No recovery from {name}: {workers} {what}."
            waiting = f"{_told(recovery.gone)}. {waiting}"
            fix = SUPERVISE if any(left.final for left in recovery.gone) else RECONNECT
        return Finding(word=Word.STUCK, headline=headline, sentence=waiting, cause="no recovery", fix=fix, faults=(recovery.fault,))

    def _cell(self, recovery: Recovery) -> tuple[Verdict | None, str]:
        if recovery.seconds is not None:
            late = recovery.seconds > self.within
            return (Verdict.FAIL if late else Verdict.PASS), f"in {format_duration(recovery.seconds)}"
        if recovery.pending:
            never = recovery.waited > self.within or any(left.final for left in recovery.gone)
            return (Verdict.FAIL if never else Verdict.INCONCLUSIVE), "not recovered"
        return None, recovery.why


def _told(gone: Sequence[Gone]) -> str:
    said = [
        f"{left.worker} ended by itself at {left.at:.1f} s ({left.how})"
        if left.how
        else f"{left.worker} lost its connection to the broker at {left.at:.1f} s and "
        + ("does not try again (broker_connection_retry is off)" if left.final else "did not get it back")
        for left in gone[:_MOST_NAMED]
    ]
    return "; ".join([*said, *([f"and {len(gone) - _MOST_NAMED} more"] if len(gone) > _MOST_NAMED else [])])


def _name(history: History, index: int) -> str:
    fault: FaultRecord | None = next((f for f in history.faults if f.index == index), None)
    return fault.name if fault is not None else f"fault {index + 1}"
