"""What the queues of a broker do with messages by themselves, and what of that explains a message that is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.routing import Binding, Routes

__all__ = [
    "DROPPED",
    "OVER_DELIVERIES",
    "OVER_LENGTH",
    "OVER_TIME",
    "WITH_QUEUE",
    "BrokerRules",
    "QueueRules",
    "destinations",
    "dropped_by",
    "refused_unheard",
]

OVER_LENGTH = "dropped by its queue's length limit"
OVER_DELIVERIES = "dropped at its queue's delivery limit"
OVER_TIME = "expired by its queue's message TTL"
WITH_QUEUE = "deleted with its queue"
#: More than one of them may have done it.
DROPPED = "dropped by a rule of its queue"

#: kombu.transport.native_delayed_delivery: whatever it waits in, it leaves through this exchange under its own key.
_LEVEL = re.compile(r"(?:.*_)?celery_delayed_\d+$")
_DELIVERY = "celery_delayed_delivery"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """One queue. ``arguments``: those in effect, of its own and of policies, without `x-`.

    ``consumed``: somebody consumed from it in this run. ``keeps_dropped``: what it drops goes on to another queue. ``gone``: it was there,
    and is no more.
    """

    name: str
    arguments: Mapping[str, Any]
    consumed: bool
    quorum: bool = False
    keeps_dropped: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class BrokerRules:
    """All queues that were seen, and how often the broker dropped a message for good, by its own count: reason (maxlen, delivery_limit,
    expired) -> messages.
    """

    queues: Mapping[str, QueueRules] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def destinations(rules: BrokerRules, routes: Routes, exchange: str | None, key: str) -> list[QueueRules]:
    """Queues that a publish to this exchange reached, as far as they were seen. ``exchange`` None: it is not known."""
    if exchange is None:
        return []
    found = routes.reached(_DELIVERY if _LEVEL.match(exchange) else exchange, key)
    return [rules.queues[name] for name in sorted(found) if name in rules.queues]


def dropped_by(rules: BrokerRules, queues: list[QueueRules], *, waited: float, deliveries: int) -> tuple[str, str] | None:
    """(cause, sentence), where the rules of its queues allow it and the broker's own counts say that it happened.

    ``waited``: seconds from its publish, or its last delivery, to the end of the run. ``deliveries``: how often a worker had it.
    The broker counts messages, and names none: which ones they were is concluded.
    """
    found = [entry for queue in queues if queue.consumed or len(queues) == 1 for entry in _explanations(rules, queue, waited, deliveries)]
    if not found:
        return None
    return (found[0][0] if len(found) == 1 else DROPPED), " ".join(sentence for _, sentence in found)


def _explanations(rules: BrokerRules, queue: QueueRules, waited: float, deliveries: int) -> Iterator[tuple[str, str]]:
    arguments, counts, name = queue.arguments, rules.dropped, repr(queue.name)
    if queue.gone and (expires := arguments.get("expires")) is not None:
        yield WITH_QUEUE, f"Queue {name} was unused for {_seconds(expires)}, and RabbitMQ deleted it (expires)."
    if queue.keeps_dropped:
        return
    if (limits := _limits(queue)) and arguments.get("overflow", "drop-head") == "drop-head" and counts.get("maxlen"):
        yield OVER_LENGTH, f"Queue {name} drops its oldest message when it is full ({limits}){_counted(counts, 'maxlen')}."
    if queue.quorum and deliveries and counts.get("delivery_limit"):
        limit = arguments.get("delivery-limit", "RabbitMQ's default")
        yield OVER_DELIVERIES, f"Quorum queue {name} gives up at its delivery limit ({limit}){_counted(counts, 'delivery_limit')}."
    ttl = arguments.get("message-ttl")
    if ttl is not None and counts.get("expired") and waited * 1000 >= float(ttl):
        yield OVER_TIME, f"Queue {name} throws away what waits for {_seconds(ttl)} (message TTL){_counted(counts, 'expired')}."


def refused_unheard(queues: list[QueueRules]) -> str:
    """A sentence where a full queue refuses publishes, which nobody hears of without confirms; else ''."""
    for queue in queues:
        overflow = str(queue.arguments.get("overflow") or "")
        if overflow.startswith("reject-publish") and (limits := _limits(queue)):
            return (
                f"Queue {queue.name!r} refuses what is published when it is full ({limits}, overflow {overflow}), "
                "and without confirms nobody hears of that."
            )
    return ""


def _limits(queue: QueueRules) -> str:
    """In words; '' where its length is not limited."""
    keys = ("max-length", "max-length-bytes")
    return ", ".join(f"{key} {queue.arguments[key]}" for key in keys if queue.arguments.get(key) is not None)


def _counted(counts: Mapping[str, int], reason: str) -> str:
    number = counts[reason]
    return f", and RabbitMQ counted {number:,} {'message' if number == 1 else 'messages'} that it dropped so"


def _seconds(milliseconds: Any) -> str:
    return f"{float(milliseconds) / 1000:g} s"
