"""Publishes each case twice, by apply_async and prepared, and says what then lay in the broker: JSON on stdout.

A program of its own, since it fixes what Celery draws (task ids, delivery tags) so that the two must agree to the byte.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

from celery import Celery, Task, signals
from kombu import Exchange, Queue
from kombu.transport.virtual.base import Channel
from kombu.utils.uuid import uuid as draw_id

from celery_harness_agent import prepared, publish
from celery_harness_agent.connections import own_pool
from celery_harness_agent.context import CALL, enter_shared, leave_shared
from celery_harness_agent.outbox import Outbox
from celery_harness_agent.publisher import Link

URL = sys.argv[1]
app = Celery("shop", broker=URL)
app.conf.update(
    task_queues=[
        Queue("shop"),
        Queue("by_route"),
        Queue("topical", Exchange("topics", type="topic"), routing_key="orders.#"),
        Queue("graded", max_priority=9),
        Queue("transient", Exchange("transient", delivery_mode=1)),
    ],
    task_default_queue="shop",
    task_default_priority=None,
    task_routes={"shop.routed": {"queue": "by_route"}, "shop.topical": {"queue": "topical", "routing_key": "orders.new"}},
    accept_content=["json", "pickle"],
)
QUEUES = ("shop", "by_route", "topical", "graded", "transient")


class Own(Task):
    """A task class that changes what is sent."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().apply_async(args, {**(kwargs or {}), "tenant": 7}, headers={"tenant": "7"}, compression="gzip", **options)


class Audited(Task):
    """A task class that sends another message first."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        plain.apply_async(("audit",), queue="by_route")
        return super().apply_async(args, kwargs, **options)


@app.task(name="shop.plain")
def plain(*args: Any, **kwargs: Any) -> None: ...


@app.task(name="shop.routed", base=Own)
def routed(*args: Any, **kwargs: Any) -> None: ...


@app.task(name="shop.topical", serializer="pickle", ignore_result=True)
def topical(*args: Any, **kwargs: Any) -> None: ...


@app.task(name="shop.audited", base=Audited)
def audited(*args: Any, **kwargs: Any) -> None: ...


@signals.before_task_publish.connect
def stamp(headers: Any = None, **_: Any) -> None:
    headers["stamped"] = "before"


@signals.after_task_publish.connect
def too_late(headers: Any = None, **_: Any) -> None:
    headers["stamped"] = "after"


CASES: dict[str, Callable[[], Any]] = {
    "plain": lambda: plain.apply_async((1, "ä"), {"b": [1.5, None]}),
    "routed, own class, compressed": lambda: routed.apply_async(("x" * 500,)),
    "topic exchange, pickle": lambda: topical.apply_async(({1, 2},)),
    "priority": lambda: plain.apply_async(queue="graded", priority=4),
    "not persistent": lambda: plain.apply_async(queue="transient"),
    "zlib": lambda: plain.apply_async(("y" * 500,), compression="zlib"),
    "a message before it": lambda: audited.apply_async((3,)),
    "no retry": lambda: plain.apply_async((4,), retry=False),
    "own retry policy": lambda: plain.apply_async((5,), retry_policy={"max_retries": 1, "interval_start": 0}),
    "linked": lambda: plain.apply_async((6,), link=plain.s(7), link_error=plain.s(8)),
    "own id and time limits": lambda: plain.apply_async((9,), task_id="mine", time_limit=5, soft_time_limit=4, shadow="s"),
}


class Journal:
    """Records nowhere; ids that begin anew."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.numbers = itertools.count(1)
        self.lines.clear()

    def new_id(self) -> str:
        return f"j:{next(self.numbers)}"

    def emit(self, line: str) -> None:
        self.lines.append(line)


def numbered(start: int) -> Callable[[], str]:
    numbers = itertools.count(start)
    return lambda: f"00000000-0000-0000-0000-{next(numbers):012d}"


def fixed(journal: Journal) -> None:
    """What is drawn begins anew."""
    journal.begin()
    draw_id.__defaults__ = (numbered(1),)
    Channel._next_delivery_tag = staticmethod(numbered(1_000_000))  # type: ignore[method-assign,assignment]


def redis_holds() -> list[str]:
    import redis

    client = redis.Redis.from_url(URL)
    found = []
    for key in sorted(client.keys("*")):
        if not key.startswith(b"_kombu"):
            found += [f"{key.decode()} {base64.b64encode(raw).decode()}" for raw in client.lrange(key, 0, -1)]
            client.delete(key)
    return found


def rabbit_holds() -> list[str]:
    """Body, and the raw bytes of the properties as they come over the wire."""
    import amqp

    found = []
    load = amqp.basic_message.Message._load_properties
    raw: list[bytes] = []

    def loading(self: Any, class_id: Any, buf: Any, offset: int, **kwargs: Any) -> Any:
        raw.append(bytes(buf[offset:]))
        return load(self, class_id, buf, offset, **kwargs)

    amqp.basic_message.Message._load_properties = loading  # type: ignore[method-assign]
    try:
        with app.connection_for_write() as connection:
            channel = connection.channel()
            for queue in QUEUES:
                while (message := amqp.Channel.basic_get(channel, queue, no_ack=True)) is not None:
                    body = message.body if isinstance(message.body, bytes) else message.body.encode()
                    found.append(f"{queue} {base64.b64encode(raw[-1]).decode()} {base64.b64encode(body).decode()}")
    finally:
        amqp.basic_message.Message._load_properties = load  # type: ignore[method-assign]
    return found


def records(journal: Journal) -> list[list[Any]]:
    found = [json.loads(line) for line in journal.lines]
    return [[r["k"], r["msg"], r.get("id"), r.get("call"), r.get("q"), r.get("x")] for r in found]


def main() -> None:
    journal: Any = Journal()
    outbox = Outbox(journal)
    publish.install(outbox, 1)
    holds = redis_holds if URL.startswith("redis") else rabbit_holds
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()
    holds()
    link = Link(own_pool(app), outbox)
    answer = {}
    for number, (name, call) in enumerate(CASES.items(), 1):
        sides = []
        for way in ("apply_async", "prepared"):
            fixed(journal)
            token = enter_shared({CALL: number})
            try:
                if way == "apply_async":
                    result = call()
                else:
                    made = prepared.prepare(outbox, app.connection_for_write().as_uri(), call)
                    before = [*journal.lines, *holds()]
                    assert not before, before
                    link.send(made)
                    result = made.result
            finally:
                leave_shared(token)
            sides.append({"holds": holds(), "records": records(journal), "id": result.id})
        answer[name] = sides
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
