"""Money between accounts in PostgreSQL, the broken way: the money moves first, and that it was done is noted afterwards.

Differs from `accounts` in the body of `transfer` alone.
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
    """Move money, then write down that it was moved: a crash between the two moves it again."""
    time.sleep(0.05)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as db:
        if db.execute("SELECT 1 FROM transfers WHERE number = %s", (number,)).fetchone():
            return "done before"
        for account, change in sorted([(payer, -cents), (payee, cents)]):
            db.execute("UPDATE accounts SET cents = cents + %s WHERE number = %s", (change, account))
        db.execute("INSERT INTO transfers (number, cents) VALUES (%s, %s)", (number, cents))
    return "moved"
