"""The bare side of bench_load: publishes as many messages as each line of stdin says, and answers when each began, and the end, in ns."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from celery import Celery
from kombu import Connection, Producer

URL = sys.argv[1]
app = Celery("bench", broker=URL)


@app.task(name="bench.noop")
def noop(*args: object) -> None: ...


def raw() -> Callable[[], object]:
    """kombu alone, on one connection: body, headers and properties of a message that Celery made once."""
    producer = Producer(Connection(URL))
    headers, properties, body, _ = app.amqp.as_task_v2("x" * 36, "bench.noop", (7, "x" * 40), {}, create_sent_event=False)
    return lambda: producer.publish(
        body, exchange="", routing_key="raw", serializer="json", headers=dict(headers), retry=True, **properties
    )


def bare() -> Callable[[], object]:
    """What any Celery client does, in a loop."""
    args = (7, "x" * 40)
    return lambda: noop.apply_async(args, queue="bare")


WAYS = {"raw": raw(), "bare": bare()}

for line in sys.stdin:
    way, count = line.split()
    publish = WAYS[way]
    publish()
    moments = [time.monotonic_ns()]
    for _ in range(int(count)):
        publish()
        moments.append(time.monotonic_ns())
    print(json.dumps(moments), flush=True)
