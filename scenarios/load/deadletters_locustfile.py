"""An office that writes invoices, some of them for nobody, and prints them. It needs RabbitMQ (docs/rabbitmq.md)."""

import random
from typing import Any

from locust import between, events, task

from harness.locust import CeleryUser


class Clerk(CeleryUser):
    """Invoices go through one queue, errands through another: the app's own routes say which."""

    app = "sample_tasks.deadletters:app"
    wait_time = between(0.1, 0.4)

    @task(3)
    def issue(self) -> None:
        """Every tenth one is for nobody, and is set aside."""
        customer = f"C-{random.randrange(1000):03}" if random.random() < 0.9 else ""
        self.celery.send("invoices.issue", random.randrange(1, 2**31), customer, random.randrange(500, 20_000))

    @task
    def print_out(self) -> None:
        """On paper that never jams."""
        self.celery.send("invoices.print_out", random.randrange(1, 2**31), False)


@events.quitting.add_listener
def judge(environment: Any, **_: object) -> None:
    """To Locust an invoice that is set aside has failed; to this app that is how it should be. What could not be sent is a failure."""
    unsent = sum(entry.num_failures for (_, kind), entry in environment.stats.entries.items() if kind == "publish")
    environment.process_exit_code = 1 if unsent else 0
