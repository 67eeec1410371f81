"""What the fate of a call's messages allows its effects to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any

from harness.checks._common import first_match
from harness.model.fates import Fate, FateKind, fates
from harness.model.history import Call, Delivery, History

__all__ = ["Allow", "Allowance", "allowances", "disturbed", "executions", "ran_again"]

_ENDED = {FateKind.FAILED, FateKind.REVOKED, FateKind.EXPIRED, FateKind.DEAD_LETTERED, FateKind.REJECTED, FateKind.DISCARDED}


class Allow(str, Enum):
    """How much of a clean execution's effects may be there. Never more than once, whatever the fate."""

    ALL = "exactly those of one clean execution"
    ALL_OR_NONE = "those of one clean execution, or none"
    ANY_PART = "any part of one clean execution"


#: (what is allowed, the fate in one word)
Allowance = tuple[Allow, str]


def allowances(history: History, broker: Mapping[str, Any], clean: History, semantics: Mapping[str, str]) -> dict[int, Allowance]:
    """Call number -> what it may have left. ``clean``: a pass in which every call succeeded, for the tasks that a call is made of."""
    found = fates(history, broker)
    whole = {call.number: _tasks(call) for call in clean.calls.values()}
    return {call.number: _allowance(call, found, whole.get(call.number, Counter()), semantics) for call in history.calls.values()}


def _tasks(call: Call) -> Counter[str]:
    return Counter({m.task_id: m.task for m in call.messages}.values())


def _allowance(call: Call, found: Mapping[str, Fate], whole: Counter[str], semantics: Mapping[str, str]) -> Allowance:
    ids = {m.task_id: m.task for m in call.messages} | {i: call.task for i in call.task_ids if i in found}
    ends = [found[i] for i in ids if i in found]
    if not ends or all(f.kind is FateKind.UNPUBLISHED for f in ends):
        return (Allow.ANY_PART, "never published") if call.publish == "failed" else (Allow.ALL_OR_NONE, "publish unknown")
    kinds = {f.kind for f in ends}
    if kinds == {FateKind.SUCCEEDED}:
        # A link that nobody published has no message of its own: only the clean pass tells that it is missing.
        return (Allow.ALL, "succeeded") if not whole - _tasks(call) else (Allow.ANY_PART, "incomplete")
    worst = next((f for f in ends if f.kind not in _ENDED and f.kind is not FateKind.SUCCEEDED), None)
    if worst is not None:
        return Allow.ANY_PART, worst.kind.value
    ended = next(f for f in ends if f.kind in _ENDED)
    if len(whole) > 1 or len(ends) > 1:
        return Allow.ANY_PART, f"{ended.kind.value} in part"
    if first_match(semantics, call.task) == "at_most_once" and any(d.running_at_death for m in call.messages for d in m.deliveries):
        return Allow.ANY_PART, f"{ended.kind.value}, at most once"
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


def disturbed(call: Call, stopped_at: float | None) -> bool:
    """Did anything happen to it that a clean pass has no room for?"""
    return any(d.copy or d.redelivered or len(m.deliveries) > 1 or _cut_short(d, stopped_at) for m in call.messages for d in m.deliveries)


def _cut_short(delivery: Delivery, stopped_at: float | None) -> bool:
    return delivery.running_at_death and (stopped_at is None or (delivery.died or 0.0) < stopped_at)
