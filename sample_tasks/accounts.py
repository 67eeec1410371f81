"""Money between accounts in PostgreSQL, the right way: the note that it was done and the doing are one transaction.

A delivery that comes again, also beside one that still runs, finds the note and changes nothing.
"""

from __future__ import annotations

import os
import time

import psycopg
from celery import Celery

app = Celery("accounts", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="accounts",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    result_backend_always_retry=True,
    result_backend_max_retries=20,
)


@app.task(name="accounts.transfer")
def transfer(number: int, payer: int, payee: int, cents: int) -> str:
    """Move money once for each number, however often this runs."""
    time.sleep(0.05)
    with psycopg.connect(os.environ["DATABASE_URL"]) as db:
        noted = db.execute("INSERT INTO transfers (number, cents) VALUES (%s, %s) ON CONFLICT DO NOTHING", (number, cents))
        if noted.rowcount == 0:
            return "done before"
        for account, change in sorted([(payer, -cents), (payee, cents)]):
            db.execute("UPDATE accounts SET cents = cents + %s WHERE number = %s", (change, account))
    return "moved"
