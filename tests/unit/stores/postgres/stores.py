"""A store on a server that is there already, and something to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from harness.ports.broker import Endpoint
from harness.stores.postgres import PostgresParameters, PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess
from tests.unit.stores.hosts import FolderHost

SCHEMA = """
CREATE TABLE customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE);
CREATE TABLE orders (id serial PRIMARY KEY, customer uuid REFERENCES customers, total numeric(10,2),
  doubled numeric GENERATED ALWAYS AS (total * 2) STORED);
CREATE TABLE lines (order_id int REFERENCES orders, pos int, parent int, PRIMARY KEY (order_id, pos),
  FOREIGN KEY (order_id, parent) REFERENCES lines);
CREATE TABLE invoices (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int REFERENCES orders);
CREATE TABLE bare (a int, b text);
CREATE TABLE "od""d Name" ("the ""key" int PRIMARY KEY, r int);
CREATE TABLE drawn (id int PRIMARY KEY);
CREATE SCHEMA billing;
CREATE TABLE billing.orders (id int PRIMARY KEY, shop_order int REFERENCES public.orders);
CREATE VIEW seen AS SELECT * FROM orders;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM orders;
"""


class ServerHost(FolderHost):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(Path("/nowhere"))
        self.endpoint = endpoint
        self.asked: list[tuple[str, str, bool | str]] = []

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        self.asked.append((kind, name, tls))
        return self.endpoint


@contextmanager
def started(server: PostgresProcess, **parameters: Any) -> Iterator[PostgresStore]:
    found = PostgresStore("db", PostgresParameters(**parameters))
    found.start(ServerHost(server.endpoint))
    try:
        yield found
    finally:
        found.stop()


def rows(store: PostgresStore, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in store.observe().collections[table].rows]


def fill(app: psycopg.Connection[Any]) -> None:
    app.execute(SCHEMA.encode())
    app.execute("INSERT INTO customers (name) VALUES ('tab\there'), (NULL), ('\\N')")
    app.execute("INSERT INTO orders (customer, total) SELECT id, 12.50 FROM customers")
    app.execute("INSERT INTO lines VALUES (1, 1, 1), (1, 2, 1)")
    app.execute("INSERT INTO invoices (order_id) VALUES (1), (2)")
    app.execute("INSERT INTO billing.orders VALUES (7, 1)")
