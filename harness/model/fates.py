"""What became of every message and every task: each class needs positive evidence, anything else is UNKNOWN.

The unit is the message (one publish); the fate of a task is that of its last message. The rules, first match:
an end recorded; a retry whose successor is accounted for; a revocation; a rejection; still held by the broker; else
lost. An ack record alone proves nothing (a process may be killed between an ack and its record): what the broker
holds at the end decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness.model.history import Delivery, History, Message
from harness.model.memory import collector_paused

__all__ = ["IN_MEMORY", "NEVER_AGAIN", "NEVER_DELIVERED", "NEVER_PUBLISHED", "WHILE_RUNNING", "Fate", "FateKind", "classify_all", "fates"]

WHILE_RUNNING = "while running"
IN_MEMORY = "in the worker's memory"
#: Published and confirmed, and then neither delivered nor held: on Redis the pop that a killed worker took along (F67).
NEVER_DELIVERED = "never delivered"
#: Delivered and never acknowledged by a dead worker, so it was the broker's to deliver again; it is gone.
NEVER_AGAIN = "never delivered again"
NEVER_PUBLISHED = "never published"

_DONE = frozenset({"SUCCESS", "DEDUPLICATED"})
_REFUSED = frozenset({"unknown", "invalid", "undecodable"})


class FateKind(str, Enum):
    """Where a message ended. The values are the words of the report."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"  # superseded by its successor
    REVOKED = "revoked"
    EXPIRED = "expired"
    DEAD_LETTERED = "dead_lettered"
    REJECTED = "rejected"  # by the task itself, without requeue and without a dead-letter queue
    DISCARDED = "discarded"  # by the worker: unknown task, invalid or undecodable message
    SCHEDULED = "scheduled"
    STRANDED = "stranded"
    LOST = "lost"
    UNPUBLISHED = "unpublished"  # the publish failed or was never confirmed, and nobody saw the message
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(slots=True)
class Fate:
    """One fate and what decided it.

    ``runs_again``: ended, and the broker still holds the message (killed before its ack). ``broker_lost``: the broker's
    transport lost it between its pop and the write of `unacked`, while a worker died (Redis, F67): not the task's fault.
    """

    kind: FateKind
    cause: str = ""
    message: Message | None = None
    delivery: Delivery | None = None
    runs_again: bool = False
    broker_lost: bool = False


@dataclass(slots=True)
class _Context:
    """What the rules need to know beside the message. ``stop``: later deaths are the harness's own doing."""

    pops_first: bool
    last_death: float
    acks_late: Mapping[str, bool]
    results: Mapping[str, Mapping[str, Any]]
    deliveries: Mapping[str, Delivery]
    publish_ok: frozenset[int]
    stop: float | None
    end: float | None
    drained: bool
    workers_alive: bool
    tasks: dict[str, list[Message]] = field(default_factory=dict)

    def alive(self, delivery: Delivery) -> bool:
        """Was its process still there when the run was over?"""
        return delivery.died is None or (delivery.died_by is None and self.stop is not None and delivery.died >= self.stop)


def classify_all(history: History, semantics: Mapping[str, Any]) -> dict[str, Fate]:
    """Message id -> fate, for every message. ``semantics``: the broker's, see BrokerKind."""
    with collector_paused():
        context = _context(history, semantics)
        return {message.id: _classify(message, context) for message in history.messages.values()}


def fates(history: History, semantics: Mapping[str, Any]) -> dict[str, Fate]:
    """Task id -> fate of its last message that counts; a task that one of its messages completed has succeeded."""
    with collector_paused():
        context = _context(history, semantics)
        found = {task_id: _fate_of_task(messages, context) for task_id, messages in context.tasks.items()}
        _missing_links(history, found)
        return found


def _context(history: History, semantics: Mapping[str, Any]) -> _Context:
    stop = history.stopped_at
    if stop is None:
        stop = history.quiet_at if history.quiet_at is not None else history.healed_at
    end = next((t for t in (history.ended, history.stopped_at, history.quiet_at) if t is not None), None)
    context = _Context(
        pops_first=bool(semantics.get("pop_before_unacked")),
        last_death=max(
            (p.down for p in history.processes if p.kind == "worker" and p.down is not None and (stop is None or p.down < stop)),
            default=float("-inf"),
        ),
        acks_late=history.acks_late,
        results=history.results,
        deliveries=history.deliveries,
        publish_ok=frozenset(call.number for call in history.calls.values() if call.publish == "ok"),
        stop=stop,
        end=end,
        drained=history.quiet_at is not None,
        workers_alive=any(p.kind == "worker" and (p.down is None or stop is None or p.down >= stop) for p in history.processes),
    )
    tasks = context.tasks
    for message in history.messages.values():
        known = tasks.get(message.task_id)
        if known is None:
            tasks[message.task_id] = [message]
        else:
            known.append(message)
    for messages in tasks.values():
        if len(messages) > 1:
            messages.sort(key=_order)
    return context


def _order(message: Message) -> tuple[int, float]:
    begun = message.begun
    return message.retries, begun if begun is not None else message.deliveries[0].at if message.deliveries else 0.0


def _fate_of_task(messages: list[Message], context: _Context) -> Fate:
    if len(messages) == 1:
        return _classify(messages[0], context)
    found = [_classify(message, context) for message in messages]
    leaves = [f for f in found if f.kind not in (FateKind.RETRIED, FateKind.UNPUBLISHED)]
    done = next((f for f in reversed(leaves) if f.kind is FateKind.SUCCEEDED), None)
    last = done or (leaves or found)[-1]
    last.runs_again = any(f.runs_again or f.kind in (FateKind.STRANDED, FateKind.SCHEDULED) for f in found) if done else last.runs_again
    return last


def _classify(message: Message, context: _Context) -> Fate:
    deliveries = message.deliveries
    if len(deliveries) == 1 and deliveries[0].state == "SUCCESS":  # nearly all of them
        return Fate(FateKind.SUCCEEDED, "", message, deliveries[0], message.held is not None)
    return (
        _by_end(message, context)
        or _by_revocation(message, context)
        or _by_rejection(message)
        or _by_broker(message, context)
        or _by_result(message, context)
        or _by_absence(message, context)
    )


def _by_end(message: Message, context: _Context) -> Fate | None:
    """An end that is recorded: success before failure before a retry, over all deliveries of the message."""
    deliveries, held = message.deliveries, message.held is not None
    for delivery in deliveries:
        if delivery.state in _DONE:
            return Fate(FateKind.SUCCEEDED, "", message, delivery, held)
    for delivery in reversed(deliveries):
        # Requeued by reject_on_worker_lost: the main process saw a failure, and the message lives on.
        if delivery.state == "FAILURE" or (delivery.outcome.startswith("failed:") and not delivery.requeue):
            return Fate(FateKind.FAILED, delivery.exception, message, delivery, held)
    for delivery in deliveries:
        if delivery.state == "IGNORED":
            return Fate(FateKind.SUCCEEDED, "ignored", message, delivery, held)
    for delivery in reversed(deliveries):
        if delivery.state == "RETRY":
            return _superseded(message, delivery, context)
    return None


def _superseded(message: Message, delivery: Delivery, context: _Context) -> Fate | None:
    """A retry is accounted for by its successor; without one the message itself must still be somewhere, or it is lost."""
    for other in context.tasks.get(message.task_id, ()):
        if other.retries > message.retries and (other.deliveries or other.held or _confirmed(other, context)):
            return Fate(FateKind.RETRIED, "", message, delivery, message.held is not None)
    if message.held is not None:
        return None
    return Fate(FateKind.LOST, NEVER_PUBLISHED, message, delivery)


def _by_revocation(message: Message, context: _Context) -> Fate | None:
    for delivery in reversed(message.deliveries):
        if not delivery.revoked:
            continue
        if message.held is not None and message.held.place != "dead_letter" and not context.alive(delivery):
            return Fate(FateKind.STRANDED, "revoked by a worker that died, and revocations die with it", message, delivery)
        kind = FateKind.EXPIRED if delivery.revoked == "expired" else FateKind.REVOKED
        return Fate(kind, "", message, delivery, message.held is not None)
    return None


def _by_rejection(message: Message) -> Fate | None:
    dead_lettered = message.held is not None and message.held.place == "dead_letter"
    for delivery in reversed(message.deliveries):
        refused = delivery.outcome in _REFUSED
        if not refused and (delivery.reject is None or delivery.requeue):
            continue
        if dead_lettered:
            return Fate(FateKind.DEAD_LETTERED, delivery.outcome or "rejected", message, delivery)
        if refused and message.held is not None:
            return None
        if delivery.state == "REJECTED":
            return Fate(FateKind.REJECTED, "rejected", message, delivery)
        return Fate(FateKind.DISCARDED, delivery.outcome or "rejected", message, delivery)
    return Fate(FateKind.DEAD_LETTERED, "", message) if dead_lettered else None


def _by_broker(message: Message, context: _Context) -> Fate | None:
    """The broker still holds it: will anybody run it?"""
    held = message.held
    if held is None:
        return None
    last = message.deliveries[-1] if message.deliveries else None
    if message.foreign and last is None:
        return Fate(FateKind.UNKNOWN, "held by the broker, and published by nobody that was recorded", message)
    holder_died = last is not None and not context.alive(last)
    eta = held.eta if held.eta is not None else message.eta
    if eta is not None and context.end is not None and eta > context.end and not (held.place == "unacked" and holder_died):
        return Fate(FateKind.SCHEDULED, "", message, last)
    if last is not None and not holder_died and last.reject is None:
        return Fate(FateKind.UNKNOWN, "a worker still had it when the run ended", message, last)
    if held.place != "unacked" and not context.drained and context.workers_alive:
        return Fate(FateKind.UNKNOWN, "still queued when the drain ended", message, last)
    return Fate(FateKind.STRANDED, "held for a worker that is gone" if held.place == "unacked" else "nobody takes it", message, last)


def _by_result(message: Message, context: _Context) -> Fate | None:
    """Celery stores a result only when the task has ended: killed between that and the journal's record."""
    delivery = next((d for d in reversed(message.deliveries) if d.start is not None and d.end is None), None)
    status = context.results.get(message.task_id, {}).get("status") if delivery is not None else None
    if status == "SUCCESS" and len(context.tasks.get(message.task_id, ())) == 1:
        return Fate(FateKind.SUCCEEDED, "its result is stored", message, delivery)
    return None


def _by_absence(message: Message, context: _Context) -> Fate:
    """No end, and the broker does not hold it."""
    if not message.deliveries:
        if _confirmed(message, context):
            return _gone_from_broker(message, None, NEVER_DELIVERED, context)
        return Fate(FateKind.UNPUBLISHED, message.failed, message)
    living = next((d for d in message.deliveries if _open(d) and context.alive(d)), None)
    if living is not None:
        words = "still running when the run ended" if living.start is not None else "a worker still had it when the run ended"
        return Fate(FateKind.UNKNOWN, words, message, living)
    last = message.deliveries[-1]
    if last.requeue or (last.ack is None and last.died is not None and context.acks_late.get(message.task)):
        return _gone_from_broker(message, last, NEVER_AGAIN, context)
    return Fate(FateKind.LOST, WHILE_RUNNING if last.start is not None else IN_MEMORY, message, last)


def _gone_from_broker(message: Message, last: Delivery | None, cause: str, context: _Context) -> Fate:
    """The broker had it to give, and has it no more. Stopping busy workers may do that too, and then it is our own doing."""
    since = last.at if last is not None else message.begun or 0.0
    if context.pops_first and context.last_death >= since:
        return Fate(FateKind.LOST, cause, message, last, broker_lost=True)
    if context.pops_first and context.workers_alive and not context.drained:
        return Fate(FateKind.UNKNOWN, "gone from the broker, perhaps when the harness stopped busy workers", message, last)
    return Fate(FateKind.LOST, cause, message, last)


def _open(delivery: Delivery) -> bool:
    return delivery.end is None and delivery.reject is None and not delivery.outcome


def _confirmed(message: Message, context: _Context) -> bool:
    """Is it known that the broker took it? For code that went on after its publish, that it did so is the confirmation."""
    if message.ok is not None:
        return True
    if message.failed or message.begun is None:
        return False
    if not message.cause:
        return message.call in context.publish_ok
    cause = context.deliveries.get(message.cause)
    return cause is not None and cause.state in ("SUCCESS", "RETRY")


def _missing_links(history: History, found: dict[str, Fate]) -> None:
    """Links of a canvas that nobody published although everything before them succeeded (F45, F47)."""
    for call in history.calls.values():
        if not call.task_ids or call.publish != "ok":
            continue
        seen = [found[id] for id in call.task_ids if id in found]
        if seen and len(seen) < len(call.task_ids) and all(f.kind is FateKind.SUCCEEDED and not f.cause for f in seen):
            for id in call.task_ids:
                if id not in found:
                    found[id] = Fate(FateKind.LOST, NEVER_PUBLISHED)
