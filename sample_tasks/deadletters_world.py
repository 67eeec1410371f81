"""The world of the invoice samples: tables of invoices and reminders, and calls that write them."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from contextlib import closing

#: Every so many invoices one is for nobody: it has to be set aside.
FOR_NOBODY_EVERY = 4

_numbers = itertools.count(1)


def create() -> None:
    """The tables; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE invoices (number INT PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL)")
        db.execute("CREATE TABLE reminders (number INT PRIMARY KEY)")


def invoices(rng: random.Random) -> tuple[tuple[int, str, int], dict[str, object]]:
    """Arguments of one `invoices.issue`: the next number, a customer or none, an amount in cents."""
    number = next(_numbers)
    customer = "" if number % FOR_NOBODY_EVERY == 0 else f"C-{rng.randrange(1000):03}"
    return (number, customer, rng.randrange(500, 20_000)), {}


def good_invoices(rng: random.Random) -> tuple[tuple[int, str, int], dict[str, object]]:
    """As `invoices`, each for somebody."""
    number = next(_numbers)
    return (number, f"C-{rng.randrange(1000):03}", rng.randrange(500, 20_000)), {}


def reminders() -> tuple[tuple[int], dict[str, object]]:
    """Arguments of one `invoices.remind`: the next number."""
    return (next(_numbers),), {}
