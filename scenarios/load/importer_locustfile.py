"""Partners' price lists, imported article by article, faster and faster."""

import itertools

from locust import LoadTestShape, constant, task

from harness.locust import CeleryUser

_numbers = itertools.count(1)


class Importer(CeleryUser):
    """Sends the next article as soon as the last one is published."""

    app = "sample_tasks.importer:app"
    wait_time = constant(0.2)

    @task
    def fetch(self) -> None:
        """One price."""
        self.celery.send("importer.fetch", f"A-{next(_numbers):05}", 1999)


class Steps(LoadTestShape):
    """Two users more every two seconds, for six: Locust's own way to shape a load. It says when the load is over."""

    def tick(self) -> "tuple[int, float] | None":
        """(users, users started per second), or None: enough."""
        seconds = self.get_run_time()
        return None if seconds > 6 else (2 * (1 + int(seconds / 2)), 10)
