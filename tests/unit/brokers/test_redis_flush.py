"""Flushing: what waits goes, what is held or is no message stays."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from harness.errors import EnvironmentFault
from tests.unit.brokers.looking import deliver, inspector, producer
from tests.unit.brokers.servers import RedisServer


@pytest.mark.parametrize("options", [{}, {"global_keyprefix": "pre:"}, {"sep": ":", "priority_steps": [0, 5]}])
def test_every_queue_and_priority_is_emptied_and_counted(server: RedisServer, options: dict[str, Any]) -> None:
    app = producer(server, **options)
    for number in range(10):
        app.send_task("pay", queue="ab"[number % 2], priority=number)
    looker = inspector(server, **options)
    connection = deliver(server, "b", **options)
    assert looker.depth() == (9, 1)
    assert looker.flush() == 9
    assert looker.depth() == (0, 1)
    connection.release()


def test_results_replies_locks_and_other_lists_stay(server: RedisServer) -> None:
    client = server.client()
    client.set("celery-task-meta-1", "{}")
    client.rpush("orders", "a", "b")
    with Connection(server.url()) as connection:
        reply = Queue("u.reply.celery.pidbox", exchange="reply.celery.pidbox", routing_key="u")
        connection.Producer().publish({"w": {"ok": "pong"}}, exchange="reply.celery.pidbox", routing_key="u", declare=[reply])
    before = set(client.scan_iter())
    producer(server).send_task("pay")
    assert inspector(server).flush() == 1
    assert before <= set(client.scan_iter())
    assert client.lrange("orders", 0, -1) == [b"a", b"b"]


def test_of_a_list_that_no_binding_names_only_messages_go(server: RedisServer) -> None:
    client = server.client()
    producer(server).send_task("pay", queue="lone")
    client.delete("_kombu.binding.lone")
    client.rpush("lone", "mine", "yours")
    assert inspector(server).flush() == 1
    assert client.lrange("lone", 0, -1) == [b"mine", b"yours"]


def test_poison_in_a_queue_goes_too(server: RedisServer) -> None:
    producer(server).send_task("pay")
    server.client().rpush("celery", "no json")
    assert inspector(server).flush() == 2


def test_each_message_is_either_taken_or_counted(server: RedisServer) -> None:
    """While a consumer takes messages as fast as it can."""
    app, taken = producer(server), 0
    for _ in range(300):
        app.send_task("pay")
    flushed: list[int] = []
    thread = threading.Thread(target=lambda: flushed.append(inspector(server).flush()))
    with Connection(server.url()) as connection:
        connection.default_channel.do_restore = False
        queue = Queue("celery", Exchange("celery"), routing_key="celery")(connection.default_channel)
        for _ in range(20):
            taken += queue.get(no_ack=True) is not None
        thread.start()
        while queue.get(no_ack=True) is not None:
            taken += 1
        thread.join()
    assert flushed[0] + taken == 300


def test_a_server_that_is_gone_is_said_to_be(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    looker = inspector(server)
    monkeypatch.setattr(looker, "_endpoint", server.endpoint.for_app(at=("127.0.0.1", 1)))
    with pytest.raises(EnvironmentFault, match="does not answer"):
        looker.flush()
