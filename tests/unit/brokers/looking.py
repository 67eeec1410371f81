"""Real producers, and kombu consumers that keep what they took."""

from __future__ import annotations

import random
from typing import Any

from celery import Celery
from kombu import Connection, Queue

from harness.brokers.redis_inspector import RedisInspector
from tests.unit.brokers.servers import RedisServer


def producer(server: RedisServer, **options: Any) -> Celery:
    app = Celery("producer", broker=server.url(), set_as_current=False)
    app.conf.update(broker_transport_options=options)
    return app


def inspector(server: RedisServer, **options: Any) -> RedisInspector:
    found = server.kind.inspect(server.endpoint, transport_options=options)
    assert isinstance(found, RedisInspector)
    return found


def deliver(server: RedisServer, queue: str = "celery", **options: Any) -> Any:
    """Take one message with kombu and keep it unacked; the open connection is returned."""
    connection = Connection(server.url(), transport_options=options)
    connection.channel().qos.restore_at_shutdown = False
    bound = Queue(queue, exchange=queue, routing_key=queue)(connection.default_channel)
    connection.default_channel.do_restore = False
    message = bound.get()
    assert message is not None
    return connection


def duplicate(looker: RedisInspector, queue: str = "celery", **changes: Any) -> int:
    arguments: dict[str, Any] = {"share": 1.0, "count": None, "together": False, "rng": random.Random(1), "seen": set(), **changes}
    return looker.duplicate(queue, **arguments)
