"""A warehouse that books vans, now and then for a shipment that has one."""

import random

from locust import between, task

from harness.locust import CeleryUser
from sample_tasks.shipments_world import SHIPMENTS


class Warehouse(CeleryUser):
    """Books one van after another, and loads the next parcels when it is there."""

    app = "sample_tasks.shipments:app"
    wait_time = between(0.1, 0.4)

    @task
    def book(self) -> None:
        """Waits for the booking; half a minute without one is a failure."""
        self.celery.send_and_wait("shipments.book", random.randint(1, SHIPMENTS), random.randint(1, 9), timeout=30)
