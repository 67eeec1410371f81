from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Exchange, Queue

from harness.brokers.rabbitmq_inspector import RabbitInspector
from tests.unit.brokers.rabbit_server import RabbitServer, producer
from tests.unit.brokers.servers import eventually

TYPES = ["classic", "quorum"]


@pytest.fixture
def channel(rabbit: RabbitServer) -> Iterator[Any]:
    connection = rabbit.connection("worker")  # what the monitor does is no business of the tap
    yield connection.channel()
    connection.collect()


def duplicate(looker: RabbitInspector, queue: str = "pay", **changes: Any) -> int:
    arguments: dict[str, Any] = {"share": 1.0, "count": None, "together": False, "rng": random.Random(1), "seen": set(), **changes}
    return looker.duplicate(queue, **arguments)


def app_on(rabbit: RabbitServer, kind: str = "classic", **options: Any) -> Any:
    arguments = {"x-queue-type": kind}
    return producer(rabbit, task_queues=[Queue("pay", Exchange("pay"), routing_key="pay", queue_arguments=arguments, **options)])


def send(app: Any, *numbers: Any, headers: Any = None, **options: Any) -> None:
    for number in numbers:
        stamped = {**(headers or {}), "celery_harness_message": f"m{number}"}
        app.send_task("pay", task_id=f"t{number}", queue="pay", headers=stamped, **options)


def take(channel: Any, count: int, queue: str = "pay") -> list[tuple[str, bool]]:
    """(task id, is it a copy?), in turn; acknowledged."""
    messages = [eventually(lambda: channel.basic_get(queue, no_ack=True)) for _ in range(count)]
    assert channel.basic_get(queue) is None
    return [(m.headers["id"], bool(m.headers.get("celery_harness_copy"))) for m in messages]


def collect(looker: RabbitInspector, wanted: int, **changes: Any) -> int:
    """Calls as the fault makes them, until so many copies are made."""
    made = 0

    def tick() -> bool:
        nonlocal made
        made += duplicate(looker, **changes)
        return made >= wanted

    eventually(tick)
    return made


@pytest.mark.parametrize("kind", TYPES)
def test_copies_of_what_waits_join_the_far_end(rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str) -> None:
    send(app_on(rabbit, kind), 0, 1, 2)
    seen: set[str] = set()
    assert duplicate(looker, count=2, seen=seen) == 2
    assert duplicate(looker, count=0, seen=seen) == 0
    assert take(channel, 5) == [("t0", False), ("t1", False), ("t2", False), ("t0", True), ("t1", True)]


@pytest.mark.parametrize("kind", TYPES)
def test_a_copy_is_the_same_message_with_a_mark(rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str) -> None:
    send(app_on(rabbit, kind), 1, 2, args=[{"é": [1, None, 2.5]}], expires=3600, headers={"own": {"deep": [1, "x"]}})
    numbers = []
    assert duplicate(looker) == 2
    first, second, copy, other = [channel.basic_get("pay", no_ack=True) for _ in range(4)]
    for original, twin in ((first, copy), (second, other)):
        headers = dict(twin.headers)
        numbers.append(headers.pop("celery_harness_copy"))
        headers.pop("x-delivery-count", None)
        assert headers == {k: v for k, v in original.headers.items() if k != "x-delivery-count"}
        assert twin.body == original.body
        properties = [{k: v for k, v in m.properties.items() if k != "application_headers"} for m in (original, twin)]
        assert properties[0] == properties[1]
        assert twin.delivery_info["redelivered"] is False
    assert 0 < numbers[0] < numbers[1]


def test_each_message_is_decided_on_once_and_copies_never(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    app = app_on(rabbit)
    send(app, *range(100))
    seen, rng = set[str](), random.Random(3)
    made = duplicate(looker, share=0.2, seen=seen, rng=rng)
    assert 8 <= made <= 35 and len(seen) == 100
    send(app, *range(100, 200))
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        made += duplicate(looker, share=0.2, seen=seen, rng=rng)
    assert 20 <= made <= 60 and len(seen) == 200
    assert looker.depth() == (200 + made, 0)


def test_the_same_seed_copies_the_same_messages(rabbit: RabbitServer, channel: Any) -> None:
    app, copied = app_on(rabbit), []
    for _ in range(2):
        looker, seen, rng = rabbit.inspector(), set[str](), random.Random(7)
        made = duplicate(looker, share=0.3, seen=seen, rng=rng)  # armed
        send(app, *range(50))
        due = sum(draw.random() < 0.3 for draw in [random.Random(7)] for _ in range(50))
        made += collect(looker, due, share=0.3, seen=seen, rng=rng)
        assert made == due and len(seen) == 50
        looker.close()
        copied.append([task for task, copy in take(channel, 50 + due) if copy])
    assert copied[0] and copied[0] == copied[1]


@pytest.mark.parametrize("kind", TYPES)
def test_together_the_copy_lies_right_behind_its_original(rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str) -> None:
    app, seen = app_on(rabbit, kind), set[str]()
    assert duplicate(looker, together=True, seen=seen) == 0
    for number in range(3):
        send(app, number)
        assert collect(looker, 1, together=True, seen=seen) == 1
    assert take(channel, 6) == [("t0", False), ("t0", True), ("t1", False), ("t1", True), ("t2", False), ("t2", True)]


def test_together_what_was_delivered_before_is_copied_where_it_was_watched(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any
) -> None:
    """And of all that was, the one that is asked for."""
    app, seen = app_on(rabbit), set[str]()
    looker.watch("pay")
    send(app, 1, 2, 3)
    take(channel, 3)
    assert collect(looker, 1, together=True, seen=seen, count=1, only="t2") == 1
    assert take(channel, 1) == [("t2", True)]


def test_together_a_second_consumer_has_the_same_message_while_the_first_one_does(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    app, seen = app_on(rabbit), set[str]()
    send(app, 1)
    duplicate(looker, together=True, seen=seen)
    connections = [rabbit.connection("worker"), rabbit.connection("worker")]
    one, two = [connection.channel() for connection in connections]
    first = one.basic_get("pay")
    assert collect(looker, 1, together=True, seen=seen) == 1, "it waited before the tap was opened, and is copied as it is delivered"
    second = eventually(lambda: two.basic_get("pay"))
    assert (first.headers["id"], second.headers["id"], second.headers["celery_harness_copy"] > 0) == ("t1", "t1", True)
    one.basic_ack(first.delivery_tag)
    assert eventually(lambda: looker.depth() == (0, 1)), "acknowledging one leaves the other"
    for connection in connections:
        connection.collect()


def test_one_after_the_other_the_copy_comes_when_the_original_is_acknowledged(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any
) -> None:
    app, seen = app_on(rabbit), set[str]()
    assert duplicate(looker, seen=seen) == 0
    send(app, 1)
    first = eventually(lambda: channel.basic_get("pay"))
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline:
        assert duplicate(looker, seen=seen, count=1) == 0
    send(app, 2)
    assert duplicate(looker, seen=seen, count=1) == 0, "one is promised already"
    assert seen == {"m1"}
    channel.basic_ack(first.delivery_tag)
    assert collect(looker, 1, seen=seen, count=1) == 1
    assert take(channel, 2) == [("t2", False), ("t1", True)]


def test_a_redelivery_is_not_another_message(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    app, seen = app_on(rabbit), set[str]()
    assert duplicate(looker, together=True, seen=seen) == 0
    send(app, 1)
    assert collect(looker, 1, together=True, seen=seen) == 1
    for _ in range(3):
        channel.basic_reject(channel.basic_get("pay").delivery_tag, requeue=True)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        assert duplicate(looker, together=True, seen=seen) == 0
    assert looker.depth() == (2, 0)


def test_a_copy_keeps_its_priority(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    app = app_on(rabbit, max_priority=9)
    send(app, 1, priority=1)
    send(app, 9, priority=9)
    assert duplicate(looker) == 2
    assert take(channel, 4) == [("t9", False), ("t9", True), ("t1", False), ("t1", True)]


def test_a_full_queue_takes_no_copy(looker: RabbitInspector, channel: Any) -> None:
    import amqp

    channel.queue_declare("pay", durable=True, auto_delete=False, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    headers = {"task": "pay", "id": "t1", "celery_harness_message": "m1"}
    channel.basic_publish_confirm(amqp.Message("x", application_headers=headers), "", "pay")
    assert eventually(lambda: looker.depth() == (1, 0))
    assert duplicate(looker) == 0
    assert looker.depth() == (1, 0)


def test_other_queues_are_left_alone(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    app = producer(rabbit)
    app.send_task("pay", queue="other")
    assert duplicate(looker, "pay") == 0
    app.send_task("pay", queue="other")
    time.sleep(0.1)
    assert duplicate(looker, "pay") == 0


def test_a_message_with_routes_of_its_own_is_copied_to_this_queue_only(looker: RabbitInspector, channel: Any) -> None:
    import amqp

    for queue in ("pay", "audit"):
        channel.queue_declare(queue, durable=True, auto_delete=False)
    seen: set[str] = set()
    assert duplicate(looker, seen=seen) == 0
    headers = {"task": "pay", "id": "t1", "celery_harness_message": "m1", "CC": ["audit"]}
    channel.basic_publish_confirm(amqp.Message("x", application_headers=headers), "", "pay")
    assert collect(looker, 1, seen=seen) == 1
    assert len(take(channel, 2)) == 2
    assert take(channel, 1, "audit") == [("t1", False)]


def test_the_tap_is_gone_after_close_and_open_again_after_the_next_call(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    management = rabbit.management()

    def taps() -> tuple[bool, int]:
        queues = [q for q in management.queues() if q["name"].startswith("celery-harness.")]
        return bool(management.get("/api/vhosts/%2F")["tracing"]), len(queues)

    app, seen = app_on(rabbit), set[str]()
    send(app, 0)
    for number in (1, 2):
        duplicate(looker, together=True, seen=seen)
        assert taps() == (True, 1)
        assert looker.depth()[0] > 0 and "celery-harness" not in str(looker.look(0.0))
        send(app, number)
        assert collect(looker, 1, together=True, seen=seen) == 1
        looker.close()
        assert eventually(lambda: taps() == (False, 0))
    management.close()
