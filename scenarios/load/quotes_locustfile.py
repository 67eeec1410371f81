"""People who compare quotes: one asks, waits, and goes elsewhere when it takes too long."""

import random

from locust import between, task

from harness.locust import CeleryUser


class Driver(CeleryUser):
    """Closed loop: who waits does not ask, so these users alone never bring about the storm that an open loop does (docs/load.md)."""

    app = "sample_tasks.quotes:app"
    wait_time = between(0.5, 1.5)

    @task
    def ask(self) -> None:
        """For one car."""
        self.celery.send_and_wait("quotes.ask", f"B-{random.choice('ABCDEFGH')}-{random.randrange(1, 10_000)}", timeout=20)
