"""Parcels and a courier's HTTP API, the right way: a status says how far a booking has got, and only `booked` ends it.

A courier that cannot be reached is asked again later, under a key that is the same each time. An attempt that finds `booking`
knows that one before it did not get through, and goes on with it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from urllib.error import URLError
from urllib.request import Request, urlopen

from celery import Celery

app = Celery("shipments", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="shipments",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


class CourierAway(Exception):
    """The courier did not answer: later it may."""


def database() -> sqlite3.Connection:
    """One connection per task: SQLite connections don't survive a fork."""
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


def ask_courier(number: int, parcels: int) -> None:
    """Order a van. The courier takes a repeated key for the same order."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"shipment-{number}"}
    body = json.dumps({"shipment": number, "parcels": parcels}).encode()
    try:
        with urlopen(Request(os.environ["COURIER_API"] + "/vans", body, headers), timeout=10) as answer:
            answer.read()
    except (URLError, TimeoutError, ConnectionError) as error:
        raise CourierAway(str(error)) from None


@app.task(name="shipments.book", autoretry_for=(CourierAway,), max_retries=20, default_retry_delay=1)
def book(number: int, parcels: int) -> str:
    """Book a van for a shipment, once."""
    with closing(database()) as db:
        (status,) = db.execute("SELECT status FROM shipments WHERE number = ?", (number,)).fetchone()
        if status == "booked":
            return "booked before"
        with db:
            db.execute("UPDATE shipments SET status = 'booking' WHERE number = ? AND status = 'new'", (number,))
        ask_courier(number, parcels)
        with db:
            db.execute("UPDATE shipments SET status = 'booked' WHERE number = ?", (number,))
    return "booked"
