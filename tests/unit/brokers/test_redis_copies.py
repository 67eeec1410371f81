from __future__ import annotations

import json
import random

from kombu import Connection, Queue

from tests.unit.brokers.looking import deliver, duplicate, inspector, producer
from tests.unit.brokers.servers import RedisServer


def test_sequential_copies_join_the_far_end(server: RedisServer) -> None:
    app = producer(server)
    for number in range(3):
        app.send_task("pay", task_id=str(number), headers={"celery_harness_message": f"m{number}"})
    looker, seen = inspector(server), set[str]()
    assert duplicate(looker, count=2, seen=seen) == 2
    assert duplicate(looker, count=0, seen=seen) == 0
    items = [json.loads(raw) for raw in server.client().lrange("celery", 0, -1)]
    in_turn = [
        (i["headers"]["id"], i["headers"].get("celery_harness_copy", 0), i["headers"]["celery_harness_message"]) for i in reversed(items)
    ]
    first = in_turn[3][1]
    assert in_turn == [("0", 0, "m0"), ("1", 0, "m1"), ("2", 0, "m2"), ("0", first, "m0"), ("1", first + 1, "m1")]
    assert len({i["properties"]["delivery_tag"] for i in items}) == 5
    assert first > 0 and "redelivered" not in items[0]["headers"]


def test_each_message_is_decided_on_once_and_copies_never(server: RedisServer) -> None:
    app = producer(server)
    for number in range(200):
        app.send_task("pay", task_id=str(number))
    looker, seen, rng = inspector(server), set[str](), random.Random(3)
    made = duplicate(looker, share=0.2, seen=seen, rng=rng)
    assert 20 <= made <= 60
    assert duplicate(looker, share=0.2, seen=seen, rng=rng) == 0
    assert len(seen) == 200


def test_the_same_seed_copies_the_same_messages(server: RedisServer) -> None:
    copied = []
    for _ in range(2):
        server.client().flushall()
        for number in range(50):
            producer(server).send_task("pay", task_id=str(number))
        duplicate(inspector(server), share=0.3)
        items = [json.loads(raw) for raw in server.client().lrange("celery", 0, -1)]
        copied.append([i["headers"]["id"] for i in items if "celery_harness_copy" in i["headers"]])
    assert copied[0] and copied[0] == copied[1]


def test_a_copy_keeps_its_priority_and_prefix(server: RedisServer) -> None:
    options = {"global_keyprefix": "p_"}
    producer(server, **options).send_task("pay", queue="pay", priority=7)
    assert duplicate(inspector(server, **options), "pay", redelivered=True) == 1
    assert server.client().llen("p_pay\x06\x166") == 2
    copy = json.loads(server.client().lindex("p_pay\x06\x166", 0))
    assert copy["properties"]["delivery_info"]["redelivered"] is True


def test_together_copies_what_a_worker_holds_and_nothing_else(server: RedisServer) -> None:
    app = producer(server)
    app.send_task("pay", task_id="held")
    connection = deliver(server)
    app.send_task("pay", task_id="waiting")
    assert duplicate(inspector(server), together=True) == 1
    next_in_turn = json.loads(server.client().lindex("celery", -1))
    connection.close()
    assert next_in_turn["headers"]["id"] == "held"


def test_together_copies_the_task_that_is_asked_for(server: RedisServer) -> None:
    for number in "12":
        producer(server).send_task("pay", task_id=number)
    connections = [deliver(server), deliver(server)]
    looker, seen = inspector(server), set[str]()
    assert [duplicate(looker, together=True, seen=seen, count=1, only=task) for task in ("3", "2")] == [0, 1]
    copy = json.loads(server.client().lindex("celery", -1))
    for connection in connections:
        connection.close()
    assert copy["headers"]["id"] == "2"


def test_a_held_message_is_copied_one_after_the_other(server: RedisServer) -> None:
    producer(server).send_task("pay", task_id="t1")
    connection = Connection(server.url())
    message = Queue("celery", exchange="celery", routing_key="celery")(connection.default_channel).get()
    looker, seen = inspector(server), set[str]()
    assert duplicate(looker, seen=seen, count=1) == 0
    producer(server).send_task("pay", task_id="t2")
    assert duplicate(looker, seen=seen, count=1) == 0, "one is promised already"
    message.ack()
    assert duplicate(looker, seen=seen, count=1) == 1
    assert duplicate(looker, seen=seen, count=0) == 0
    connection.close()
    assert sorted(h.task_id for h in looker.look(0.0)) == ["t1", "t2"]


def test_other_queues_are_left_alone(server: RedisServer) -> None:
    producer(server).send_task("pay", queue="other")
    assert duplicate(inspector(server), "pay") == 0
