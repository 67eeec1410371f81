"""A shop: one task books an order each time it runs, the other once per order."""

import os
import sqlite3

from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)


def database():
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


def create():
    with database() as db:
        db.execute("CREATE TABLE orders (number INTEGER, cents INTEGER)")
        db.execute("CREATE TABLE bookings (number INT PRIMARY KEY, cents INTEGER)")


@app.task(name="shop.book_twice")
def book_twice(number, cents):
    with database() as db:
        db.execute("INSERT INTO orders VALUES (?, ?)", (number, cents))


@app.task(name="shop.book_once")
def book_once(number, cents):
    with database() as db:
        db.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?)", (number, cents))
