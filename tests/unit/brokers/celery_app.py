"""The application that the tests' real workers and producers run; everything comes from the environment."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("brokers_test", broker=os.environ.get("BROKER"), backend=os.environ.get("BACKEND"))
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ.get("OPTIONS", "{}")),
)
app.conf.update(json.loads(os.environ.get("CONFIG", "{}")))


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


@app.task(name="boom")
def boom() -> None:
    raise ValueError("no")


@app.task(name="add")
def add(*numbers: int) -> int:
    return sum(numbers)


@app.task(name="total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(bind=True, name="again", max_retries=1)
def again(self: Any) -> int:
    if not self.request.retries:
        raise self.retry(countdown=0)
    return 1
