from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import EnvironmentFault
from harness.stores import sqlite as module
from harness.stores._sqlite_journal import super_journal
from harness.stores.sqlite import SqliteParameters, SqliteStore
from tests.unit.brokers.servers import eventually
from tests.unit.stores.hosts import FolderHost


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore("db", SqliteParameters(natural=("invoices.number",)))
    found.start(FolderHost(tmp_path))
    yield found
    found.stop()


def connect(store: SqliteStore, **options: float) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(store.offers()["path"], isolation_level=None, **options))  # type: ignore[call-overload, no-any-return]


def files(store: SqliteStore) -> dict[str, str]:
    folder = Path(store.offers()["path"]).parent
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def amounts(store: SqliteStore) -> list[int]:
    return sorted(row["amount"] for row in store.observe().collections["charges"].rows)


def fill(db: sqlite3.Connection) -> None:
    """200 rows on as many pages."""
    db.execute("CREATE TABLE charges (amount INTEGER, filler BLOB)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO charges VALUES (1, zeroblob(3000))", [()] * 200)
    db.execute("COMMIT")


def test_the_url_is_sqlalchemys(store: SqliteStore) -> None:
    offers = store.offers()
    assert offers["url"] == "sqlite:///" + offers["path"] and offers["url"].startswith("sqlite:////")


def test_keys_surrogates_and_references(store: SqliteStore) -> None:
    with connect(store) as db:
        db.executescript(
            """
            CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT);
            CREATE TABLE invoices (number INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders);
            CREATE TABLE lines (order_id INTEGER REFERENCES orders(id), pos INTEGER, PRIMARY KEY (order_id, pos)) WITHOUT ROWID;
            CREATE TABLE natural (id INT PRIMARY KEY);
            CREATE TABLE bare (a, b);
            CREATE TABLE "od""d name" ("the ""key" INTEGER PRIMARY KEY);
            CREATE TABLE descending (id INTEGER PRIMARY KEY DESC);
            CREATE TABLE noted (id INTEGER PRIMARY KEY, a INTEGER UNIQUE);
            INSERT INTO orders (sku) VALUES ('x');
            """
        )
    found = store.observe().collections
    assert {name: (c.key, c.surrogate, dict(c.references)) for name, c in found.items()} == {
        "orders": (("id",), ("id",), {}),
        "invoices": (("number",), (), {"order_id": "orders.id"}),
        "lines": (("order_id", "pos"), (), {"order_id": "orders.id"}),
        "natural": (("id",), (), {}),
        "bare": ((), (), {}),
        'od"d name': (('the "key',), ('the "key',), {}),
        "descending": (("id",), (), {}),
        "noted": (("id",), ("id",), {}),
    }
    assert found["orders"].rows == ({"id": 1, "sku": "x"},)


def test_values_are_canonical(store: SqliteStore) -> None:
    with connect(store) as db:
        db.execute("CREATE TABLE t (a, b, c, d, e, f)")
        db.execute("INSERT INTO t VALUES (1, 1.5, 'ü', x'00ff', NULL, CAST(x'61ff' AS TEXT))")
    assert store.observe().collections["t"].rows == ({"a": 1, "b": 1.5, "c": "ü", "d": "x'00ff'", "e": None, "f": "a\\xff"},)


def test_full_text_tables_without_their_shadows(store: SqliteStore) -> None:
    with connect(store) as db:
        db.execute("CREATE VIRTUAL TABLE notes USING fts5(body)")
        db.execute("INSERT INTO notes VALUES ('hello')")
    found = store.observe().collections
    assert list(found) == ["notes"]
    assert found["notes"].rows == ({"body": "hello"},)


def test_a_full_text_index_whose_content_is_elsewhere_shows_its_words(store: SqliteStore) -> None:
    """Asked for a row, it reads the other table: only its words say that it has none of it."""
    with connect(store) as db:
        db.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT)")
        db.execute("CREATE VIRTUAL TABLE found USING fts5(body, content='docs', content_rowid='id')")
        db.execute('CREATE VIRTUAL TABLE old USING fts4(content="docs", body)')
        db.execute("INSERT INTO docs VALUES (7, 'hello')")
        before = {one.name: one for one in store.beneath()}
        db.execute("INSERT INTO found (rowid, body) VALUES (7, 'hello')")
        db.execute("INSERT INTO old (docid, body) VALUES (7, 'hello')")
    after = {one.name: one for one in store.beneath()}
    assert (before["found~index"].rows, before["old~index"].rows) == ((), ())
    assert after["found~index"].rows == ({"row": 7, "words": [["hello", "body", 0]]},) and after["old~index"].rows
    assert after["found~index"].references == {"row": "docs.id"}


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
def test_only_what_is_committed_shows_and_nothing_is_touched(store: SqliteStore, mode: str) -> None:
    with connect(store) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("PRAGMA cache_size = 1")  # spills uncommitted pages into the file
        fill(db)
        committed = files(store)
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE charges SET amount = 7")
        before = files(store)
        assert before != committed, "uncommitted pages are in the files"
        assert amounts(store) == [1] * 200
        assert files(store) == before
        db.execute("COMMIT")
        assert amounts(store) == [7] * 200


KILLED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = " + sys.argv[2])
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE charges SET amount = 7")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_what_a_killed_writer_left_is_rolled_back_in_the_copy_only(store: SqliteStore, mode: str) -> None:
    with connect(store) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        fill(db)
    subprocess.run([sys.executable, "-c", KILLED, store.offers()["path"], mode], check=False)
    before = files(store)
    assert len(before) > 1, "a journal was left"
    assert amounts(store) == [1] * 200
    assert files(store) == before
    image = store.save()
    store.clear()
    store.restore(image)
    assert amounts(store) == [1] * 200
    with connect(store) as db:
        assert db.execute("SELECT DISTINCT amount FROM charges").fetchall() == [(1,)]


@pytest.mark.parametrize("begins", [b"", b"\0"])
def test_a_journal_without_a_header_is_none_as_sqlite_has_it(store: SqliteStore, begins: bytes) -> None:
    with connect(store) as db:
        fill(db)
    subprocess.run([sys.executable, "-c", KILLED, store.offers()["path"], "DELETE"], check=False)
    image = store.save()
    assert image["-journal"][:1] not in (b"", b"\0")
    store.restore({**image, "-journal": begins + image["-journal"][1:] if begins else b""})
    seen = amounts(store)  # before SQLite looks, which might take the journal away
    with connect(store) as db:
        assert seen == sorted(amount for (amount,) in db.execute("SELECT amount FROM charges")) != [1] * 200


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_an_impatient_writer_is_never_disturbed(store: SqliteStore, mode: str) -> None:
    """Transfers keep the sum; the writer waits for no lock at all, so any lock of ours would break it."""
    with connect(store) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE charges (id INTEGER PRIMARY KEY, amount INTEGER)")
        db.executemany("INSERT INTO charges (amount) VALUES (?)", [(100,)] * 200)
    stop, problems, commits = threading.Event(), list[BaseException](), [0]

    def transfer() -> None:
        try:
            with connect(store, timeout=0) as db:
                db.execute("PRAGMA synchronous = OFF")
                while not stop.wait(0.002):
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("UPDATE charges SET amount = amount - 1 WHERE id = 1")
                    db.execute("UPDATE charges SET amount = amount + 1 WHERE id = 200")
                    db.execute("COMMIT")
                    commits[0] += 1
        except BaseException as exc:
            problems.append(exc)

    writer = threading.Thread(target=transfer)
    writer.start()
    try:
        eventually(lambda: commits[0] > 0 or problems)
        sums = [sum(amounts(store)) for _ in range(30)]
        seen = commits[0]
        eventually(lambda: commits[0] > seen or problems)
    finally:
        stop.set()
        writer.join()
    assert not problems
    assert set(sums) == {20_000}


def test_a_file_that_never_stands_still_is_read_through_a_connection(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(store) as db:
        db.execute("CREATE TABLE charges (amount INTEGER)")
        db.execute("INSERT INTO charges VALUES (3)")
    monkeypatch.setattr(store, "_image", lambda: None)
    assert amounts(store) == [3]
    with pytest.raises(EnvironmentFault, match="stand still"):
        store.save()


def test_a_damaged_file_is_an_environment_fault(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEADLINE", 0.05)
    Path(store.offers()["path"]).write_bytes(b"no database at all" * 100)
    with pytest.raises(EnvironmentFault, match="not a database"):
        store.observe()


def test_no_file_is_an_empty_world(store: SqliteStore) -> None:
    Path(store.offers()["path"]).unlink()
    assert store.observe().collections == {}
    store.touched()


def test_every_commit_of_an_open_connection_touches(store: SqliteStore) -> None:
    for mode in ("WAL", "DELETE"):
        with connect(store) as db:
            db.execute(f"PRAGMA journal_mode = {mode}")
            db.execute("CREATE TABLE IF NOT EXISTS charges (amount INTEGER)")
            db.execute("INSERT INTO charges VALUES (0)")
            stamps = [store.touched()]
            for number in range(20):
                db.execute("UPDATE charges SET amount = ?", (number + 1,))
                stamps.append(store.touched())
            assert len(set(stamps)) == len(stamps), mode
            assert store.touched() == store.touched()


def test_a_reading_that_a_commit_went_through_is_read_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    torn, whole = {"": b"half of it"}, store.save()
    readings = iter([torn, whole, torn, whole, whole])
    monkeypatch.setattr(store, "_read", lambda: next(readings))
    assert store.save() == whole
    assert next(readings, None) is None


@pytest.mark.parametrize("journal", ["DELETE", "TRUNCATE", "PERSIST", "WAL", "MEMORY"])
def test_what_is_remembered_is_never_another_state(store: SqliteStore, journal: str) -> None:
    """At each statement of transactions that spill to the file before they commit, and of some that are rolled back."""

    def without_memory() -> object:
        other = SqliteStore("db", store.parameters)
        other._folder = store._folder
        return other.observe()

    with connect(store) as db:
        db.execute(f"PRAGMA journal_mode={journal}")
        db.execute("CREATE TABLE charges (n INTEGER, filler BLOB)")
        db.execute("PRAGMA cache_size=5")
        seen = set()
        for number in range(60):
            if number % 6 == 0:
                db.execute("BEGIN")
            db.execute("INSERT INTO charges VALUES (?, zeroblob(9000))" if number % 4 else "UPDATE charges SET n = n + ?", (number,))
            if number % 6 == 5:
                db.execute("COMMIT" if number % 18 != 17 else "ROLLBACK")
            if journal == "MEMORY" and number % 6 != 5:
                continue  # the file is out of order then
            assert store.observe() == without_memory()
            seen.add(repr(store.observe()))
        assert len(seen) == (7 if journal == "MEMORY" else 8)  # after each commit, and empty
    image = store.save()
    store.clear()
    assert store.observe() == without_memory()
    store.restore(image)
    assert store.observe() == without_memory()


def test_a_transaction_under_way_is_read_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    copy = SqliteStore._read_copy
    monkeypatch.setattr(SqliteStore, "_read_copy", lambda self, image: (read.append(1), copy(self, image))[1])
    with connect(store) as db:
        fill(db)
        store.observe()
        db.execute("BEGIN")
        for _ in range(5):
            db.execute("INSERT INTO charges VALUES (2, zeroblob(100))")
            assert len(amounts(store)) == 200
        assert len(read) == 1
        db.execute("COMMIT")
        assert len(amounts(store)) == 205 and len(read) == 2


def test_fingerprints_change_with_the_content_alone(store: SqliteStore) -> None:
    with connect(store) as db:
        db.execute("CREATE TABLE t (a)")
        before = store.fingerprint()
        assert store.fingerprint() == before
        db.execute("INSERT INTO t VALUES (1)")
    after = store.fingerprint()
    assert after != before
    image = store.save()
    store.clear()
    assert store.fingerprint() not in (before, after)
    store.restore(image)
    assert store.fingerprint() == after


def test_a_journal_counts_as_long_as_its_super_journal_is_there(store: SqliteStore, tmp_path: Path) -> None:
    """As SQLite leaves it where a process dies that commits in two databases at once."""
    path, name = Path(store.offers()["path"]), str(tmp_path / "other.sqlite3-mj0A1B2C9D3")
    with connect(store) as db:
        db.execute("CREATE TABLE charges (amount INTEGER)")
        db.execute("INSERT INTO charges VALUES (3)")
        before = path.read_bytes()
        db.execute("BEGIN")
        db.execute("UPDATE charges SET amount = 4")
        journal = Path(f"{path}-journal").read_bytes()
        db.execute("COMMIT")
    after, named, magic = path.read_bytes(), name.encode(), bytes.fromhex("d9d505f920a163d7")
    written = magic + (1).to_bytes(4, "big") + journal[12:]  # as it is once it was synced: with the number of its pages
    end = b"\0\0\0\1" + named + len(named).to_bytes(4, "big") + sum(named).to_bytes(4, "big") + magic
    hot = written + end
    assert before != after
    path.write_bytes(after)
    Path(f"{path}-journal").write_bytes(hot)
    Path(name).write_bytes(b"x")
    assert super_journal(hot) == name
    looked, image, _ = store.look()
    Path(name).unlink()
    assert amounts(store) == [4], "it has been committed"
    committed = store.save()
    store.restore(image)
    assert Path(name).read_bytes() == b"x" and store.observe() == looked
    store.restore(committed)
    assert not Path(name).exists() and amounts(store) == [4]
