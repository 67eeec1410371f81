"""Queues as the explorer needs them, on a real server with messages that kombu put there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from celery import Celery

from harness.brokers.redis import RedisBroker
from harness.brokers.redis_queues import RedisQueues
from harness.errors import EnvironmentFault
from harness.ports.queues import HoldsMessages
from tests.unit.brokers.servers import RedisServer, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as found:
        yield found


@pytest.fixture
def queues(server: RedisServer) -> Iterator[RedisQueues]:
    server.client().flushall()
    found = RedisQueues(server.endpoint, {})
    yield found
    found.close()


def work(number: int = 0) -> None:
    """Never run."""


@pytest.fixture
def task(server: RedisServer) -> Any:
    app = Celery("shop", broker=server.url())
    app.conf.broker_transport_options = {"priority_steps": [0, 5]}
    return app.task(name="shop.work")(work)


def test_redis_is_a_kind_that_can_be_explored(server: RedisServer) -> None:
    kind = RedisBroker()
    assert isinstance(kind, HoldsMessages)
    found = kind.queues(server.endpoint)
    assert found.settled()
    found.close()


def test_messages_are_shown_oldest_first_with_what_they_say(queues: RedisQueues, task: Any) -> None:
    sent = [task.apply_async((number,), retries=number) for number in range(3)]
    eta = datetime(2030, 1, 1, tzinfo=timezone.utc)
    late = task.apply_async((9,), eta=eta, queue="slow")
    found = queues.look()
    assert [(w.queue, w.task_id, w.retries) for w in found.waiting] == [
        *(("celery", one.id, number) for number, one in enumerate(sent)),
        ("slow", late.id, 0),
    ]
    assert {w.task for w in found.waiting} == {"shop.work"} and not any(w.redelivered for w in found.waiting)
    assert [w.eta for w in found.waiting] == [None, None, None, eta.timestamp()]
    assert found.rows == (), "routing is no row"


def test_what_is_no_message_is_a_row(queues: RedisQueues, server: RedisServer, task: Any) -> None:
    client = server.client()
    client.set("celery-task-meta-1", b'{"status": "SUCCESS"}', ex=100)
    client.rpush("mixed", "poison", "{}")
    client.sadd("set", "b", "a")
    client.zadd("zset", {"m": 1.5})
    client.hset("hash", "f", b"\xff")
    task.apply_async()
    found = queues.look()
    assert len(found.waiting) == 1
    assert {row["key"]: (row["type"], row["value"], row["expires"]) for row in found.rows} == {
        "celery-task-meta-1": ("string", '{"status": "SUCCESS"}', True),
        "mixed": ("list", ["poison", "{}"], False),
        "set": ("set", ["a", "b"], False),
        "zset": ("zset", ["m", "1.5"], False),
        "hash": ("hash", ["f", "\\xff"], False),
    }


def test_one_of_two_that_are_equal_is_taken(queues: RedisQueues, server: RedisServer, task: Any) -> None:
    task.apply_async((1,))
    item = server.client().lindex("celery", 0)
    server.client().lpush("celery", item)
    first, second = queues.look().waiting
    assert first == second
    assert queues.take(first) and len(queues.look().waiting) == 1
    assert queues.take(second) and not queues.take(second)


def test_what_is_put_back_is_next_and_says_so(queues: RedisQueues, task: Any) -> None:
    one, two = task.apply_async((1,)), task.apply_async((2,))
    waiting = queues.look().waiting[0]
    queues.take(waiting)
    queues.put(waiting.queue, waiting.document)
    found = queues.look().waiting
    assert [(w.task_id, w.redelivered) for w in found] == [(one.id, True), (two.id, False)]
    assert {**found[0].document, "headers": None, "properties": None} == {**waiting.document, "headers": None, "properties": None}


def test_everything_comes_back_and_nothing_else_is_there(queues: RedisQueues, server: RedisServer, task: Any) -> None:
    client = server.client()
    task.apply_async((1,))
    client.set("result", 1, px=60_000)
    elsewhere = server.client(3)
    elsewhere.set("marker", 1)
    elsewhere.xadd("jobs", {"order": "7"})
    elsewhere.xgroup_create("jobs", "workers", id="0")
    elsewhere.xreadgroup("workers", "me", {"jobs": ">"})
    image, before = queues.look().image, queues.look()
    client.flushall()
    task.apply_async((2,))
    client.set("other", 1)
    queues.restore(image)
    after = queues.look()
    assert (after.waiting, after.rows) == (before.waiting, before.rows)
    rows = {row["key"]: row for row in after.rows}
    assert rows["/3 marker"]["value"] == "1"
    assert (rows["/3 jobs"]["value"], rows["/3 jobs"]["groups"]) == ([["order", "7"]], [["workers", 1, [[1, "me", 1]]]])
    contents = [[(db, key, content) for db, entries in one for key, _, content in entries] for one in (queues.look().image, image)]
    assert contents[0] == contents[1] and {db for db, *_ in contents[0]} == {0, 3}
    assert 0 < client.pttl("result") <= 60_000


def test_a_server_that_is_gone_is_no_bug_of_the_task(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(RedisServer(tmp_path_factory.mktemp("gone"))) as server:
        queues = RedisQueues(server.endpoint, {})
        assert queues.settled()
        server.kill()
        for question in (queues.look, queues.settled, queues.fingerprint, lambda: queues.restore(())):
            with pytest.raises(EnvironmentFault, match="Redis does not answer"):
                question()
    queues.close()
    queues.close()
