"""Shoppers who pay their orders; every fourth waits until the money is taken."""

import random

from locust import between, task

from harness.locust import CeleryUser
from sample_tasks.orders_world import ORDERS


class Shopper(CeleryUser):
    """Pays one order after another. An order that was paid before costs nothing again."""

    app = "sample_tasks.orders:app"
    wait_time = between(0.1, 0.5)

    @task(3)
    def pay(self) -> None:
        """Returns once the call is published."""
        self.celery.send("orders.charge", random.randint(1, ORDERS), random.randrange(500, 20_000))

    @task
    def pay_and_wait(self) -> None:
        """Returns once the task has ended, or after ten seconds, which counts as a failure."""
        self.celery.send_and_wait("orders.charge", random.randint(1, ORDERS), random.randrange(500, 20_000), timeout=10)
