"""The world of the report samples: reports to write, and calls that ask for them."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from contextlib import closing

REPORTS = 200

_numbers = itertools.count(1)


def create() -> None:
    """The table and reports that wait to be written; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE reports (number INT PRIMARY KEY, status TEXT NOT NULL, lease_until REAL)")
        db.executemany("INSERT INTO reports (number, status) VALUES (?, 'new')", ((n,) for n in range(1, REPORTS + 1)))


def requests(rng: random.Random) -> tuple[tuple[int, int], dict[str, object]]:
    """Arguments of one `reports.generate`: the next report, and how many rows it has."""
    number = next(_numbers)
    if number > REPORTS:
        raise ValueError(f"the world holds {REPORTS} reports: raise REPORTS in {__name__}")
    return (number, rng.randrange(10, 1000)), {}
