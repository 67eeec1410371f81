"""What is kept of files between two looks, and what of SQLite's files means the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from harness.stores import _contents
from harness.stores._contents import Contents
from harness.stores._sqlite_journal import plain


@pytest.mark.parametrize("tells", [True, False])
def test_no_change_is_missed_however_fast_it_comes(tmp_path: Path, tells: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tells:
        monkeypatch.setattr(_contents, "_tells_each_change", lambda folder: False)
    contents, path = Contents(tmp_path), tmp_path / "f"
    with path.open("wb", buffering=0) as file:
        for number in range(500):
            os.pwrite(file.fileno(), b"%d" % (number % 2), 0)
            held = contents.of(str(path), path.stat())
            assert held.content == b"%d" % (number % 2)
            assert contents.of(str(path), path.stat()).content is held.content
    assert contents.tells <= tells


def test_without_such_stamps_a_file_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_contents, "_tells_each_change", lambda folder: False)
    contents, path = Contents(tmp_path), tmp_path / "f"
    path.write_bytes(b"1")
    entry = path.stat()
    assert contents.of(str(path), entry).content == b"1"
    path.write_bytes(b"2")
    assert contents.of(str(path), entry).content == b"2", "by the same stamp"


@contextmanager
def under_way(path: Path, *statements: str) -> Iterator[dict[str, bytes]]:
    """In a transaction that has written to the file already, and has not committed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")  # else each time that it writes to the file the journal gets another header
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        yield {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-journal")}
        db.execute("ROLLBACK")


def test_files_are_alike_but_for_counts_and_what_is_drawn(tmp_path: Path) -> None:
    def made(name: str, again: int, change: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
        path = tmp_path / name
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE t (a, b)")
            for _ in range(3):
                db.execute("INSERT INTO t VALUES (5, zeroblob(9000))")
            for _ in range(again):
                db.execute("PRAGMA user_version = 1")
                db.execute("PRAGMA user_version = 0")
        with under_way(path, change) as raw:
            return raw, {suffix: plain(suffix, content) for suffix, content in raw.items()}

    raw, told = made("a", 1, "UPDATE t SET b = replace(hex(b), '0', '2')")
    other_raw, other = made("b", 5, "UPDATE t SET b = replace(hex(b), '0', '2')")
    assert told == other and all(raw[suffix] != other_raw[suffix] for suffix in raw)
    assert made("c", 1, "UPDATE t SET b = replace(hex(b), '0', '3')")[1] != told
    torn = bytearray(raw["-journal"])
    torn[512 + 4 + 100] ^= 1  # within a page that it holds: its checksum tells SQLite not to take it back
    assert plain("-journal", bytes(torn)) != told["-journal"]
    several = bytes([*raw["-journal"][:8], *(1).to_bytes(4, "big"), *raw["-journal"][12:]])  # others come after a header of their own
    assert plain("-journal", several) == several and plain("-wal", raw[""]) == raw[""]
