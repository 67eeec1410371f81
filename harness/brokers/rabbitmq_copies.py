"""Copies of a RabbitMQ's messages as deliveries of their own. Messages that pass are seen through the firehose.

The firehose (rabbitmq.com/docs/firehose) republishes what is published and delivered in a virtual host to the exchange
`amq.rabbitmq.trace`: keys publish.<exchange> and deliver.<queue>, the message's properties in its headers.
"""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.brokers.copies import Draw, copy_numbers
from harness.brokers.envelope import COPY_HEADER, Envelope
from harness.brokers.rabbitmq_config import QUORUM_STATISTICS, TAP_PREFIX
from harness.brokers.rabbitmq_connection import AmqpClient
from harness.brokers.rabbitmq_management import VHOST, Management
from harness.brokers.rabbitmq_memory import memory_of
from harness.brokers.rabbitmq_queues import QueueState
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint

__all__ = ["Copier"]

_TRACE = "amq.rabbitmq.trace"
#: Published so long ago and not delivered: it waits behind others.
_WAITS = 0.05  # seconds
#: So long after its delivery the copy is made although the queue always had something unacked.
_PATIENCE = 10.0  # seconds
#: Publishes and deliveries that a tap keeps that is not read yet; each is read with one question, so it takes about a second.
_REMEMBERED = 4000
#: What a broker adds by itself, routes by, or checks against the login of whoever publishes.
_NOT_COPIED = frozenset({"x-delivery-count", "CC", "BCC"})
_PROPERTIES = (
    *("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to"),
    *("expiration", "message_id", "timestamp", "type", "app_id"),
)


@dataclass(slots=True)
class _Passing:
    """A message as it was seen, whole. ``published`` and ``delivered``: seconds on the monotonic clock of when we saw that."""

    body: bytes
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    published: float | None = None
    delivered: float | None = None

    @classmethod
    def waiting(cls, message: Any) -> _Passing:
        """Of a message taken from its queue."""
        return cls(message.body, message.properties, message.headers or {})

    @classmethod
    def traced(cls, message: Any) -> _Passing:
        """Of the firehose's."""
        properties = message.headers.get("properties") or {}
        return cls(message.body, properties, properties.get("headers") or {})

    def envelope(self) -> Envelope:
        """Its ids."""
        return Envelope.of({"properties": {"priority": self.properties.get("priority")}, "headers": self.headers, "body": self.body})

    def copy(self, number: int) -> Any:
        """The same message with our mark."""
        import amqp

        headers = {key: value for key, value in self.headers.items() if key not in _NOT_COPIED}
        properties = {key: self.properties[key] for key in _PROPERTIES if self.properties.get(key) is not None}
        return amqp.Message(self.body, application_headers={**headers, COPY_HEADER: number}, **properties)


class _Tap:
    """What is published to one queue and delivered from it, by others than us, from the moment in which it was opened."""

    def __init__(self, client: AmqpClient, queue: str, monitor: str, limit: int | None = None) -> None:
        self._client, self._queue, self._monitor = client, queue, monitor
        self._arguments = {"x-max-length": limit} if limit else {}  # the oldest goes first
        self._name = f"{TAP_PREFIX}tap.{uuid.uuid4()}"
        self._connection = client.connection()
        client.ask(self._declare)

    def _declare(self, channel: Any) -> None:
        channel.queue_declare(self._name, exclusive=True, auto_delete=True, arguments=self._arguments)
        for key in ("publish.#", f"deliver.{self._queue}"):
            channel.queue_bind(self._name, _TRACE, key)

    def open(self) -> bool:
        """Is it still there? A lost connection takes an exclusive queue along."""
        return self._client.is_connection(self._connection)

    def events(self) -> Iterator[tuple[str, _Passing]]:
        """('publish' or 'deliver', message), in the broker's order, until there is none."""
        while (message := self._client.ask(lambda channel: channel.basic_get(self._name, no_ack=True))) is not None:
            kind, _, _ = message.delivery_info["routing_key"].partition(".")
            facts = message.headers
            if facts.get("user") == self._monitor or (kind == "publish" and self._queue not in (facts.get("routed_queues") or ())):
                continue
            yield kind, _Passing.traced(message)


class Copier:
    """See `BrokerInspector.duplicate`. ``states``: the queues with their counts, now."""

    def __init__(self, endpoint: Endpoint, management: Management, states: Callable[[], Sequence[QueueState]]) -> None:
        self._endpoint, self._management, self._states = endpoint, management, states
        self._client = AmqpClient(endpoint, timeout=2.0)  # asked in the run's own loop: a frozen broker must not stop that
        self._taps: dict[str, _Tap] = {}
        self._promised: dict[str, dict[str, _Passing]] = {}  # queue -> message id -> decided on, not yet copied

    def duplicate(
        self, queue: str, *, share: float, count: int | None, together: bool, rng: random.Random, seen: set[str], only: str = ""
    ) -> int:
        """Copies of messages of `queue` that are not in `seen` (each is decided on once, copies never); how many were made now.

        ``together``: at once when a message is seen, so that the copy lies right behind it and another worker gets it while the first
        one runs; messages that waited before the first call are copied as they are delivered, to the far end. ``only`` of this
        task, where `watch` has seen it. Otherwise one after the other: the copy of a waiting message goes to the far end; that of
        one that a worker has is made by a later call, when nothing of the queue is unacked (or 10 s later, if that never happens).
        ``count``: at most so many by this call and those still to come.
        """
        promised = self._promised.setdefault(queue, {})
        draw = Draw(share, None if count is None else count - len(promised), rng, seen)
        made = 0
        if self._arm(queue) and not together:
            made += sum(self._publish(queue, message) for message in self._waiting(queue) if draw(message.envelope()))
        for kind, message in self._taps[queue].events():
            envelope = message.envelope()
            if only and envelope.task_id != only:
                continue
            known = promised.get(envelope.message_id)
            if known is None and not draw(envelope):
                continue
            if known is None and together:
                made += self._publish(queue, message)
                continue
            known = promised.setdefault(envelope.message_id, message)
            if kind == "publish":
                known.published = time.monotonic()
            else:
                known.delivered = time.monotonic()
        return made + self._keep_promises(queue)

    def watch(self, queue: str) -> None:
        """What passes from now on is remembered: the last few thousand messages."""
        self._arm(queue, limit=_REMEMBERED)

    def _arm(self, queue: str, limit: int | None = None) -> bool:
        """Open the tap; was it closed? ``limit``: of what it holds while nobody reads."""
        known = self._taps.get(queue)
        if known is not None and known.open():
            return False
        first = known is None
        self._management.put(f"/api/vhosts/{VHOST}", {"tracing": True})
        self._client.ask(lambda channel: None)  # connected, on a connection that answers
        self._taps[queue] = _Tap(self._client, queue, self._endpoint.user, limit)
        return first

    def _waiting(self, queue: str) -> list[_Passing]:
        """What waits: taken, and given back in its place."""
        with self._client.borrowing(memory_of(self._endpoint).take_from) as borrowed:
            return [_Passing.waiting(message) for message in borrowed.take(queue)]

    def _keep_promises(self, queue: str) -> int:
        promised = self._promised[queue]
        now = time.monotonic()
        idle = any(m.delivered is not None for m in promised.values()) and self._nothing_unacked(queue)
        due = [id for id, message in promised.items() if _due(message, now, idle)]
        return sum(self._publish(queue, promised.pop(id)) for id in due)

    def _nothing_unacked(self, queue: str) -> bool:
        return all(state.unacked == 0 for state in self._states() if state.name == queue)

    def _publish(self, queue: str, message: _Passing) -> int:
        """To the queue itself, through the default exchange; 1 when the broker has confirmed it.

        Never tried again: a copy whose confirmation was lost may be there.
        """
        import amqp

        copy = message.copy(next(copy_numbers(self._endpoint)))

        def publish(channel: Any) -> int:
            try:
                channel.basic_publish_confirm(copy, exchange="", routing_key=queue)
            except amqp.exceptions.MessageNacked:
                return 0  # the queue is full
            return 1

        return self._client.ask(publish, again=False) or 0

    def close(self) -> None:
        """Close the taps and switch the firehose off."""
        if self._taps:
            with contextlib.suppress(EnvironmentFault):
                self._management.put(f"/api/vhosts/{VHOST}", {"tracing": False})
        self._taps.clear()
        self._client.close()


def _due(message: _Passing, now: float, idle: bool) -> bool:
    if message.delivered is None:
        return message.published is not None and now - message.published >= _WAITS
    # A count that is older than the delivery says nothing of it.
    return now - message.delivered >= _PATIENCE or (idle and now - message.delivered >= 2 * QUORUM_STATISTICS)
