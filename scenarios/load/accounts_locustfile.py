"""Customers of a bank who send money to one another. It needs PostgreSQL (docs/postgres.md)."""

import random

from locust import between, task

from harness.locust import CeleryUser

_ACCOUNTS = range(1, 21)  # as sample_tasks.accounts_world opens them


class Customer(CeleryUser):
    """Every transfer has a number of its own."""

    app = "sample_tasks.accounts:app"
    wait_time = between(0.1, 0.5)

    @task
    def transfer(self) -> None:
        """Up to 50 euros."""
        payer, payee = random.sample(_ACCOUNTS, 2)
        self.celery.send("accounts.transfer", random.randrange(1, 2**31), payer, payee, random.randrange(100, 5_000))
