"""The application of the RabbitMQ tests' real workers and producers; what differs comes from the environment."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Exchange, Queue

_KIND = os.environ.get("QUEUE_TYPE", "classic")
_DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}

app = Celery("rabbitmq_test", broker=os.environ.get("BROKER"))
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_native_delayed_delivery_queue_type=_KIND,
    task_default_queue="pay",
    task_queues=[
        Queue("pay", Exchange("pay", type="topic"), routing_key="pay", queue_arguments={"x-queue-type": _KIND, **_DEAD}),
    ],
    **json.loads(os.environ.get("CONFIG", "{}")),
)


@app.task(name="note")
def note(path: str, text: str) -> str:
    with Path(path).open("a") as stream:
        stream.write(text + "\n")
    return text


@app.task(name="hold")
def hold(path: str) -> None:
    """Says that it has begun, then runs until the file `<path>.go` exists."""
    with Path(path).open("a") as stream:
        stream.write("begun\n")
    while not Path(path + ".go").exists():
        time.sleep(0.01)


@app.task(name="refuse")
def refuse() -> None:
    raise Reject("never", requeue=False)


@app.task(name="again", bind=True, max_retries=1)
def again(self: Any, path: str) -> None:
    with Path(path).open("a") as stream:
        stream.write(f"{self.request.retries}\n")
    if not self.request.retries:
        raise self.retry(countdown=2)
