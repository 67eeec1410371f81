from __future__ import annotations

from typing import Any

import psycopg

from harness.stores.postgres import PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess
from tests.unit.stores.postgres.stores import SCHEMA, rows, started


def test_the_schema_lies_beneath(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (a int PRIMARY KEY, b int)")
    seen = [store.beneath()]
    for change in (
        "CREATE UNIQUE INDEX one ON t (b)",
        "ALTER TABLE t ADD CHECK (b > 0)",
        "ALTER TABLE t ALTER b SET DEFAULT 7",
        "CREATE VIEW v AS SELECT a FROM t",
    ):
        app.execute(change.encode())
        seen.append(store.beneath())
    assert len({repr(one) for one in seen}) == 5
    app.execute("DROP VIEW v; ALTER TABLE t ALTER b DROP DEFAULT, DROP CONSTRAINT t_b_check; DROP INDEX one; INSERT INTO t VALUES (1, 2)")
    assert store.beneath() == seen[0]


def test_keys_surrogates_and_references(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute(SCHEMA.encode())
    found = store.observe().collections
    assert {name: (c.key, c.surrogate, dict(c.references)) for name, c in found.items()} == {
        "customers": (("id",), ("id",), {}),
        "orders": (("id",), ("id",), {"customer": "customers.id"}),
        "lines": (("order_id", "pos"), (), {"order_id": "orders.id", "parent": "lines.pos"}),
        "invoices": (("number",), ("number",), {"order_id": "orders.id"}),
        "bare": ((), (), {}),
        'od"d Name': (('the "key',), (), {}),
        "drawn": (("id",), (), {}),
        "billing.orders": (("id",), (), {"shop_order": "orders.id"}),
    }


def test_the_scenario_says_what_defaults_cannot(server: PostgresProcess, app: psycopg.Connection[Any]) -> None:
    app.execute(SCHEMA.encode())
    with started(server, natural=("invoices.number", "customers.id"), surrogate=("drawn.id", "billing.orders.id")) as store:
        found = {name: c.surrogate for name, c in store.observe().collections.items() if c.surrogate}
    assert found == {"orders": ("id",), "drawn": ("id",), "billing.orders": ("id",)}


def test_rows_come_in_the_order_of_their_key(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE keyed (r int PRIMARY KEY); INSERT INTO keyed VALUES (10), (9), (1)")
    app.execute("CREATE TABLE bare (a text); INSERT INTO bare VALUES ('b'), ('a'), ('b')")
    app.execute("CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES")
    assert rows(store, "keyed") == [{"r": 1}, {"r": 9}, {"r": 10}]
    assert rows(store, "bare") == [{"a": "a"}, {"a": "b"}, {"a": "b"}]
    assert rows(store, "nothing") == [{}]


VALUES: list[tuple[str, str, Any]] = [
    ("int8", "9223372036854775807", 9223372036854775807),
    ("boolean", "true", True),
    ("numeric", "12.50", 12.5),
    ("numeric(10,2)", "10", 10),
    ("numeric", "10.000", 10),
    ("numeric", "0.1", 0.1),
    ("numeric", "1234567890123456.789", "1234567890123456.789"),
    ("numeric", "123456789012345678901234567890", 123456789012345678901234567890),
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "repeat('9', 5000)::numeric", "9" * 5000),
    ("float8", "0.1", 0.1),
    ("float8", "1e300", 1e300),
    ("float8", "'-Infinity'", "-Infinity"),
    ("text", "'ü' || chr(10) || '\"'", 'ü\n"'),
    ("bytea", "'\\x00ff'", "x'00ff'"),
    ("bytea", "NULL", None),
    ("timestamptz", "'2024-03-01 12:00:00.5+02'", "2024-03-01T10:00:00.5+00:00"),
    ("timestamp", "'2024-03-01 12:00:00'", "2024-03-01T12:00:00"),
    ("timestamptz", "'infinity'", "infinity"),
    ("date", "'2024-03-01'", "2024-03-01"),
    ("interval", "'1 day 2 hours'", "1 day 02:00:00"),
    ("int[]", "'{{1,2},{3,NULL}}'", [[1, 2], [3, None]]),
    ("text[]", "'{}'", []),
    ("jsonb", '\'{"b": [1.50, null], "a": "x"}\'', {"b": [1.5, None], "a": "x"}),
    ("json", "'[1, 2]'", [1, 2]),
    ("int4range", "'[1,5)'", "[1,5)"),
    ("mood", "'fine'", "fine"),
    ("pair", "ROW(1, 'b')", {"a": 1, "b": "b"}),
    ("inet", "'10.0.0.1'", "10.0.0.1"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
]


def test_values_are_canonical(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TYPE mood AS ENUM ('fine', 'bad'); CREATE TYPE pair AS (a int, b text)")
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _, _) in enumerate(VALUES))
    app.execute(f"CREATE TABLE t ({columns})".encode())
    app.execute(f"INSERT INTO t VALUES ({', '.join(text for _, text, _ in VALUES)})".encode())
    (row,) = rows(store, "t")
    for number, (kind, text, expected) in enumerate(VALUES):
        found = row[f"c{number}"]
        assert (found, type(found)) == (expected, type(expected)), f"{kind} {text}"


def test_the_apps_own_settings_change_no_value(server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (at timestamptz, raw bytea, i interval, x float8)")
    app.execute("INSERT INTO t VALUES ('2024-03-01 12:00:00+00', '\\x01', '1 day', 0.1)")
    before = store.observe()
    settings = {"timezone": "Asia/Tokyo", "bytea_output": "escape", "intervalstyle": "iso_8601", "extra_float_digits": "-5"}
    with server.connect("monitor", "postgres") as monitor:
        for name, value in settings.items():
            monitor.execute(f"ALTER DATABASE app SET {name} TO '{value}'".encode())
    with started(server) as second:
        assert second.observe() == before


def test_partitions_show_once_and_heirs_as_themselves(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)")
    app.execute("CREATE TABLE events_23 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')")
    app.execute("CREATE TABLE events_24 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')")
    app.execute("INSERT INTO events VALUES (2, '2023-05-05'), (1, '2024-05-05')")
    app.execute("CREATE TABLE notes (id int, event int, at date, FOREIGN KEY (event, at) REFERENCES events)")
    app.execute("CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent)")
    app.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3)")
    found = store.observe().collections
    assert set(found) == {"events", "notes", "parent", "child"}
    assert [row["id"] for row in found["events"].rows] == [1, 2]
    assert found["events"].key == ("id", "at")
    assert found["notes"].references == {"event": "events.id", "at": "events.at"}
    assert (found["parent"].rows, found["child"].rows) == (({"a": 1},), ({"a": 2, "b": 3},))


def test_what_is_not_the_apps_state_is_not_there(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TEMPORARY TABLE mine AS SELECT 1")
    app.execute("CREATE UNLOGGED TABLE cache AS SELECT 1 AS a")
    assert set(store.observe().collections) == {"cache"}
