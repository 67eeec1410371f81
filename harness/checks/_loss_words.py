"""How a loss or a stranded message is told, and what would help.

What the history shows is said as a fact, what may have been as possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks._common import count
from harness.checks._common_fixes import SUPERVISE
from harness.model.fates import (
    EMPTYING,
    IN_BROKER,
    IN_MEMORY,
    NEVER_AGAIN,
    NEVER_DELIVERED,
    NEVER_PUBLISHED,
    UNCONFIRMED,
    WHILE_RUNNING,
    Fate,
)
from harness.model.finding import EXPLANATIONS, Word
from harness.model.history import FaultRecord, History, Message, ProcessLife
from harness.model.rules import DROPPED, OVER_DELIVERIES, OVER_LENGTH, OVER_TIME, WITH_QUEUE
from harness.model.takers import Takers, queue_of
from harness.ports.check import Recorded

__all__ = ["GONE", "emptied_by", "lost_fix", "lost_sentence", "stranded"]

#: Causes of which the broker is a part: it had the message to give, as far as is known.
GONE = (NEVER_DELIVERED, NEVER_AGAIN, UNCONFIRMED)
_BY_RULE = (OVER_LENGTH, OVER_TIME, OVER_DELIVERIES, WITH_QUEUE, DROPPED)
_MOST_NAMED = 3

_SENTENCES = {
    WHILE_RUNNING: "The message was acknowledged before the task ended, and the worker died while running it.",
    IN_MEMORY: "The message was acknowledged, and its worker died before it began to run it.",
    NEVER_DELIVERED: "The broker confirmed it, no worker ever received it, and the broker holds it no more.",
    UNCONFIRMED: "No worker ever received it and the broker does not hold it; nothing shows that the broker ever did: the publish "
    "returned as soon as it was written to the socket.",
    NEVER_AGAIN: "Its worker died, or lost its connection, without acknowledging it; it was the broker's to deliver again, and the broker "
    "holds it no more.",
    NEVER_PUBLISHED: "What came before it ended, and what should have published it did not.",
    "rejected": "The task rejected its message without requeue, and no dead-letter queue took it.",
    "unknown": "The worker does not know the task: it rejects such a message, and it is gone.",
    "invalid": "The worker could not use the message: it rejects such a message, and it is gone.",
    "undecodable": "The worker could not decode the message: Celery acknowledges such a message, and it is gone.",
    "expired": "The task had expired when a worker came to it.",
    IN_BROKER: "It expired while it waited: RabbitMQ drops such a message, or dead-letters it where the queue has an exchange.",
    "revoked": "The task was revoked.",
}
_KEEP = (
    "Let the broker keep what it has: on Redis an append-only file with fsync; on RabbitMQ durable queues, delivery_mode 2, confirms, "
    "and a dead-letter exchange where a queue's length or its deliveries are limited."
)
_SET_ASIDE = (
    "Give the queue a dead-letter exchange that leads to a queue, so that what it drops is set aside; or let it refuse instead "
    "(x-overflow: reject-publish, with confirms), raise the limit, or consume faster."
)
_BROKER_FIX = "Longer tasks that keep the prefetch window full nearly close the gap; a broker that keeps what is not acked closes it."
_FIXES = {
    "rejected": "Declare a dead-letter exchange for the queue, or allow it: no_loss: {allow: [rejected, revoked, expired]}.",
    "unknown": "Deploy workers that know the task before the code that sends it.",
    "invalid": "Look at the message in the finding's events; keep producer and worker on the same protocol.",
    "undecodable": "Keep accept_content and the producer's serializer alike, or allow it: no_loss: {allow: [discarded]}.",
    NEVER_PUBLISHED: "Make the publish part of what is repeated: late acks, and an end only after the next link is confirmed.",
    NEVER_DELIVERED: _KEEP,
    NEVER_AGAIN: _KEEP,
    UNCONFIRMED: "Set broker_transport_options={'confirm_publish': True}: a publish then returns when the broker has the message, and "
    "raises where it refuses it. Bind a queue to what is published to, keep it durable and messages persistent (delivery_mode 2), and "
    "give a queue of limited length a dead-letter exchange.",
}


# --- lost -------------------------------------------------------------------------------------------------------------


def lost_sentence(recorded: Recorded, fate: Fate, cause: str) -> str:
    """What happened, as far as the history shows it."""
    history = recorded.history
    if fate.killer is not None and fate.message is not None:
        return _popped(history, fate.message, fate.killer)
    if cause in _BY_RULE:
        return fate.why
    if cause in GONE and fate.message is not None:
        if told := _emptied(recorded, fate, cause):
            return told
        if cause == NEVER_DELIVERED:
            return " ".join(filter(None, (_SENTENCES[cause], fate.why or _possible(recorded, fate.message))))
    if cause == "rejected" and fate.delivery is not None and fate.delivery.text:
        reason = fate.delivery.text.removeprefix("(").removesuffix(", False)")  # Reject's own text is a tuple
        return f"{_SENTENCES[cause]} It said: {reason}"
    if cause == NEVER_AGAIN and fate.delivery is not None and fate.delivery.requeue:
        times = count(sum(d.requeue for d in fate.delivery.message.deliveries), "time")
        return f"It was rejected with requeue {times}, and the broker holds it no more: a quorum queue gives up at its delivery limit."
    return " ".join(text for text in (_SENTENCES.get(cause, ""), fate.why) if text)


def lost_fix(fate: Fate, cause: str) -> str:
    """The usual remedy for that cause."""
    if fate.broker_lost:
        return _BROKER_FIX
    if cause in (WHILE_RUNNING, IN_MEMORY):
        return EXPLANATIONS[Word.LOST][2]
    return _SET_ASIDE if cause in _BY_RULE else _FIXES.get(cause, "")


def emptied_by(recorded: Recorded, fate: Fate) -> FaultRecord | None:
    """The first fault that may have made the broker forget it: it began after the publish, or lasted at that moment."""
    if fate.message is None:
        return None
    since = fate.delivery.at if fate.delivery is not None else fate.message.begun or 0.0
    until = float("inf")
    if recorded.semantics.get("pop_before_unacked") and fate.delivery is None:
        until = Takers(recorded.history, recorded.history.stopped_at).taken_by(fate.message)
    faults = [f for f in recorded.history.faults if f.name in EMPTYING and f.begun is not None]
    possible = [f for f in faults if (f.begun or 0.0) <= until and max(f.begun or 0.0, f.ended or 0.0) >= since]
    return min(possible, key=lambda f: f.begun or 0.0) if possible else None


def _emptied(recorded: Recorded, fate: Fate, cause: str) -> str:
    fault = emptied_by(recorded, fate)
    published = fate.message.begun if fate.message is not None else None
    if fault is None or fault.begun is None:
        return ""
    if published is not None and fault.begun < published and fate.delivery is None:
        until = f" to {fault.ended:.1f} s" if fault.ended is not None else ""
        return (
            f"It was published while the broker was away or on its way ({fault.name}, {fault.begun:.1f} s{until}), and nobody ever "
            "received it: possibly the broker took it while it went down and did not keep it."
        )
    if fault.name == "broker.flush":
        return "The broker was emptied after the message was published, and did not have it afterwards."
    if cause == UNCONFIRMED:
        return "The broker was killed after the message was published without confirms, and did not have it afterwards."
    restarted = "The broker was restarted while it held the message, and did not have it afterwards."
    if recorded.semantics.get("pop_before_unacked") and fate.delivery is None and not fault.note:  # a note: what it held is gone
        restarted += (
            " Where it keeps what it has, a worker was possibly taking it: on Redis the transport pops a message before it writes it to"
            " `unacked`, and what is killed between the two has lost it, whatever is written to disk."
        )
    return restarted


def _popped(history: History, message: Message, killer: ProcessLife) -> str:
    queue = queue_of(message)
    who = f"{killer.name}, which consumes {queue!r}," if killer.queues and queue else killer.name
    fault = next((f.name for f in history.faults if killer.pid in f.killed_pids), "")
    how = f"killed by {fault}" if fault else "killed"
    return (
        "Redis lost it before delivery, and the task is not to blame: the transport pops a message before it writes it to `unacked`, and "
        f"{who} was {how} at {killer.down or 0.0:.1f} s, while the message was its to take."
    )


def _possible(recorded: Recorded, message: Message) -> str:
    """What may have taken it away, of what the history knows; said as no more than possible."""
    if not recorded.semantics.get("pop_before_unacked"):
        return ""
    takers = Takers(recorded.history, recorded.history.stopped_at)
    since, until = message.begun or 0.0, takers.taken_by(message)
    cut = [(life.name, at) for life in takers.of(queue_of(message)) for at in life.disconnected if since <= at <= until]
    if not cut:
        return "What took it away is not known: no worker of its queue died and no fault emptied the broker while it waited."
    name, at = min(cut, key=lambda pair: pair[1])
    return (
        f"Possibly {name} took it along: it lost its connection at {at:.1f} s, and on Redis the transport pops a message before it "
        "writes it to `unacked`."
    )


# --- stranded ---------------------------------------------------------------------------------------------------------


def stranded(recorded: Recorded, fate: Fate) -> tuple[str, str]:
    """(why nobody runs it, what would help)."""
    held = fate.message.held if fate.message else None
    if held is None:
        return "", EXPLANATIONS[Word.STRANDED][2]
    place = f"queue {held.queue!r}" if held.queue else "the broker"
    if held.place == "unacked":
        back = f"It comes back only after {held.timeout}" if held.timeout else "No timeout is known that would bring it back"
        when = f", {held.returns_at:.0f} s after the load began" if held.returns_at is not None else ""
        sentence = f"Its worker died holding the message, which is still unacknowledged in {place}. {back}{when}."
        return sentence, EXPLANATIONS[Word.STRANDED][2]
    back = f" It would be taken after {held.timeout}." if held.timeout else ""
    takers = Takers(recorded.history, recorded.history.stopped_at)
    workers = takers.of(held.queue)
    if held.place == "resting" or not workers:
        sentence = f"It waits in {place}, from which nobody has consumed in this run: no worker is set to take it (-Q, task_queues)."
        return sentence, _consume(held.queue)
    if not takers.alive(held.queue):
        return f"It waits in {place}, and the workers that consumed it are gone: {_ends(workers)}.{back}", SUPERVISE
    names = ", ".join(sorted({life.name for life in workers})[:_MOST_NAMED])
    sentence = f"It waits in {place} ({held.place}), and nobody takes it although {names} should.{back or ' No timeout will bring it.'}"
    return sentence, "Look at the logs of these workers: one that lost its connection, or waits for what will not come, takes nothing."


def _consume(queue: str) -> str:
    start = f"Start a worker for it (celery worker -Q {queue}; in the scenario `queues` of a group)" if queue else "Start a worker for it"
    return f"{start}, or route the task to a queue that is consumed (task_routes)."


def _ends(workers: list[ProcessLife]) -> str:
    last: Mapping[str, Any] = {life.name: life for life in sorted(workers, key=lambda life: life.up)}
    told = [f"{name} ended at {life.down or 0.0:.1f} s" + (f" ({life.how})" if life.how else "") for name, life in sorted(last.items())]
    return ", ".join(told[:_MOST_NAMED]) + (f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else "")
