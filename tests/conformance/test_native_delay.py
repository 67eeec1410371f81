"""A retry that waits in RabbitMQ itself is shortened there too: `time: {retries: /N}` on quorum queues.

Celery picks the routing key, which holds the delay in bits, before it sends the signal that the agent hears.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kombu import Exchange, Queue
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    declare_native_delayed_delivery_exchanges_and_queues,
)

from tests.unit.brokers.rabbit_server import RabbitServer, producer

AGENT = Path(__file__).resolve().parents[2] / "harness" / "agent"
#: A retry of the task that is running, and a publish with a countdown that is none.
PUBLISHER = """
import sys
from celery import Celery
from kombu import Exchange, Queue
from celery_harness_agent import context, publish

class Journal:
    emit = staticmethod(lambda line: sys.stdout.write(line))
    new_id = staticmethod(iter(["m1", "m2"]).__next__)

app = Celery(broker=sys.argv[1])
app.conf.task_queues = [Queue("work", Exchange("work", "topic"), "work", queue_arguments={"x-queue-type": "quorum"})]
app.conf.update(task_default_queue="work", task_ignore_result=True, broker_transport_options={"confirm_publish": True})
publish.install(Journal, 30.0)
context.single.request = {"id": "again", context.DELIVERY: "d1"}
app.send_task("shop.work", task_id="again", retries=1, countdown=60)
app.send_task("shop.work", task_id="other", countdown=60)
"""


def work() -> Queue:
    return Queue("work", Exchange("work", "topic"), "work", queue_arguments={"x-queue-type": "quorum"})


def get(app: Any, seconds: float) -> Any:
    """The next message of the queue, or None."""
    deadline = time.monotonic() + seconds
    with app.connection_for_read() as connection:
        queue = work()(connection.default_channel)
        while time.monotonic() < deadline:
            if (message := queue.get(no_ack=True)) is not None:
                return message
            time.sleep(0.02)
    return None


@pytest.mark.exhaustive
@pytest.mark.timeout(120)
def test_a_retry_that_waits_in_the_broker_comes_sooner_and_nothing_else_does(rabbit: RabbitServer) -> None:
    app = producer(rabbit)
    with app.connection_for_write() as connection:
        work()(connection.default_channel).declare()
        declare_native_delayed_delivery_exchanges_and_queues(connection, "classic")
        bind_queue_to_native_delayed_delivery_exchange(connection, work())
    environment = {**os.environ, "PYTHONPATH": str(AGENT)}
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHER, rabbit.url("producer")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message = get(app, 30)
    assert message is not None and message.headers["id"] == "again"
    assert get(app, 1.5) is None, "a countdown that is no retry keeps its minute"
    app.close()
