"""What became of every message and every task: each class needs positive evidence, anything else is UNKNOWN.

The unit is the message (one publish); the fate of a task is that of its last message. The rules, first match:
an end recorded; a retry whose successor is accounted for; a revocation; a rejection; still held by the broker; else
lost. An ack record alone proves nothing (a process may be killed between an ack and its record, and nobody answers an
AMQP ack): what the broker holds at the end decides. What differs between brokers is in their `semantics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.fate import (
    IN_BROKER,
    IN_MEMORY,
    NEVER_AGAIN,
    NEVER_DELIVERED,
    NEVER_PUBLISHED,
    UNCONFIRMED,
    WHILE_RUNNING,
    Fate,
    FateKind,
)
from harness.model.history import Delivery, History, Message
from harness.model.memory import collector_paused
from harness.model.routing import Routes
from harness.model.rules import BrokerRules, QueueRules, destinations, dropped_by, refused_unheard
from harness.model.takers import Takers, queue_of

__all__ = [
    "EMPTYING",
    "IN_BROKER",
    "IN_MEMORY",
    "NEVER_AGAIN",
    "NEVER_DELIVERED",
    "NEVER_PUBLISHED",
    "UNCONFIRMED",
    "WHILE_RUNNING",
    "Fate",
    "FateKind",
    "classify_all",
    "fates",
]

#: Faults after which a broker may hold less than before.
EMPTYING = ("broker.restart", "broker.kill", "broker.flush")
_ORDERLY = ("broker.restart", "broker.flush")  # before them the broker has written or taken whatever reached it

_DONE = frozenset({"SUCCESS", "DEDUPLICATED"})
_REFUSED = frozenset({"unknown", "invalid", "undecodable"})


@dataclass(slots=True)
class _Context:
    """What the rules need to know beside the message. ``stop``: later deaths are the harness's own doing.

    ``cuts``: when each worker (by pid) lost its connection. ``emptied``: when faults made the broker forget; ``orderly``: those
    that find every message that was sent before. ``hidden``: how many messages the broker holds and does not show, since a
    consumer has them.
    """

    pops_first: bool
    drops_expired: bool
    unconfirmed: bool
    hidden: int
    cuts: Mapping[int, list[float]]
    emptied: list[float]
    orderly: list[float]
    acks_late: Mapping[str, bool]
    results: Mapping[str, Mapping[str, Any]]
    deliveries: Mapping[str, Delivery]
    publish_ok: frozenset[int]
    stop: float | None
    end: float | None
    drained: bool
    takers: Takers
    looked: bool
    rules: BrokerRules
    routes: Routes
    tasks: dict[str, list[Message]] = field(default_factory=dict)

    def alive(self, delivery: Delivery) -> bool:
        """Was its process still there when the run was over?"""
        return delivery.died is None or (delivery.died_by is None and self.stop is not None and delivery.died >= self.stop)

    def has_it(self, delivery: Delivery) -> bool:
        """Did its worker still have it when the run was over?"""
        unended = delivery.end is None and delivery.reject is None and not delivery.outcome
        return unended and self.alive(delivery) and not self.threw_away(delivery)

    def threw_away(self, delivery: Delivery) -> bool:
        """Celery forgets what it has not begun when its connection breaks (`Consumer.on_close`; before 5.6 not what waits for an ETA)."""
        return delivery.start is None and delivery.message.eta is None and self.cut(delivery)

    def destinations(self, message: Message) -> list[QueueRules]:
        """Queues that its publish reached, as far as the broker shows them."""
        return destinations(self.rules, self.routes, message.exchange, message.queue)

    def cut(self, delivery: Delivery) -> bool:
        """Was the connection lost through which it came?"""
        return any(at >= delivery.at for at in self.cuts.get(delivery.pid, ()))


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
    options = history.config.get("broker_transport_options") or {}
    context = _Context(
        pops_first=bool(semantics.get("pop_before_unacked")),
        drops_expired=bool(semantics.get("drops_expired")),
        unconfirmed=semantics.get("confirms_by_default") is False and not options.get("confirm_publish"),
        hidden=sum(1 for held in history.held if not (held.message_id or held.task_id or held.tag)),
        cuts={life.pid: [at for at in life.disconnected if stop is None or at < stop] for life in history.processes if life.disconnected},
        emptied=[fault.begun for fault in history.faults if fault.begun is not None and fault.name in EMPTYING],
        orderly=[fault.begun for fault in history.faults if fault.begun is not None and fault.name in _ORDERLY],
        acks_late=history.acks_late,
        results=history.results,
        looked=history.looked,
        rules=history.rules,
        routes=Routes(history.rules.bindings),
        deliveries=history.deliveries,
        publish_ok=frozenset(call.number for call in history.calls.values() if call.publish == "ok"),
        stop=stop,
        end=end,
        drained=history.quiet_at is not None,
        takers=Takers(history, stop),
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
        return Fate(FateKind.SUCCEEDED, "", message, deliveries[0], _comes_again(message))
    return (
        _by_end(message, context)
        or _by_revocation(message, context)
        or _by_rejection(message)
        or _by_broker(message, context)
        or _by_result(message, context)
        or _by_silence(message, context)
        or _by_absence(message, context)
    )


def _comes_again(message: Message) -> bool:
    """Will a worker get it again? Dead letters wait for nobody, nor does what lies where nobody consumes."""
    return message.held is not None and message.held.place not in ("dead_letter", "resting")


def _kept(message: Message) -> bool:
    """Does the broker hold the message itself? One at rest may be a copy beside it."""
    return message.held is not None and message.held.place != "resting"


def _by_end(message: Message, context: _Context) -> Fate | None:
    """An end that is recorded: success before failure before a retry, over all deliveries of the message."""
    deliveries, held = message.deliveries, _comes_again(message)
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
            return Fate(FateKind.RETRIED, "", message, delivery, _comes_again(message))
    if _kept(message) or not context.looked:
        return None
    return Fate(FateKind.LOST, NEVER_PUBLISHED, message, delivery)


def _by_revocation(message: Message, context: _Context) -> Fate | None:
    for delivery in reversed(message.deliveries):
        if not delivery.revoked:
            continue
        if _comes_again(message) and not context.alive(delivery):
            return Fate(FateKind.STRANDED, "revoked by a worker that died, and revocations die with it", message, delivery)
        kind = FateKind.EXPIRED if delivery.revoked == "expired" else FateKind.REVOKED
        return Fate(kind, "", message, delivery, _comes_again(message))
    return None


def _by_rejection(message: Message) -> Fate | None:
    dead_lettered = message.held is not None and message.held.place == "dead_letter"
    for delivery in reversed(message.deliveries):
        refused = delivery.outcome in _REFUSED
        if not refused and (delivery.reject is None or delivery.requeue):
            continue
        if dead_lettered:
            return Fate(FateKind.DEAD_LETTERED, delivery.outcome or "rejected", message, delivery)
        if refused and _kept(message):
            return None
        if _went_on(message, delivery):
            continue
        if delivery.state == "REJECTED":
            return Fate(FateKind.REJECTED, "rejected", message, delivery)
        return Fate(FateKind.DISCARDED, delivery.outcome or "rejected", message, delivery)
    if not dead_lettered:
        return None
    if message.held is not None and message.held.died:
        return Fate(FateKind.DEAD_LETTERED, message.held.died, message)
    # In a queue that others dead-letter into, and nothing says that it came that way: it may be work that nobody took.
    return Fate(FateKind.UNKNOWN, "in a dead-letter queue, and neither rejected nor dead-lettered as far as anybody saw", message)


def _went_on(message: Message, rejected: Delivery) -> bool:
    """Did a dead-letter exchange bring it on, to a queue where it waits or to a worker that got it next?"""
    held = message.held
    if held is not None and (held.place == "delayed" or (held.place == "ready" and held.died)):
        return True
    return any(d.copy == rejected.copy and d.at > rejected.at for d in message.deliveries)


def _by_broker(message: Message, context: _Context) -> Fate | None:
    """The broker still holds it: will anybody run it?"""
    held = message.held
    if held is None:
        return None
    last = message.deliveries[-1] if message.deliveries else None
    if held.place == "resting" and (last is not None or any(queue.consumed for queue in context.destinations(message))):
        return None  # a copy beside the one that is for the workers
    if message.foreign and last is None:
        return Fate(FateKind.UNKNOWN, "held by the broker, and published by nobody that was recorded", message)
    if held.place == "resting":
        return Fate(FateKind.STRANDED, "nobody takes it", message)
    holder_died = last is not None and not context.alive(last)
    eta = held.eta if held.eta is not None else message.eta
    if eta is not None and context.end is not None and eta > context.end and not (held.place == "unacked" and holder_died):
        return Fate(FateKind.SCHEDULED, "", message, last)
    if held.place == "delayed":
        return Fate(FateKind.UNKNOWN, "in a queue that delays, until a time that is past or not known", message, last)
    if last is not None and not holder_died and last.reject is None and not context.threw_away(last):
        return Fate(FateKind.UNKNOWN, "a worker still had it when the run ended", message, last)
    if held.place != "unacked" and not context.drained and context.takers.alive(held.queue):
        return Fate(FateKind.UNKNOWN, "still queued when the drain ended", message, last)
    return Fate(FateKind.STRANDED, "held for a worker that is gone" if held.place == "unacked" else "nobody takes it", message, last)


def _by_result(message: Message, context: _Context) -> Fate | None:
    """Celery stores a result only when the task has ended: killed between that and the journal's record."""
    delivery = next((d for d in reversed(message.deliveries) if d.start is not None and d.end is None), None)
    status = context.results.get(message.task_id, {}).get("status") if delivery is not None else None
    if status == "SUCCESS" and len(context.tasks.get(message.task_id, ())) == 1:
        return Fate(FateKind.SUCCEEDED, "its result is stored", message, delivery)
    return None


def _by_silence(message: Message, context: _Context) -> Fate | None:
    """A broker that could not be asked may hold it still."""
    if context.looked or not (message.deliveries or _confirmed(message, context)):
        return None
    return Fate(FateKind.UNKNOWN, "the broker could not be asked any more", message, next(reversed(message.deliveries), None))


def _by_absence(message: Message, context: _Context) -> Fate:
    """No end, and the broker does not hold it."""
    if not message.deliveries:
        if _confirmed(message, context):
            return _gone_from_broker(message, None, NEVER_DELIVERED, context)
        return Fate(FateKind.UNPUBLISHED, message.failed, message)
    living = next((d for d in message.deliveries if context.has_it(d)), None)
    if living is not None:
        words = "still running when the run ended" if living.start is not None else "a worker still had it when the run ended"
        return Fate(FateKind.UNKNOWN, words, message, living)
    last = message.deliveries[-1]
    if last.requeue or (last.ack is None and _given_back(last, context)):
        return _gone_from_broker(message, last, NEVER_AGAIN, context)
    return Fate(FateKind.LOST, WHILE_RUNNING if last.start is not None else IN_MEMORY, message, last)


def _given_back(last: Delivery, context: _Context) -> bool:
    """It was not acknowledged when its worker died or lost its connection: the broker's to deliver again."""
    cut = context.cut(last)
    if context.acks_late.get(last.message.task):
        return last.died is not None or cut
    return last.start is None and cut


def _gone_from_broker(message: Message, last: Delivery | None, cause: str, context: _Context) -> Fate:
    """The broker had it to give, and has it no more. Stopping busy workers may do that too, and then it is our own doing."""
    since = last.at if last is not None else message.begun or 0.0
    if context.hidden:
        words = f"perhaps among the {context.hidden:,} messages that a consumer still had when the broker was looked at"
        return Fate(FateKind.UNKNOWN, words, message, last)
    expires = message.expires
    if context.drops_expired and expires is not None and context.end is not None and expires <= context.end:
        if any(since <= at <= expires for at in context.emptied):
            return Fate(FateKind.UNKNOWN, "expired, or forgotten by the broker before that", message, last)
        return Fate(FateKind.EXPIRED, IN_BROKER, message, last)
    if context.pops_first and (killer := context.takers.killed_with(message, since, first=last is None)) is not None:
        return Fate(FateKind.LOST, cause, message, last, broker_lost=True, killer=killer)
    if context.pops_first and not context.drained and context.takers.alive(queue_of(message)):
        return Fate(FateKind.UNKNOWN, "gone from the broker, perhaps when the harness stopped busy workers", message, last)
    if last is None and context.unconfirmed and not any(at >= since for at in context.orderly):
        cause = UNCONFIRMED
    why = ""
    if queues := context.destinations(message):
        waited = max(0.0, context.end - since) if context.end is not None else 0.0
        explained = dropped_by(context.rules, queues, waited=waited, deliveries=len(message.deliveries))
        cause, why = explained or (cause, refused_unheard(queues) if cause == UNCONFIRMED else "")
    return Fate(FateKind.LOST, cause, message, last, why=why)


def _confirmed(message: Message, context: _Context) -> bool:
    """Did the publish return? For code that went on after its publish, that it did so says it. What that is worth: UNCONFIRMED."""
    if message.ok is not None or message.held is not None:
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
            for id in set(call.task_ids) - found.keys():
                found[id] = Fate(FateKind.LOST, NEVER_PUBLISHED)
