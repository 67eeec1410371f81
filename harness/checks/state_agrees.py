"""state_agrees: the result backend says of each task what the history says."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from harness.checks._common import by_fault, count, inconclusive, user_line
from harness.checks.story import build_story
from harness.model.fates import IN_BROKER, Fate, FateKind
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import FaultRecord, History, Message
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["StateAgrees", "StateAgreesParameters"]

#: Celery's result_expires (docs, 'Result backend settings'): one day.
_DEFAULT_EXPIRY = 86_400.0
_STATUS = {FateKind.SUCCEEDED: "SUCCESS", FateKind.FAILED: "FAILURE", FateKind.REVOKED: "REVOKED", FateKind.EXPIRED: "REVOKED"}
MISSING = "no result"


class StateAgreesParameters(CheckParameters):
    """How much evidence is enough."""

    samples: Annotated[int, Field(ge=1)] = Field(default=30, description="results to compare; where fewer tasks store one, all of them")


class StateAgrees:
    """Compares with the backend's keys: ``AsyncResult.get()`` races its own subscription and is no oracle."""

    name: ClassVar[str] = "state_agrees"
    question: ClassVar[str] = "the result backend says of each task what really happened"
    summary: ClassVar[str] = "results agree with what happened"
    Parameters: ClassVar[type[BaseModel]] = StateAgreesParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: StateAgreesParameters) -> None:
        self.samples = parameters.samples

    def judge(self, recorded: Recorded) -> CheckResult:
        """A disagreement fails; results not read, or too few to compare, are inconclusive."""
        history = recorded.history
        if not history.results_read:
            return inconclusive(StateAgrees, "the result backend was not read", "set system.backend, or leave the check out")
        expected = _expectations(history, recorded.readings.fates)
        comparable, undecoded, wrong = self._compare(history, expected)
        needed = min(self.samples, len(expected))
        findings = _findings(recorded, wrong)
        numbers = {"comparable": float(comparable), "needed": float(needed), "undecoded": float(undecoded), "disagree": float(len(wrong))}
        summary, advice = f"{count(comparable, 'result')} compared", ""
        unread = f"; {count(undecoded, 'stored result')} could not be decoded" if undecoded else ""
        verdict = Verdict.FAIL if wrong else Verdict.PASS
        if wrong:
            summary += f", {count(len(wrong), 'disagrees', 'disagree')}"
        elif not expected:
            verdict, summary = Verdict.INCONCLUSIVE, "no task that ended stores a result"
            advice = "leave the check out, or let tasks store results (task_ignore_result)"
        elif comparable < needed:
            verdict, summary = Verdict.INCONCLUSIVE, f"{count(comparable, 'result')} to compare, {needed} needed"
            advice = self._too_few(history, undecoded, gone=len(expected) - comparable - undecoded)
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=summary + unread,
            advice=advice,
            findings=findings,
            numbers=numbers,
            by_fault=_cells(history, wrong),
        )

    @staticmethod
    def _too_few(history: History, undecoded: int, gone: int) -> str:
        parts = []
        if undecoded:
            serializer = history.config.get("result_serializer")
            now = f" (now {serializer})" if serializer else ""
            parts.append(f"set result_serializer to json{now}, without result_compression: what is stored cannot be read otherwise")
        if gone:
            parts.append(f"result_expires is {_expiry(history):g} s: results were gone before they were read; set it to outlast the run")
        return "; ".join(parts)

    def _compare(self, history: History, expected: dict[str, tuple[Fate, set[str]]]) -> tuple[int, int, dict[str, tuple[Fate, str, str]]]:
        """(how many could be compared, how many not decoded, task id -> (fate, expected, found) of those that disagree)."""
        comparable = undecoded = 0
        wrong: dict[str, tuple[Fate, str, str]] = {}
        read_at = next((t for t in (history.ended, history.stopped_at, history.quiet_at) if t is not None), None)
        expiry = _expiry(history)
        for task_id, (fate, statuses) in expected.items():
            document = history.results.get(task_id)
            if document is None:
                finished = _finished(fate)
                if expiry and (read_at is None or finished is None or read_at - finished >= expiry):
                    continue  # it may have expired: nothing to compare
                found = MISSING
            elif document.get("status") is None:
                undecoded += 1  # something is stored, and what it says is not known
                continue
            else:
                found = str(document["status"])
            comparable += 1
            if found not in statuses:
                wrong[task_id] = (fate, " or ".join(sorted(statuses)), found)
        return comparable, undecoded, wrong


def _expectations(history: History, found: dict[str, Fate]) -> dict[str, tuple[Fate, set[str]]]:
    """Task id -> what the backend may say, for tasks whose state is certain and stored."""
    several: dict[str, list[Message]] = defaultdict(list)
    for message in history.messages.values():
        if message.is_retry or len(message.deliveries) > 1:
            several[message.task_id].append(message)
    expected = {}
    for task_id, fate in found.items():
        status = _STATUS.get(fate.kind)
        if status is None or fate.cause in ("ignored", "its result is stored", IN_BROKER) or fate.message is None:
            continue
        policy = history.task_policies.get(fate.message.task, {})
        if policy.get("ignore_result") or (fate.delivery is not None and fate.delivery.state == "DEDUPLICATED"):
            continue
        expected[task_id] = (fate, {status} | _other_ends(several.get(task_id, ())))
    return expected


def _other_ends(messages: Any) -> set[str]:
    """Attempts that ran beside each other may write in either order: each of their ends is legitimate."""
    states = {d.state for m in messages for d in m.deliveries if d.state in ("SUCCESS", "FAILURE")}
    return states if len(states) > 1 else set()


def _finished(fate: Fate) -> float | None:
    delivery = fate.delivery
    if delivery is None:
        return None
    return next((t for t in (delivery.end, delivery.ack, delivery.died, delivery.at) if t is not None), None)


def _expiry(history: History) -> float:
    """Seconds; 0: results never expire."""
    value = history.config.get("result_expires", _DEFAULT_EXPIRY)
    if value is None:
        return 0.0
    if isinstance(value, timedelta):
        return value.total_seconds()
    try:
        return float(value)
    except (TypeError, ValueError):
        return _DEFAULT_EXPIRY


def _findings(recorded: Recorded, wrong: dict[str, tuple[Fate, str, str]]) -> tuple[Finding, ...]:
    groups: dict[tuple[str, str, str], list[tuple[str, Fate]]] = defaultdict(list)
    for task_id, (fate, expected, found) in wrong.items():
        groups[fate.message.task if fate.message else "", expected, found].append((task_id, fate))
    findings = []
    for (task, expected, found), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        ids = tuple(id for id, _ in members)
        headline = f"{count(len(ids), f'{task} task'.strip())} ended as {expected}; the backend says {found}."
        file, line = user_line(recorded.history, members[0][1].delivery)
        findings.append(
            Finding(
                word=Word.STATE,
                headline=headline,
                sentence="Whoever asks for the result is told something else than what happened.",
                cause=f"{expected}, not {found}",
                task=task,
                task_ids=ids,
                calls=tuple(sorted({f.message.call for _, f in members if f.message and f.message.call})),
                file=file,
                line=line,
                fix=EXPLANATIONS[Word.STATE][2],
                faults=tuple(sorted({f.delivery.died_by for _, f in members if f.delivery and f.delivery.died_by is not None})),
                story=build_story(recorded, ids[0], title=headline),
            )
        )
    return tuple(findings)


def _cells(history: History, wrong: dict[str, tuple[Fate, str, str]]) -> tuple[tuple[Verdict | None, str], ...]:
    """A fault is guilty where it killed the attempt, or lasted while the task ended."""
    guilty: dict[int, int] = defaultdict(int)
    for fate, _, _ in wrong.values():
        at = _finished(fate)
        for fault in history.faults:
            during = at is not None and fault.begun is not None and fault.begun <= at <= (fault.ended or fault.begun)
            if during or (fate.delivery is not None and fate.delivery.died_by == fault.index):
                guilty[fault.index] += 1

    def words(fault: FaultRecord) -> str:
        return "agrees" if fault.begun is not None and history.results else ""

    return by_fault(history, {i: f"{n:,} disagree" for i, n in guilty.items()}, words)
