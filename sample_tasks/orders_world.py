"""The world of the order samples: tables with orders to pay, and calls that pay them."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from contextlib import closing

ORDERS = 500

_numbers = itertools.count(1)


def create() -> None:
    """Tables and unpaid orders; called on every fresh world."""
    with closing(sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)) as db, db:
        db.execute("CREATE TABLE orders (number INT PRIMARY KEY, status TEXT NOT NULL, updated_at REAL)")
        db.execute("CREATE TABLE receipts (order_number INT PRIMARY KEY REFERENCES orders (number), cents INTEGER NOT NULL)")
        db.executemany("INSERT INTO orders (number, status) VALUES (?, 'new')", ((n,) for n in range(1, ORDERS + 1)))


def charges(rng: random.Random) -> tuple[tuple[int, int], dict[str, object]]:
    """Arguments of one `orders.charge`: the next order, and an amount between 5 and 200 euros in cents."""
    number = next(_numbers)
    if number > ORDERS:
        raise ValueError(f"the world holds {ORDERS} orders: raise ORDERS in {__name__}")
    return (number, rng.randrange(500, 20_000)), {}
