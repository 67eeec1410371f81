"""The app of the crash samples, and how its tasks reach what they use."""

from __future__ import annotations

import json
import os
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.request import Request

import redis
from celery import Celery

app = Celery(
    "crashes",
    broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"),
    include=[
        "sample_tasks.crashes.payments",
        "sample_tasks.crashes.pairs",
        "sample_tasks.crashes.more_pairs",
        "sample_tasks.crashes.hard_pairs",
        "sample_tasks.crashes.looks_wrong",
        "sample_tasks.crashes.result_pairs",
    ],
)
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)


def create() -> None:
    """Tables and first rows; called on every fresh world."""
    with database() as db:
        db.execute("CREATE TABLE orders (number INT PRIMARY KEY, status TEXT NOT NULL, updated_at REAL)")
        db.execute("CREATE TABLE accounts (number INT PRIMARY KEY, balance INT NOT NULL)")
        db.execute("CREATE TABLE payments (id INTEGER PRIMARY KEY, order_number INT UNIQUE, cents INT NOT NULL)")
        db.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, order_number INT NOT NULL, text TEXT NOT NULL)")
        db.execute("CREATE TABLE outbox (order_number INT, kind TEXT, PRIMARY KEY (order_number, kind))")
        db.executemany("INSERT INTO orders (number, status) VALUES (?, 'new')", ((n,) for n in range(1, 11)))
        db.execute("INSERT INTO accounts VALUES (1, 1000)")


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Each statement commits by itself, unless it follows a BEGIN within `with db:`."""
    path = os.environ["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
        yield db


def status(db: sqlite3.Connection, order: int) -> str:
    """Of an order."""
    (found,) = db.execute("SELECT status FROM orders WHERE number = ?", (order,)).fetchone()
    return str(found)


def request(path: str, key: str | None = None, **body: Any) -> Request:
    """For the company that charges and ships; it takes a repeated ``key`` for the same request."""
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    return Request(os.environ["COMPANY_URL"] + path, json.dumps(body).encode(), headers)


def cache() -> redis.Redis:
    """A client of its own."""
    return redis.Redis.from_url(os.environ["CACHE_URL"])


def folder() -> Path:
    """Where documents are kept."""
    return Path(os.environ["DOCUMENTS"])


def mail(order: int) -> EmailMessage:
    """Tells the customer that it is paid."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", "customer@example.org", f"Order {order} is paid"
    message["Message-ID"] = f"<paid-{order}@example.org>"
    message.set_content("Thank you.")
    return message


def mail_server() -> smtplib.SMTP:
    """Connected."""
    return smtplib.SMTP(os.environ["MAIL_HOST"], int(os.environ["MAIL_PORT"]), local_hostname="shop.example.org")
