from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from harness.errors import EnvironmentFault
from harness.stores import postgres as module
from harness.stores.postgres import PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess
from tests.unit.brokers.servers import eventually
from tests.unit.stores.postgres.stores import rows


def test_only_what_is_committed_shows(server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    with server.connect(autocommit=False) as writer:
        writer.execute("UPDATE t SET a = 7")
        writer.execute("CREATE TABLE other (b int)")
        assert rows(store, "t") == [{"a": 1}]
        assert set(store.observe().collections) == {"t"}
        writer.commit()
    assert rows(store, "t") == [{"a": 7}]


@contextmanager
def busy(server: PostgresProcess, work: Callable[[psycopg.Connection[Any]], None]) -> Iterator[list[int]]:
    """A connection of the app's at work all the time; how often it was done."""
    stop, problems, done = threading.Event(), list[BaseException](), [0]

    def loop() -> None:
        try:
            with server.connect(options="-c lock_timeout=2s") as connection:
                while not stop.is_set():
                    work(connection)
                    done[0] += 1
        except BaseException as exc:
            problems.append(exc)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        eventually(lambda: done[0] > 0 or problems)
        yield done
        seen = done[0]
        eventually(lambda: done[0] > seen or problems)
    finally:
        stop.set()
        thread.join()
    assert not problems


def test_all_tables_are_of_one_moment(server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    """Transfers between tables keep the sum."""
    for table in ("a", "m", "z"):
        app.execute(f"CREATE TABLE {table} (id, amount) AS SELECT g, 10 FROM generate_series(1, 50) g".encode())

    def transfer(connection: psycopg.Connection[Any]) -> None:
        with connection.transaction():
            connection.execute("UPDATE a SET amount = amount - 1 WHERE id = 1")
            connection.execute("UPDATE z SET amount = amount + 1 WHERE id = 50")

    with busy(server, transfer) as done:
        begun = done[0]
        seen = [store.observe() for _ in range(40)]
        assert done[0] > begun
    assert {sum(row["amount"] for c in state.collections.values() for row in c.rows) for state in seen} == {1500}


@pytest.mark.parametrize(
    "emptying",
    ["TRUNCATE z", "ALTER TABLE z ALTER amount TYPE bigint USING amount::int; DELETE FROM z", "DROP TABLE z; CREATE TABLE z (amount int)"],
)
def test_a_table_that_is_written_anew_is_never_seen_empty(
    server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any], emptying: str
) -> None:
    app.execute("CREATE TABLE a (x int); INSERT INTO a SELECT generate_series(1, 2000)")
    app.execute("CREATE TABLE z (amount int); INSERT INTO z SELECT generate_series(1, 100)")

    def renew(connection: psycopg.Connection[Any]) -> None:
        with connection.transaction():
            connection.execute(emptying.encode())
            connection.execute("INSERT INTO z SELECT generate_series(1, 100)")
        time.sleep(0.005)  # the app's own pause, not a wait for anything

    with busy(server, renew):
        assert {len(rows(store, "z")) for _ in range(12)} == {100}
        assert {store.save().rows["public", "z"][1].count(b"\n") for _ in range(6)} == {100}


def test_a_lock_of_the_apps_is_waited_for_and_then_named(
    server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    with server.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        released = threading.Timer(0.5, holder.rollback)
        released.start()
        assert rows(store, "t") == [{"a": 1}]
        released.join()
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(module, "_DEADLINE", 0.3)
        with pytest.raises(EnvironmentFault, match=r"service db.*lock timeout.*LOCK TABLE t"):
            store.observe()
        before = store.touched()
        assert store.touched() == before, "no lock keeps us from a number"


def test_no_lock_outlasts_the_reading_of_its_table(
    store: PostgresStore, app: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("CREATE TABLE a (x int); CREATE TABLE b (x int)")
    app.execute("SET lock_timeout = '1s'")
    true_rows, met = module.rows, []

    def meanwhile(connection: Any, table: Any) -> Any:
        found = true_rows(connection, table)
        if table.name == "b" and not met:
            app.execute("ALTER TABLE a ADD COLUMN y int")
            met.append(table.name)
        return found

    monkeypatch.setattr(module, "rows", meanwhile)
    assert set(store.observe().collections) == {"a", "b"}
    assert met


def test_every_commit_touches_and_nothing_else_does(server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (id serial PRIMARY KEY, a int); CREATE TABLE other (a int)")
    stamps = [store.touched()]
    changes = [
        "INSERT INTO t (a) VALUES (1)",
        "UPDATE t SET a = 2",
        "UPDATE t SET a = 2",
        "BEGIN; SAVEPOINT s; INSERT INTO t (a) VALUES (3); ROLLBACK TO s; INSERT INTO t (a) VALUES (4); COMMIT",
        "DO $$ BEGIN INSERT INTO t (a) VALUES (5); EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "TRUNCATE t",
        "ALTER TABLE t ADD COLUMN b int",
        "COPY (SELECT 1) TO STDOUT; CREATE INDEX ON t (a)",
        "DROP TABLE other",
    ]
    for change in changes:
        if change.startswith("COPY"):
            change = change.partition("; ")[2]
        app.execute(change.encode())
        stamps.append(store.touched())
        assert stamps[-1] not in stamps[:-1], change
    for look in ("SELECT * FROM t", "SELECT * FROM t FOR SHARE NOWAIT", "BEGIN; SELECT 1; COMMIT", "SHOW port"):
        app.execute(look.encode())
        store.observe()
        assert store.touched() == stamps[-1], look


def test_a_commit_touches_at_the_moment_when_others_see_it(
    server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any]
) -> None:
    app.execute("CREATE TABLE t (a int)")
    with server.connect(autocommit=False) as first, server.connect(autocommit=False) as second:
        first.execute("INSERT INTO t VALUES (1)")
        second.execute("INSERT INTO t VALUES (2)")
        pending = store.touched()
        second.commit()
        one = store.touched()
        first.commit()
        assert len({pending, one, store.touched()}) == 3
