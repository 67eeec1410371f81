"""Photographers who upload pictures and wait for each thumbnail."""

import itertools

from locust import between, task

from harness.locust import CeleryUser

_numbers = itertools.count(1)


class Photographer(CeleryUser):
    """Uploads one picture after another."""

    app = "sample_tasks.albums:app"
    wait_time = between(0.1, 0.3)

    @task
    def upload(self) -> None:
        """Waits for the thumbnail."""
        self.celery.send_and_wait("albums.thumbnail", f"picture-{next(_numbers)}", timeout=10)
