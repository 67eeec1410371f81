"""SQLite: one database file, seen as any other connection would see it, without a lock and without touching it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.errors import EnvironmentFault
from harness.model.world import Collection, Row, StoreState
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._values import stamp

__all__ = ["SqliteStore"]

_FILES = ("", "-journal", "-wal")
_DEADLINE = 10.0
#: Tables that FTS and R-tree keep behind a virtual table: how they are laid out varies with the order of writes.
_SHADOWS = ("config", "content", "data", "docsize", "idx", "node", "parent", "rowid", "segdir", "segments", "stat")


class SqliteParameters(StoreParameters):
    """Keys of a service ``sqlite``."""

    natural: tuple[str, ...] = Field(
        default=(),
        description="table.column of INTEGER PRIMARY KEYs whose values the app chooses, such as an order's number: compared as they are",
    )


class SqliteStore:
    """See `Store`. An image is the bytes of database, journal and write-ahead log."""

    kind: ClassVar[str] = "sqlite"
    summary: ClassVar[str] = "an SQLite database file"
    Parameters: ClassVar[type[StoreParameters]] = SqliteParameters

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._folder: Path | None = None

    def start(self, host: StoreHost) -> None:
        """An empty file: what SQLite takes for an empty database."""
        self._folder = host.folder(self.name)
        self._path.touch()

    @property
    def _path(self) -> Path:
        assert self._folder is not None, f"{self.name} is not started"
        return self._folder / f"{self.name}.sqlite3"

    def _file(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def offers(self) -> Mapping[str, str]:
        """``url`` (sqlite:///…, as SQLAlchemy has it) and ``path``."""
        return {"url": f"sqlite:///{self._path}", "path": str(self._path)}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """None: a file."""
        return ()

    def clear(self) -> None:
        """A new empty file. Nobody may have the old one open: between passes the workers are stopped."""
        self.restore({})

    def observe(self) -> StoreState:
        """All tables as committed now, also while somebody writes or after a writer was killed; EnvironmentFault if damaged."""
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                with tempfile.TemporaryDirectory(prefix="look-", dir=self._folder) as folder, self._copy(Path(folder)) as connection:
                    return StoreState(self.name, {c.name: c for c in _collections(connection, self.parameters.natural)})
            except sqlite3.DatabaseError as exc:
                # With journal_mode OFF or MEMORY the file is out of order in the middle of a commit.
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"the database cannot be read: {exc}", where=str(self._path)) from exc
                time.sleep(0.01)

    @contextlib.contextmanager
    def _copy(self, folder: Path) -> Iterator[sqlite3.Connection]:
        """A connection to a copy, on which SQLite itself rolls back a hot journal or recovers a write-ahead log."""
        target = folder / "copy.sqlite3"
        image = self._image()
        for suffix, content in (image or {}).items():
            target.with_name(target.name + suffix).write_bytes(content)
        connection = sqlite3.connect(target)
        try:
            if image is None:
                with contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=_DEADLINE)) as source:
                    source.backup(connection)
            connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            yield connection
        finally:
            connection.close()

    def _image(self) -> dict[str, bytes] | None:
        """The files at one moment, without a lock that a writer would meet; None while they never stand still.

        Two readings that agree hold what was there between them: a state that SQLite is made to recover from, since a
        process may be killed at any moment.
        """
        deadline = time.monotonic() + _DEADLINE / 4
        before = self._read()
        while (after := self._read()) != before:
            if time.monotonic() > deadline:
                return None
            before = after
        return after

    def _read(self) -> dict[str, bytes]:
        found = {}
        for suffix in _FILES:
            with contextlib.suppress(FileNotFoundError):
                found[suffix] = self._file(suffix).read_bytes()
        return found

    def touched(self) -> int:
        """By the files' stamps. Every commit writes to the database or its write-ahead log."""
        return stamp(self._stats)

    def _stats(self) -> Iterator[tuple[str, os.stat_result]]:
        for suffix in _FILES:
            with contextlib.suppress(FileNotFoundError):
                yield suffix, self._file(suffix).stat()

    def save(self) -> dict[str, bytes]:
        """The files as they are. EnvironmentFault while somebody writes without pause."""
        image = self._image()
        if image is None:
            raise EnvironmentFault("the database does not stand still", where=str(self._path), hint="stop its writers before saving")
        return image

    def restore(self, image: Any) -> None:
        """The files of the image and no others."""
        for suffix in (*_FILES, "-shm"):
            self._file(suffix).unlink(missing_ok=True)
        for suffix, content in {"": b"", **image}.items():
            self._file(suffix).write_bytes(content)

    def stop(self) -> None:
        """The folder goes."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None


def _collections(connection: sqlite3.Connection, natural: tuple[str, ...]) -> Iterator[Collection]:
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'").fetchall()
    virtual = [name for name, sql in tables if sql.upper().startswith("CREATE VIRTUAL")]
    shadows = {f"{name}_{suffix}" for name in virtual for suffix in _SHADOWS}
    for name, _ in tables:
        if name not in shadows:
            yield _collection(connection, name, natural)


def _collection(connection: sqlite3.Connection, name: str, natural: tuple[str, ...]) -> Collection:
    cursor = connection.execute(f"SELECT * FROM {_quoted(name)}")
    columns = [description[0] for description in cursor.description]
    rows: tuple[Row, ...] = tuple({c: _value(v) for c, v in zip(columns, row, strict=True)} for row in cursor)
    key, rowid = _key(connection, name)
    surrogate = tuple(c for c in rowid if f"{name}.{c}" not in natural)
    return Collection(name, rows, key, surrogate, _references(connection, name))


def _key(connection: sqlite3.Connection, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(primary key, the same where it is an alias of the rowid, which SQLite counts up).

    An alias is a single column of type INTEGER without an index of its own (https://sqlite.org/lang_createtable.html#rowid).
    """
    declared = sorted((pk, column, kind) for _, column, kind, _, _, pk in _pragma(connection, "table_info", name) if pk)
    key = tuple(column for _, column, _ in declared)
    indexed = any(row[3] == "pk" for row in _pragma(connection, "index_list", name))
    alias = len(declared) == 1 and declared[0][2].upper() == "INTEGER" and not indexed
    return key, key if alias else ()


def _references(connection: sqlite3.Connection, name: str) -> dict[str, str]:
    found = {}
    for _, position, table, column, target, *_ in _pragma(connection, "foreign_key_list", name):
        if target is None:  # REFERENCES table: its primary key
            keys = _key(connection, table)[0]
            target = keys[position] if position < len(keys) else "rowid"
        found[column] = f"{table}.{target}"
    return found


def _pragma(connection: sqlite3.Connection, pragma: str, table: str) -> list[Any]:
    return connection.execute(f"PRAGMA {pragma}({_quoted(table)})").fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(value: Any) -> Any:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value
