"""The world of the account samples: accounts with money on them, and calls that move it."""

from __future__ import annotations

import itertools
import os
import random

import psycopg

ACCOUNTS = 20

_numbers = itertools.count(1)


def create() -> None:
    """Tables, and 1,000 euros on each account; called on every fresh world."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as db:
        db.execute("CREATE TABLE accounts (number int PRIMARY KEY, cents bigint NOT NULL)")
        db.execute("CREATE TABLE transfers (number int PRIMARY KEY, cents bigint NOT NULL)")
        db.execute("INSERT INTO accounts SELECT n, 100000 FROM generate_series(1, %s) AS n", (ACCOUNTS,))


def transfers(rng: random.Random) -> tuple[tuple[int, int, int, int], dict[str, object]]:
    """Arguments of one `accounts.transfer`: the next number, two accounts, and up to 50 euros in cents."""
    payer, payee = rng.sample(range(1, ACCOUNTS + 1), 2)
    return (next(_numbers), payer, payee, rng.randrange(100, 5_000)), {}
