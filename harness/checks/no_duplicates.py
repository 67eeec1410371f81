"""no_duplicates: every delivery is explained by what became of the one before it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from harness.checks._common import by_fault, count, inconclusive, tasks_of, user_line
from harness.checks.story import build_story
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import Delivery, FaultRecord, History, Message
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["NoDuplicates"]

BESIDE_RUNNING = "beside one that is running"
BESIDE_HELD = "beside one that is held"
AFTER_ACK = "although acknowledged"
#: A broker may notice a lost connection, and deliver again, before the worker notices it. Seconds.
_NOTICED_LATE = 2.0


@dataclass(slots=True)
class _Duplicate:
    delivery: Delivery
    earlier: Delivery
    cause: str


class NoDuplicates:
    """Accounts per message: one delivery for its publish, one more for each crash, rejection, lost connection or copy."""

    name: ClassVar[str] = "no_duplicates"
    question: ClassVar[str] = "every repeated delivery has a reason: a crash, a rejection, a lost connection or an injected copy"
    summary: ClassVar[str] = "no message is delivered again without a reason"
    Parameters: ClassVar[type[BaseModel]] = CheckParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: CheckParameters) -> None:
        self.parameters = parameters

    def judge(self, recorded: Recorded) -> CheckResult:
        """An unexplained delivery fails; no deliveries at all are inconclusive."""
        history = recorded.history
        if not history.deliveries:
            return inconclusive(NoDuplicates, "no message was delivered", "look whether the workers consume the load's queues")
        cuts = _disconnections(history)
        duplicates = [d for m in history.messages.values() if len(m.deliveries) > 1 for d in _unexplained(m, cuts)]
        again = sum(len(m.deliveries) - 1 for m in history.messages.values() if len(m.deliveries) > 1)
        copies = sum(1 for m in history.messages.values() if len(m.deliveries) > 1 for d in m.deliveries if d.copy)
        explained = again - copies - len(duplicates)
        delivered = count(len(history.deliveries), "delivery", "deliveries")
        summary = f"{delivered}; {again:,} repeated: {explained:,} explained, {copies:,} injected"
        if duplicates:
            summary += f", {len(duplicates):,} without a reason"
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=Verdict.FAIL if duplicates else Verdict.PASS,
            summary=summary,
            findings=_findings(recorded, duplicates),
            numbers={
                "deliveries": float(len(history.deliveries)),
                "repeated": float(again),
                "copies": float(copies),
                "duplicated": float(len(duplicates)),
            },
            by_fault=_cells(history, duplicates),
        )


def _disconnections(history: History) -> dict[int, list[float]]:
    found: dict[int, list[float]] = defaultdict(list)
    for life in history.processes:
        found[life.pid] += life.disconnected
    return found


def _unexplained(message: Message, cuts: dict[int, list[float]]) -> list[_Duplicate]:
    """The message itself and each injected copy of it are accounted for apart: every one of them may be delivered once for nothing."""
    threads: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in message.deliveries:
        threads[delivery.copy].append(delivery)
    return [d for thread in threads.values() if len(thread) > 1 for d in _account(thread, cuts)]


def _account(thread: list[Delivery], cuts: dict[int, list[float]]) -> list[_Duplicate]:
    """Each earlier delivery that came back to the broker pays for one later delivery."""
    found: list[_Duplicate] = []
    pool: list[Delivery] = [thread[0]]
    for delivery in thread[1:]:
        payer = next((d for d in pool if _came_back(d, delivery, cuts)), None)
        if payer is not None:
            pool.remove(payer)
        else:
            earlier = pool[-1]
            found.append(_Duplicate(delivery, earlier, _state_of(earlier, delivery)))
        pool.append(delivery)
    return found


def _came_back(earlier: Delivery, later: Delivery, cuts: dict[int, list[float]]) -> bool:
    """Did the broker get it back: by the death of its process, a rejection with requeue, or a lost connection?

    A death is compared without its time: a dead process records nothing more, so the order is certain, and when it
    was noticed is not. What was acknowledged did not come back, unless the connection broke while the ack was under way.
    """
    until = later.at if earlier.ack is None else min(later.at, earlier.ack)
    if any(earlier.at <= cut <= until + _NOTICED_LATE for cut in cuts.get(earlier.pid, ())):
        return True
    if earlier.ack is not None:
        return False
    return earlier.died is not None or (earlier.reject is not None and earlier.requeue)


def _state_of(earlier: Delivery, later: Delivery) -> str:
    if earlier.ack is not None and earlier.ack <= later.at:
        return AFTER_ACK
    if earlier.start is not None and earlier.start <= later.at and (earlier.end is None or earlier.end > later.at):
        return BESIDE_RUNNING
    return BESIDE_HELD


def _findings(recorded: Recorded, duplicates: list[_Duplicate]) -> tuple[Finding, ...]:
    groups: dict[tuple[str, str], list[_Duplicate]] = defaultdict(list)
    for duplicate in duplicates:
        groups[duplicate.cause, duplicate.delivery.message.task].append(duplicate)
    findings = []
    for (cause, task), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        ids = tasks_of(d.delivery for d in members)
        headline = f"{count(len(ids), f'{task} task'.strip())} delivered again {cause}."
        file, line = user_line(recorded.history, members[0].delivery)
        findings.append(
            Finding(
                word=Word.DUPLICATED,
                headline=headline,
                sentence=_sentence(recorded.history, members[0]),
                cause=cause,
                task=task,
                task_ids=ids,
                calls=tuple(sorted({d.delivery.message.call for d in members if d.delivery.message.call})),
                file=file,
                line=line,
                fix=EXPLANATIONS[Word.DUPLICATED][2],
                faults=tuple(sorted({f.index for d in members for f in _around(recorded.history, d)})),
                story=build_story(recorded, ids[0], title=headline),
            )
        )
    return tuple(findings)


def _sentence(history: History, duplicate: _Duplicate) -> str:
    earlier, later = duplicate.earlier, duplicate.delivery
    gap = format_duration(max(0.0, later.at - earlier.at))
    state = {
        BESIDE_RUNNING: f"was still running it on {earlier.worker}",
        BESIDE_HELD: f"still held it on {earlier.worker}",
        AFTER_ACK: "had acknowledged it",
    }[duplicate.cause]
    timeout = history.config.get("broker_transport_options", {}).get("visibility_timeout")
    hint = f" The visibility timeout is {timeout} s." if timeout is not None and duplicate.cause != AFTER_ACK else ""
    return f"{later.worker} received the message {gap} after an earlier delivery that {state}; nothing had returned it to the broker.{hint}"


def _around(history: History, duplicate: _Duplicate) -> list[FaultRecord]:
    """Faults that lasted between the two deliveries."""
    return [
        f
        for f in history.faults
        if f.begun is not None
        and f.begun <= duplicate.delivery.at
        and (f.ended if f.ended is not None else f.begun) >= duplicate.earlier.at
    ]


def _cells(history: History, duplicates: list[_Duplicate]) -> tuple[tuple[Verdict | None, str], ...]:
    guilty: dict[int, int] = defaultdict(int)
    for duplicate in duplicates:
        for fault in _around(history, duplicate):
            guilty[fault.index] += 1
    redelivered: dict[int, int] = defaultdict(int)
    copies = 0
    for message in history.messages.values():
        if len(message.deliveries) < 2:
            continue
        copies += sum(1 for d in message.deliveries if d.copy)
        for delivery in message.deliveries[:-1]:
            if delivery.died_by is not None:
                redelivered[delivery.died_by] += 1

    def words(fault: FaultRecord) -> str:
        if fault.name == "message.duplicate":
            return f"{copies:,} injected" if copies else ""
        return f"{redelivered[fault.index]:,} delivered again" if redelivered[fault.index] else ""

    return by_fault(history, {i: f"{n:,} without a reason" for i, n in guilty.items()}, words)
