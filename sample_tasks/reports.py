"""A report generator, the right way: a lease says who works on a report, and it expires.

A worker that dies while it writes leaves a lease behind; the next delivery waits until it has run out and then writes
the report. The file appears whole or not at all, because it is written beside its place and renamed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from celery import Celery, Task

app = Celery("reports", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="reports",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)

#: Seconds after which a report that is being written counts as abandoned: more than the longest report takes.
LEASE = float(os.environ.get("REPORT_LEASE_SECONDS", "60"))


def database() -> sqlite3.Connection:
    """One connection per task: SQLite connections don't survive a fork."""
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


def write(number: int, text: str) -> None:
    """The file, whole or not at all."""
    place = Path(os.environ["REPORT_DIR"]) / f"report-{number}.txt"
    draft = place.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(place)


def take(db: sqlite3.Connection, number: int) -> bool:
    """Become the one who writes this report; false where somebody else holds it."""
    now = time.time()
    with db:
        found = db.execute(
            "UPDATE reports SET status = 'generating', lease_until = ?"
            " WHERE number = ? AND (status = 'new' OR status = 'generating' AND lease_until < ?)",
            (now + LEASE, number, now),
        )
    return found.rowcount == 1


@app.task(name="reports.generate", bind=True, max_retries=20)
def generate(self: Task, number: int, rows: int) -> str:
    """Write one report."""
    with closing(database()) as db:
        (status,) = db.execute("SELECT status FROM reports WHERE number = ?", (number,)).fetchone()
        if status == "completed":
            return "already there"
        if not take(db, number):
            raise self.retry(countdown=1)
        time.sleep(0.1)  # the work: queries, a template
        write(number, f"report {number}: {rows} rows\n")
        with db:
            db.execute("UPDATE reports SET status = 'completed', lease_until = NULL WHERE number = ?", (number,))
    return "completed"
