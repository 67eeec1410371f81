"""The world of the shipment samples: shipments that wait for a van."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

SHIPMENTS = 100


def create() -> None:
    """The table and new shipments; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE shipments (number INT PRIMARY KEY, status TEXT NOT NULL)")
        db.executemany("INSERT INTO shipments (number, status) VALUES (?, 'new')", ((n,) for n in range(1, SHIPMENTS + 1)))
