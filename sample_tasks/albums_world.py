"""The world of the album sample: a table of albums."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing


def create() -> None:
    """The table; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE albums (name TEXT PRIMARY KEY, pictures INTEGER NOT NULL)")
