from __future__ import annotations

from typing import Any

import psycopg
import pytest

from harness.errors import EnvironmentFault
from harness.stores import postgres as module
from harness.stores.postgres import PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess
from tests.unit.stores.postgres.stores import fill, rows


def test_an_image_has_everything_and_the_app_stays_connected(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    fill(app)
    app.execute("CREATE TABLE log (id serial, what text)")
    app.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END $$"
    )
    app.execute("CREATE TRIGGER noted AFTER INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note()")
    saved, image = store.observe(), store.save()
    for _ in range(2):
        app.execute("DELETE FROM billing.orders; DELETE FROM invoices; DELETE FROM lines; DELETE FROM orders; TRUNCATE customers CASCADE")
        app.execute("INSERT INTO customers (name) VALUES ('new'); INSERT INTO orders (total) VALUES (1)")
        app.execute("SELECT nextval('invoices_number_seq')")
        store.restore(image)
        assert store.observe() == saved
        assert app.execute("SELECT count(*) FROM log").fetchone() == (0,), "triggers kept still"
    assert app.execute("INSERT INTO orders (total) VALUES (1) RETURNING id, doubled").fetchone() == (4, 2)
    assert app.execute("INSERT INTO invoices DEFAULT VALUES RETURNING number").fetchone() == (3,)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        app.execute("INSERT INTO lines VALUES (99, 1, NULL)")


def test_a_sequence_that_was_never_used_begins_at_its_beginning(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (id serial PRIMARY KEY); CREATE SEQUENCE down INCREMENT -1 MINVALUE -9 MAXVALUE 9 START 5")
    image = store.save()
    app.execute("INSERT INTO t DEFAULT VALUES; SELECT nextval('down')")
    store.restore(image)
    assert app.execute("INSERT INTO t DEFAULT VALUES RETURNING id").fetchone() == (1,)
    assert app.execute("SELECT nextval('down')").fetchone() == (5,)


def test_partitioned_tables_come_back(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE events (id int, at int) PARTITION BY LIST (at)")
    app.execute("CREATE TABLE one PARTITION OF events FOR VALUES IN (1); CREATE TABLE two PARTITION OF events FOR VALUES IN (2)")
    app.execute("INSERT INTO events VALUES (1, 1), (2, 2)")
    saved, image = store.observe(), store.save()
    app.execute("UPDATE events SET at = 2")
    store.restore(image)
    assert store.observe() == saved
    assert app.execute("SELECT count(*) FROM one").fetchone() == (1,)


def test_what_is_unchanged_is_not_written(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE same (a int); INSERT INTO same VALUES (1); CREATE TABLE other (a int)")
    image = store.save()
    before = app.execute("SELECT ctid, xmin FROM same").fetchall()
    app.execute("INSERT INTO other VALUES (1)")
    stamp = store.touched()
    store.restore(image)
    assert app.execute("SELECT ctid, xmin FROM same").fetchall() == before
    assert rows(store, "other") == []
    assert store.touched() != stamp


def test_tables_that_came_since_go_also_under_a_connected_app(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    image = store.save()
    app.execute("CREATE TABLE late (a int); CREATE VIEW on_late AS SELECT * FROM late")
    store.restore(image)
    assert set(store.observe().collections) == {"t"}
    assert app.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "change",
    ["DROP TABLE lines", "ALTER TABLE bare ADD COLUMN c int", "ALTER TABLE bare ALTER b SET NOT NULL", "CREATE UNIQUE INDEX ON bare (a)"],
)
def test_a_changed_schema_comes_back_from_its_copy(server: PostgresProcess, store: PostgresStore, change: str) -> None:
    with server.connect() as before:
        fill(before)
    saved, image = store.observe(), store.save()
    assert image.schema
    with server.connect() as connected:
        connected.execute("INSERT INTO bare VALUES (5, 'x')")
        store.save()
        connected.execute("DELETE FROM bare")
        connected.execute(change.encode())
        store.restore(image)
        assert store.observe() == saved
        with pytest.raises(psycopg.OperationalError):
            connected.execute("SELECT 1")
    with server.connect("producer") as after:
        assert after.execute("INSERT INTO orders (total) VALUES (1) RETURNING id").fetchone() == (4,)


def test_an_image_outlives_a_clear(server: PostgresProcess, store: PostgresStore) -> None:
    with server.connect() as before:
        fill(before)
    saved, image = store.observe(), store.save()
    store.clear()
    assert store.observe().collections == {}
    store.restore(image)
    assert store.observe() == saved


def test_a_changed_schema_without_a_copy_is_told(store: PostgresStore, app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    image = store.save()
    assert not image.schema, "the app is connected"
    app.execute("ALTER TABLE t ADD COLUMN b int; INSERT INTO t VALUES (2, 2)")
    now = store.observe()
    with pytest.raises(EnvironmentFault, match="gone or altered") as caught:
        store.restore(image)
    assert caught.value.hint
    assert store.observe() == now, "nothing was done"


def test_rows_that_the_app_holds_are_waited_for_and_then_told(
    server: PostgresProcess, store: PostgresStore, app: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    image = store.save()
    app.execute("UPDATE t SET a = 2")
    monkeypatch.setattr(module, "_RESTORE_WAIT", 0.2)
    with server.connect(autocommit=False) as holder:
        holder.execute("UPDATE t SET a = 3")
        with pytest.raises(EnvironmentFault, match="lock timeout"):
            store.restore(image)
        holder.rollback()
        holder.execute("SELECT * FROM t")  # idle in a transaction that has only read
        store.restore(image)
    assert rows(store, "t") == [{"a": 1}]


def test_saving_leaves_no_trace(server: PostgresProcess, store: PostgresStore) -> None:
    with server.connect() as before:
        fill(before)
    stamp, seen = store.touched(), store.observe()
    assert store.save().schema
    store.save()
    assert (store.touched(), store.observe()) == (stamp, seen)
