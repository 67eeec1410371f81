"""The world of the importer samples: a table of prices, and articles to import."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from contextlib import closing

#: Every so many articles one is malformed: it has to fail at once.
MALFORMED_EVERY = 5

_numbers = itertools.count(1)


def create() -> None:
    """The table; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE prices (article TEXT PRIMARY KEY, cents INTEGER NOT NULL)")


def articles(rng: random.Random) -> tuple[tuple[str, int], dict[str, object]]:
    """Arguments of one `importer.fetch`: the next article, and its price in cents."""
    number = next(_numbers)
    prefix = "?" if number % MALFORMED_EVERY == 0 else "A-"
    return (f"{prefix}{number:05}", rng.randrange(100, 100_000)), {}
