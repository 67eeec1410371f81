"""Mostly water. One cup in fifty kills whoever swallows it, and the next one who gets it: without `acks_late` nobody else dies of it."""

import os
import random

from locust import between, task

from harness.locust import CeleryUser

_DEADLY = float(os.environ.get("POISON_SHARE", "0.02"))


class Host(CeleryUser):
    """POISON_SHARE in the scenario's `env` says how much of it is poison; 0 for none."""

    app = "sample_tasks.poison:app"
    wait_time = between(0.1, 0.3)

    @task
    def pour(self) -> None:
        """One cup."""
        self.celery.send("poison.swallow", random.random() < _DEADLY)
