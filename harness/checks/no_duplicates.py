"""no_duplicates: every delivery is explained by what became of the one before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from harness.checks._common import by_fault, count, inconclusive, tasks_of, user_line, visibility_timeout
from harness.checks._common_resends import Resends, Resent
from harness.checks.story import build_story
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import Delivery, FaultRecord, History, Message
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.model.ways import on_way
from harness.ports.check import CheckParameters, Recorded

__all__ = ["NoDuplicates"]

BESIDE_RUNNING = "beside one that is running"
BESIDE_HELD = "beside one that is held"
AFTER_ACK = "although acknowledged"
#: A worker that lost its connection goes on with what it runs, and the broker has it run elsewhere (F09).
WENT_ON = "beside one that went on without its connection"
#: A publish was tried again after the broker had taken it, and both copies ran at one time (F26).
SENT_BESIDE = "beside one that its client had sent before"
#: A broker may notice a lost connection, and deliver again, before the worker notices it. Seconds.
_NOTICED_LATE = 2.0
_WENT_ON_FIX = (
    "Set worker_cancel_long_running_tasks_on_connection_loss=True, which ends such a task at once; and make it safe to run beside itself."
)
_SENT_FIX = (
    "Make the task safe to run beside itself (a lock, or a row that is claimed); task_publish_retry=False sends once, and leaves it to "
    "the caller what to do about an error."
)
_SENT_ADVICE = (
    "repeat the run with a fault that is known to bite and cuts connections (broker.restart, net.partition), or with none; a publish is "
    "tried again only with task_publish_retry=True"
)


@dataclass(slots=True)
class _Duplicate:
    delivery: Delivery
    earlier: Delivery
    cause: str


@dataclass(slots=True)
class _Accounts:
    """Of one pass: deliveries for which nobody pays, and those of messages that their client sent again, or may have."""

    duplicates: list[_Duplicate]
    resent: list[tuple[Delivery, Resent]]

    @property
    def sure(self) -> int:
        return sum(1 for _, why in self.resent if why.sure)

    @property
    def unsure(self) -> int:
        return len(self.resent) - self.sure


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
        """An unexplained delivery fails; inconclusive are no deliveries at all, and one that was perhaps sent again."""
        history = recorded.history
        if not history.deliveries:
            return inconclusive(NoDuplicates, "no message was delivered", "look whether the workers consume the load's queues")
        ways = _WaysBack.of(recorded)
        accounts = _Accounts([], [])
        repeated = [m for m in history.messages.values() if len(m.deliveries) > 1]
        for message in repeated:
            _account_for(message, ways, accounts)
        duplicates = accounts.duplicates
        again = sum(len(m.deliveries) - 1 for m in repeated)
        copies = sum(1 for m in repeated for d in m.deliveries if d.copy)
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=Verdict.FAIL if duplicates else Verdict.INCONCLUSIVE if accounts.unsure else Verdict.PASS,
            summary=_summary(len(history.deliveries), again, copies, accounts),
            advice=_SENT_ADVICE if accounts.unsure and not duplicates else "",
            findings=_findings(recorded, duplicates),
            numbers={
                "deliveries": float(len(history.deliveries)),
                "repeated": float(again),
                "copies": float(copies),
                "sent_again": float(accounts.sure),
                "duplicated": float(len(duplicates)),
            },
            by_fault=_cells(history, accounts),
        )


def _summary(deliveries: int, again: int, copies: int, accounts: _Accounts) -> str:
    explained = again - copies - len(accounts.duplicates) - accounts.unsure
    summary = f"{count(deliveries, 'delivery', 'deliveries')}; {again:,} repeated: {explained:,} explained, {copies:,} injected"
    if accounts.duplicates:
        summary += f", {len(accounts.duplicates):,} duplicated"
    if accounts.sure:
        summary += f"; {accounts.sure:,} sent again by the client: its connection was lost during the publish"
    if accounts.unsure:
        summary += (
            f"; {accounts.unsure:,} perhaps sent again by the client: no sign that the connection was lost and the publish tried again"
        )
    return summary


@dataclass(frozen=True, slots=True)
class _WaysBack:
    """How a delivered message may have come back to the broker. Times as in the history; those after ``stop`` are the harness's doing.

    ``cuts``: pid -> when it lost its connection. ``downs``: pid -> when it ended. ``at_once``: the broker takes back what was
    not acknowledged as soon as the connection is gone, and it answers no ack, so a recorded one may never have arrived (AMQP).
    ``dead_letters``: what is rejected without requeue may come back another way. ``faults``: those that cut workers off from the broker.
    ``resends``: what never came back, but was sent again.
    """

    cuts: Mapping[int, Sequence[float]]
    downs: Mapping[int, float]
    stop: float
    at_once: bool
    dead_letters: bool
    faults: Sequence[FaultRecord]
    resends: Resends

    @classmethod
    def of(cls, recorded: Recorded) -> _WaysBack:
        history, semantics = recorded.history, recorded.semantics
        at_once = semantics.get("redelivers_on") == "lost_connection"
        cuts: dict[int, list[float]] = defaultdict(list)
        for life in history.processes:
            cuts[life.pid] += life.disconnected
        downs = {life.pid: life.down for life in history.processes if life.down is not None}
        stop = history.stopped_at if history.stopped_at is not None else float("inf")
        resends = Resends.of(recorded)
        return cls(cuts, downs, stop, at_once, bool(semantics.get("dead_letters")), resends.faults, resends)

    def explain(self, earlier: Delivery, later: Delivery) -> bool:
        """Did the broker get it back: by the death of its process, a rejection, or a lost connection?"""
        if self.lost_connection(earlier, later):
            return True
        if earlier.ack is not None:
            return self.at_once and self._died_at(earlier, earlier.ack)
        return self.died_first(earlier, later) or (earlier.reject is not None and earlier.requeue) or self.dead_lettered(earlier)

    def dead_lettered(self, earlier: Delivery) -> bool:
        """Rejected for good, so that the broker may publish it anew somewhere else."""
        return self.dead_letters and earlier.ack is None and earlier.reject is not None and not earlier.requeue

    def died_first(self, earlier: Delivery, later: Delivery) -> bool:
        """A death is compared without its time: a dead process records nothing more, so the order is certain, and when it was
        noticed is not. But for those that the harness's own stop killed: they lived until then.
        """
        if earlier.died is None:
            return False
        return earlier.died_by is not None or earlier.died < self.stop or later.at >= self.stop

    def lost_connection(self, earlier: Delivery, later: Delivery) -> bool:
        """What was acknowledged did not come back, unless the connection broke while the ack was under way.

        Where the broker itself says that it delivers again (its flag), and only lost connections make it do so, the worker may
        notice at any later time (one that is frozen does not notice before it thaws), or, cut off by a fault, never.
        """
        until = later.at if earlier.ack is None else min(later.at, earlier.ack)
        latest = self.stop if self.at_once and later.redelivered and later.at < self.stop else until + _NOTICED_LATE
        if any(earlier.at <= cut <= latest for cut in self.cuts.get(earlier.pid, ())):
            return True
        return self.at_once and later.redelivered and any(_cut_off(fault, earlier, until) for fault in self.faults)

    def _died_at(self, earlier: Delivery, ack: float) -> bool:
        """An ack that was written to the socket of a process that is killed may be thrown away with it."""
        down = self.downs.get(earlier.pid)
        return down is not None and ack <= down <= ack + _NOTICED_LATE


def _cut_off(fault: FaultRecord, delivery: Delivery, until: float) -> bool:
    """Was its worker cut off from the broker between the delivery and ``until``?"""
    begun = fault.begun if fault.begun is not None else float("inf")
    ended = fault.ended if fault.ended is not None else float("inf")
    return (
        on_way(fault, delivery.worker)
        and begun <= until
        and delivery.at <= ended + _NOTICED_LATE
        and (delivery.ack is None or delivery.ack <= ended)
    )


def _account_for(message: Message, ways: _WaysBack, accounts: _Accounts) -> None:
    """The message itself and each injected copy of it are accounted for apart: every one of them may be delivered once for nothing."""
    threads: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in message.deliveries:
        threads[delivery.copy].append(delivery)
    for thread in threads.values():
        if len(thread) > 1:
            _account(thread, ways, accounts)


def _account(thread: list[Delivery], ways: _WaysBack, accounts: _Accounts) -> None:
    """Each earlier delivery that came back to the broker pays for one later delivery; one that was sent again is paid for by its client.

    The client is asked first: what it sent again is not flagged, and takes no payer away from what really came back. A dead letter that
    the broker itself publishes again is not flagged either.
    """
    pool: list[Delivery] = [thread[0]]
    sent_again = 0
    for delivery in thread[1:]:
        rerouted = next((d for d in pool if ways.dead_lettered(d)), None)
        if rerouted is None and (why := ways.resends.why(delivery, sent_again)) is not None:
            sent_again += 1
            beside = next((d for d in pool if _ran_beside(d, delivery, ways)), None)
            if beside is None:
                accounts.resent.append((delivery, why))
            else:  # whoever sent it, it ran beside itself
                accounts.duplicates.append(_Duplicate(delivery, beside, SENT_BESIDE if why.sure else BESIDE_RUNNING))
        elif (payer := next((d for d in pool if ways.explain(d, delivery)), None)) is None:
            accounts.duplicates.append(_Duplicate(delivery, pool[-1], _state_of(pool[-1], delivery)))
        else:
            pool.remove(payer)
            if _ran_beside(payer, delivery, ways):
                accounts.duplicates.append(_Duplicate(delivery, payer, WENT_ON))
        pool.append(delivery)


def _ran_beside(earlier: Delivery, later: Delivery, ways: _WaysBack) -> bool:
    """Were both at it at one time? What was ended by a signal (RAISED: Celery cancels it at a lost connection) did not go on."""
    if earlier.start is None or later.start is None or earlier.state == "RAISED":
        return False
    if earlier.end is None and ways.died_first(earlier, later):
        return False
    ends = [d.end if d.end is not None else d.died if d.died is not None else float("inf") for d in (earlier, later)]
    return max(earlier.start, later.start) < min(ends)


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
                sentence=_sentence(recorded, members[0]),
                cause=cause,
                task=task,
                task_ids=ids,
                calls=tuple(sorted({d.delivery.message.call for d in members if d.delivery.message.call})),
                file=file,
                line=line,
                fix=_fix(recorded, members[0]),
                faults=tuple(sorted({f.index for d in members for f in _around(recorded.history, d)})),
                story=build_story(recorded, ids[0], title=headline),
            )
        )
    return tuple(findings)


def _sentence(recorded: Recorded, duplicate: _Duplicate) -> str:
    earlier, later = duplicate.earlier, duplicate.delivery
    gap = format_duration(max(0.0, later.at - earlier.at))
    state = {
        BESIDE_RUNNING: f"was still running it on {earlier.worker}",
        BESIDE_HELD: f"still held it on {earlier.worker}",
        AFTER_ACK: "had acknowledged it",
        WENT_ON: f"was still running it on {earlier.worker}",
        SENT_BESIDE: f"was still running it on {earlier.worker}",
    }[duplicate.cause]
    why = "nothing had returned it to the broker"
    if duplicate.cause == WENT_ON:
        why = "that worker had lost its connection, so the broker gave the message out again, and the worker went on"
    if duplicate.cause == SENT_BESIDE:
        why = "its client had lost its connection during the publish and sent it again, although the broker had taken it the first time"
    hint = ""
    if duplicate.cause != SENT_BESIDE and _sent_twice(recorded, duplicate):
        hint = " It is not flagged as redelivered: to the broker it is another message, so it was sent twice."
    elif duplicate.cause in (BESIDE_RUNNING, BESIDE_HELD) and (timeout := visibility_timeout(recorded)) is not None:
        hint = f" The visibility timeout is {timeout} s."
    return f"{later.worker} received the message {gap} after an earlier delivery that {state}; {why}.{hint}"


def _sent_twice(recorded: Recorded, duplicate: _Duplicate) -> bool:
    return bool(recorded.semantics.get("flags_redelivered")) and not duplicate.delivery.redelivered


def _fix(recorded: Recorded, duplicate: _Duplicate) -> str:
    if duplicate.cause == WENT_ON:
        return _WENT_ON_FIX
    if duplicate.cause == SENT_BESIDE:
        return _SENT_FIX
    if _sent_twice(recorded, duplicate):
        return "A publish that is tried again (task_publish_retry) may have been taken the first time: make the task safe to run twice."
    return EXPLANATIONS[Word.DUPLICATED][2]


def _around(history: History, duplicate: _Duplicate) -> list[FaultRecord]:
    """Faults that lasted between the two deliveries."""
    return [
        f
        for f in history.faults
        if f.begun is not None
        and f.begun <= duplicate.delivery.at
        and (f.ended if f.ended is not None else f.begun) >= duplicate.earlier.at
    ]


def _cells(history: History, accounts: _Accounts) -> tuple[tuple[Verdict | None, str], ...]:
    guilty: dict[int, int] = defaultdict(int)
    for duplicate in accounts.duplicates:
        for fault in _around(history, duplicate):
            guilty[fault.index] += 1
    sent, unsure = _sent_by_fault(accounts.resent)
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
        told = [f"{n:,} {how}" for n, how in ((redelivered[fault.index], "delivered again"), (sent[fault.index], "sent again")) if n]
        return ", ".join(told)

    unclear = {i: f"{n:,} perhaps sent again" for i, n in unsure.items()}
    return by_fault(history, {i: f"{n:,} duplicated" for i, n in guilty.items()}, words, unclear)


def _sent_by_fault(resent: list[tuple[Delivery, Resent]]) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """Per fault: how many messages clients sent again because of it, and how many perhaps."""
    sure: dict[int, int] = defaultdict(int)
    unsure: dict[int, int] = defaultdict(int)
    for _, why in resent:
        if why.fault is not None:
            (sure if why.sure else unsure)[why.fault.index] += 1
    return sure, unsure
