"""A shop with one service of each kind, and what a task would do to them."""

from __future__ import annotations

import http.client
import json
import smtplib
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from celery import Celery

from harness.brokers.redis import RedisBroker
from harness.explore.surroundings import Services
from harness.ports.exploring import Node
from harness.ports.store import Store
from harness.stores.files import FilesParameters, FilesStore
from harness.stores.http import HttpParameters, HttpStore
from harness.stores.redis import RedisParameters, RedisStore
from harness.stores.smtp import SmtpParameters, SmtpStore
from harness.stores.sqlite import SqliteParameters, SqliteStore
from tests.unit.brokers.servers import RedisServer
from tests.unit.stores.hosts import FolderHost


def _charge(order: int) -> None:
    """Never run: the tests do its work."""


class Shop:
    """Services, and what a task would do to them."""

    def __init__(self, root: Path, cache: RedisServer, broker: RedisServer) -> None:
        host = FolderHost(root)
        host.server = lambda *_, **__: cache.endpoint  # type: ignore[method-assign, assignment]
        self.db, self.files = SqliteStore("db", SqliteParameters()), FilesStore("files", FilesParameters())
        self.api, self.mail = HttpStore("api", HttpParameters(idempotency_key="Idempotency-Key")), SmtpStore("mail", SmtpParameters())
        self.cache = RedisStore("cache", RedisParameters())
        self.stores: dict[str, Store] = {"db": self.db, "files": self.files, "api": self.api, "mail": self.mail, "cache": self.cache}
        cache.client().flushall()
        broker.client().flushall()
        for store in self.stores.values():
            store.start(host)
        self.redis, self.broker, self.broker_of = cache.client(), broker.client(), broker.client
        self.queues = RedisBroker().queues(broker.endpoint)
        self.now = 1_795_000_000.0
        self.app = Celery("shop", broker=broker.url(), backend=broker.url(role="backend"))
        self.charge = self.app.task(name="shop.charge")(_charge)
        with self.sql() as db:
            db.executescript(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT); INSERT INTO orders VALUES (7, 'new');"
                "CREATE TABLE payments (id INTEGER PRIMARY KEY AUTOINCREMENT, amount INTEGER, at TEXT, lease INTEGER);"
            )
        self.services = self.surroundings()

    def surroundings(self, *, without: str = "") -> Services:
        seen = {name: store for name, store in self.stores.items() if name != without}
        return Services(seen, {"broker": self.queues}, clock=lambda: self.now)

    def sql(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.db.offers()["path"], isolation_level=None))

    def folder(self) -> Path:
        return Path(self.files.offers()["path"])

    def pay(self, amount: int = 900, *, lease: int | None = None) -> None:
        with self.sql() as db:
            db.execute("INSERT INTO payments (amount, at, lease) VALUES (?, ?, ?)", (amount, f"{uuid.uuid4()}", lease))

    def post(self, body: Any, key: str = "") -> None:
        with closing(http.client.HTTPConnection(*self.api.addresses()[0], timeout=10)) as client:
            headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
            client.request("POST", "/charges", json.dumps(body), headers)
            client.getresponse().read()

    def send(self) -> None:
        with smtplib.SMTP(*self.mail.addresses()[0], timeout=10) as client:
            client.sendmail("a@x", ["b@x"], "Subject: paid\r\n\r\nhello\r\n")

    def stop(self) -> None:
        self.queues.close()
        for store in self.stores.values():
            store.stop()


def first(shop: Shop) -> Node:
    shop.services.reset()
    shop.charge.apply_async((7,))
    return shop.services.look()
