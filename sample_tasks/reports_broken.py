"""A report generator, the broken twin of `reports`: a status says that somebody works on a report, and never expires.

A worker that dies while it writes leaves `generating` behind; every later delivery sees it, believes that somebody else
is at work, and ends successfully. The report is never written.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from celery import Celery

app = Celery("reports", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="reports",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


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
    with db:
        found = db.execute("UPDATE reports SET status = 'generating' WHERE number = ? AND status = 'new'", (number,))
    return found.rowcount == 1


@app.task(name="reports.generate")
def generate(number: int, rows: int) -> str:
    """Write one report."""
    with closing(database()) as db:
        (status,) = db.execute("SELECT status FROM reports WHERE number = ?", (number,)).fetchone()
        if status == "completed":
            return "already there"
        if not take(db, number):
            return "somebody is at it"
        time.sleep(0.1)  # the work: queries, a template
        write(number, f"report {number}: {rows} rows\n")
        with db:
            db.execute("UPDATE reports SET status = 'completed' WHERE number = ?", (number,))
    return "completed"
