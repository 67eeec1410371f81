"""Readers who ask for a report, some of them with priority, through options of `apply_async`."""

import itertools
import random

from locust import between, task

from harness.locust import CeleryUser
from sample_tasks.reports_world import REPORTS

#: One after the other: who asks for a report that is being written is tried again later, which Locust counts as a failed run.
_numbers = itertools.count(random.randrange(REPORTS))


class Reader(CeleryUser):
    """Asks for reports."""

    app = "sample_tasks.reports:app"
    wait_time = between(0.2, 0.6)

    @task
    def ask(self) -> None:
        """A report that is due within a minute, or not wanted any more."""
        self.celery.apply("reports.generate", [next(_numbers) % REPORTS + 1, 100], expires=60)
