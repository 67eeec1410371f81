"""What the fate of a call's messages allows its effects to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import reduce
from operator import and_
from typing import Any

from harness.checks._common import first_match
from harness.model.fates import Fate, FateKind, fates
from harness.model.history import Call, Delivery, History, Message

__all__ = ["AT_MOST_ONCE", "Allow", "Allowance", "allowances", "cut_short", "executions", "never_published", "ran_again"]

_ENDED = {FateKind.FAILED, FateKind.REVOKED, FateKind.EXPIRED, FateKind.DEAD_LETTERED, FateKind.REJECTED, FateKind.DISCARDED}


class Allow(str, Enum):
    """How much of a clean execution's effects may be there. Never more than once, whatever the fate."""

    ALL = "exactly those of one clean execution"
    ALL_OR_NONE = "those of one clean execution, or none"
    ANY_PART = "any part of one clean execution"


#: (what is allowed, the fate in one word)
Allowance = tuple[Allow, str]

#: Behind the fate of a call that was declared to be allowed to die half-way, and did.
AT_MOST_ONCE = ", at most once"
#: What is to come outweighs what is over: such a call has not shown yet what it leaves.
_OPEN = (FateKind.UNKNOWN, FateKind.SCHEDULED, FateKind.STRANDED)


def allowances(history: History, broker: Mapping[str, Any], clean: Sequence[History], semantics: Mapping[str, str]) -> dict[int, Allowance]:
    """Call number -> what it may have left. ``clean``: passes in which every call succeeded, for the tasks that a call is made of."""
    found = fates(history, broker)
    return {call.number: _allowance(call, found, _whole(call.number, clean), semantics) for call in history.calls.values()}


def never_published(call: Call, clean: Sequence[History]) -> Counter[str]:
    """Tasks that every clean pass made of the call and that nobody published, or nobody saw again after a publish that failed."""
    return _whole(call.number, clean) - Counter({m.task_id: m.task for m in call.messages if not _in_vain(m)}.values())


def _whole(number: int, clean: Sequence[History]) -> Counter[str]:
    """Task name -> how many of them every pass made of the call."""
    made = [Counter({m.task_id: m.task for m in one.calls[number].messages}.values()) for one in clean if number in one.calls]
    return reduce(and_, made) if made else Counter()


def _in_vain(message: Message) -> bool:
    """A task of the call published it, was perhaps killed at that, and the message was never seen."""
    return bool(message.cause) and not message.deliveries and message.held is None and message.ok is None


def _allowance(call: Call, found: Mapping[str, Fate], whole: Counter[str], semantics: Mapping[str, str]) -> Allowance:
    ids = {m.task_id: m.task for m in call.messages} | {i: call.task for i in call.task_ids if i in found}
    ends = [found[i] for i in ids if i in found]
    if not ends or all(f.kind is FateKind.UNPUBLISHED for f in ends):
        return Allow.ALL_OR_NONE, "never published" if call.publish == "failed" else "publish unknown"
    # A publish in vain may have been made good by a later execution; if it was not, the world lacks what it would have left.
    ends = [f for f in ends if not (f.kind is FateKind.UNPUBLISHED and f.message is not None and f.message.cause)]
    if all(f.kind is FateKind.SUCCEEDED for f in ends):
        # Also where a task that the clean passes saw was never published: what was to publish it says that all is done.
        return Allow.ALL, "succeeded"
    unended = [f for f in ends if f.kind not in _ENDED and f.kind is not FateKind.SUCCEEDED]
    if unended:
        return Allow.ANY_PART, next((f for f in unended if f.kind in _OPEN), unended[0]).kind.value
    ended = next(f for f in ends if f.kind in _ENDED)
    if len(whole) > 1 or len(ends) > 1:
        return Allow.ANY_PART, f"{ended.kind.value} in part"
    if first_match(semantics, call.task) == "at_most_once" and any(d.running_at_death for m in call.messages for d in m.deliveries):
        return Allow.ANY_PART, ended.kind.value + AT_MOST_ONCE
    return Allow.ALL_OR_NONE, ended.kind.value


def executions(call: Call) -> int:
    """How often any task of the call began, beyond the first time of each."""
    starts = Counter(m.task_id for m in call.messages for d in m.deliveries if d.start is not None)
    return sum(n - 1 for n in starts.values())


def ran_again(call: Call) -> bool:
    """Was anything of it delivered again, copied or retried?

    A flag alone does not say so: RabbitMQ flags what it had sent to a worker that died before it so much as looked at it.
    """
    return any(m.is_retry or m.retries or len(m.deliveries) > 1 or any(d.copy for d in m.deliveries) for m in call.messages)


def cut_short(delivery: Delivery, stopped_at: float | None) -> bool:
    """Did its process die under it, before the harness stopped it?"""
    return delivery.running_at_death and (stopped_at is None or (delivery.died or 0.0) < stopped_at)
