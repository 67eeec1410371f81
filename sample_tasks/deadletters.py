"""Invoices by way of RabbitMQ, the right way: nothing that cannot be done is thrown away.

What a task rejects, and what comes back too often, goes to the dead letters, where somebody can look at it. Publishes are
confirmed; queues are durable, one of them a quorum queue, and hang on a topic exchange, so that retries wait in the broker.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

from celery import Celery, Task, bootsteps
from celery.exceptions import Reject
from kombu import Exchange, Queue

app = Celery("invoices", broker=os.environ.get("BROKER_URL", "amqp://localhost:5672//"))

work = Exchange("work", type="topic")
dead_letters = Queue("dead_letters", Exchange("dead", type="topic"), routing_key="#")
SET_ASIDE = {"x-dead-letter-exchange": "dead"}

app.conf.update(
    task_queues=(
        Queue("invoices", work, routing_key="invoices", queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 3} | SET_ASIDE),
        Queue("errands", work, routing_key="errands", queue_arguments={"x-queue-type": "classic"} | SET_ASIDE),
    ),
    task_default_queue="invoices",
    task_default_exchange="work",
    task_default_exchange_type="topic",
    task_default_routing_key="invoices",
    task_routes={"invoices.remind": {"queue": "errands"}, "invoices.archive": {"queue": "errands"}},
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


class DeclareDeadLetters(bootsteps.StartStopStep):
    """A worker declares the queues that it consumes; nobody consumes this one."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: object) -> None:
        """Exchange, queue and binding."""
        with app.connection_for_write() as connection:
            dead_letters(connection.default_channel).declare()


app.steps["worker"].add(DeclareDeadLetters)


class Away(Exception):
    """The customer's mail server did not answer: later it may."""


def database() -> sqlite3.Connection:
    """One connection per task: SQLite connections don't survive a fork."""
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


@app.task(name="invoices.issue")
def issue(number: int, customer: str, cents: int) -> None:
    """Write an invoice, once. One for nobody is no invoice."""
    if not customer:
        raise Reject(f"invoice {number} has no customer", requeue=False)
    with closing(database()) as db, db:
        db.execute("INSERT OR IGNORE INTO invoices (number, customer, cents) VALUES (?, ?, ?)", (number, customer, cents))


@app.task(name="invoices.print_out")
def print_out(number: int, jams: bool) -> int:
    """Print an invoice. One that jams takes the printing process along, each time."""
    if jams:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@app.task(name="invoices.archive")
def archive(year: int) -> int:
    """Stands for minutes of work: the invoices of a whole year."""
    for _ in range(20):
        time.sleep(0.2)
    return year


@app.task(name="invoices.remind", bind=True, autoretry_for=(Away,), max_retries=3, default_retry_delay=60, retry_jitter=False)
def remind(self: Task, number: int) -> None:
    """Remind a customer, whose mail server is away at first."""
    if self.request.retries < 2:
        raise Away(f"reminder {number}")
    with closing(database()) as db, db:
        db.execute("INSERT OR IGNORE INTO reminders (number) VALUES (?)", (number,))
