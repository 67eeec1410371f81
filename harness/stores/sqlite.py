"""SQLite: one database file, seen as any other connection would see it, without a lock and without touching it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.errors import EnvironmentFault
from harness.model.world import Collection, Row, StoreState
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._contents import Contents, content_digest
from harness.stores._sqlite_journal import plain, same_commit
from harness.stores._values import stamp

__all__ = ["SqliteStore"]

_FILES = ("", "-journal", "-wal")
_DEADLINE = 10.0
#: States that are remembered, and files that were seen to hold one of them.
_REMEMBERED, _RECOGNISED = 128, 8192
#: Tables that FTS and R-tree keep behind a virtual table: how they are laid out varies with the order of writes.
_SHADOWS = ("config", "content", "data", "docsize", "idx", "node", "parent", "rowid", "segdir", "segments", "stat")


@dataclass(frozen=True, slots=True)
class _Read:
    state: StoreState
    beneath: tuple[Collection, ...]
    digest: bytes  # of both

    @classmethod
    def of(cls, state: StoreState, beneath: tuple[Collection, ...] = ()) -> _Read:
        return cls(state, beneath, content_digest(repr((state.collections, beneath)).encode("utf-8", "surrogateescape")))


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
    lists_in_order: ClassVar[bool] = True  # by rowid

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._folder: Path | None = None
        self._last: tuple[dict[str, bytes], _Read] | None = None
        self._reads: OrderedDict[bytes, _Read] = OrderedDict()  # by their digests
        self._known: OrderedDict[tuple[bytes, ...], bytes] = OrderedDict()  # digests of files -> which of these
        self._files: dict[str, Path] = {}  # by suffix
        self._contents: Contents | None = None
        self._digested: dict[str, tuple[bytes, bytes]] = {}  # by suffix: what it held last, and the digest of that

    def start(self, host: StoreHost) -> None:
        """An empty file: what SQLite takes for an empty database."""
        self._folder = host.folder(self.name)
        self._files.clear()
        self._path.touch()

    @property
    def _path(self) -> Path:
        assert self._folder is not None, f"{self.name} is not started"
        return self._folder / f"{self.name}.sqlite3"

    def _file(self, suffix: str) -> Path:
        found = self._files.get(suffix)
        if found is None:  # to make one costs as much as a look at it
            found = self._files[suffix] = self._path.with_name(self._path.name + suffix)
        return found

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
        return self._seen().state

    def beneath(self) -> tuple[Collection, ...]:
        """See `ShowsBeneath`: the schema, `user_version` and `application_id`, and per AUTOINCREMENT table the largest number given."""
        return self._seen().beneath

    def look(self) -> tuple[StoreState, dict[str, bytes], tuple[Collection, ...]]:
        """See `LooksOnce`."""
        found, image = self._stands()
        return found.state, image, found.beneath

    def _stands(self) -> tuple[_Read, dict[str, bytes]]:
        """What it holds while nobody writes, and the files."""
        image = self._read()
        found = self._remembered(image)
        if found is None:
            try:
                found = self._read_copy(image)
            except sqlite3.DatabaseError as exc:
                found = self._damaged(exc) if self._read() == image else None
            if found is not None:
                found = self._remember(image, found)
        if found is None:  # somebody writes after all
            found, image = self._seen(), self.save()
        return found, image

    def _seen(self) -> _Read:
        deadline = time.monotonic() + _DEADLINE
        while True:
            image = self._image()
            if image is not None and (known := self._remembered(image)) is not None:
                return known
            try:
                found = self._read_copy(image)
                return self._remember(image, found) if image is not None else found
            except sqlite3.DatabaseError as exc:
                # With journal_mode OFF or MEMORY the file is out of order in the middle of a commit.
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"the database cannot be read: {exc}", where=str(self._path)) from exc
                time.sleep(0.01)

    def _remembered(self, image: dict[str, bytes]) -> _Read | None:
        """The state where these files, or ones that only a transaction under way makes different, were read before."""
        if self._last is not None and same_commit(self._last[0], image):
            self._last = (image, self._last[1])
            return self._last[1]
        known = self._reads.get(self._known.get(self._digest(image), b""))
        if known is not None:
            self._last = (image, known)
        return known

    def _remember(self, image: dict[str, bytes], found: _Read) -> _Read:
        """The one that was remembered already, where it is the same."""
        found = self._reads.setdefault(found.digest, found)
        self._last = (image, found)
        self._known[self._digest(image)] = found.digest
        for remembered, most in ((self._reads, _REMEMBERED), (self._known, _RECOGNISED)):
            if len(remembered) > most:
                remembered.popitem(last=False)
        return found

    def _digest(self, image: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """Equal only for files that hold the same database."""
        found = []
        for suffix in _FILES:
            content, known = image.get(suffix), self._digested.get(suffix)
            if content is None:
                found.append(b"")
                continue
            if known is None or known[0] is not content:
                known = self._digested[suffix] = content, content_digest(plain(suffix, content))
            found.append(known[1])
        return tuple(found)

    def _damaged(self, why: sqlite3.DatabaseError) -> _Read:
        """As whoever opens it finds it: with journal_mode OFF or MEMORY a crash in the middle of a commit leaves it so."""
        return _Read.of(StoreState(self.name, {"damage": Collection("damage", ({"damaged": str(why)},))}))

    def _read_copy(self, image: dict[str, bytes] | None) -> _Read:
        with tempfile.TemporaryDirectory(prefix="look-", dir=self._folder) as folder, self._copy(Path(folder), image) as connection:
            collections = {c.name: c for c in _collections(connection, self.parameters.natural)}
            return _Read.of(StoreState(self.name, collections), tuple(_beneath(connection, collections)))

    @contextlib.contextmanager
    def _copy(self, folder: Path, image: dict[str, bytes] | None) -> Iterator[sqlite3.Connection]:
        """A connection to a copy, on which SQLite itself rolls back a hot journal or recovers a write-ahead log."""
        target = folder / "copy.sqlite3"
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
        if self._contents is None:
            self._contents = Contents(self._path.parent)
        found = {}
        for suffix in _FILES:
            path = str(self._file(suffix))
            try:
                found[suffix] = self._contents.of(path, os.stat(path)).content  # noqa: PTH116 (asked at every stop)
            except FileNotFoundError:
                continue
        return found

    def forget(self) -> None:
        """See `Remembers`."""
        if self._contents is not None:
            self._contents.forget()

    def touched(self) -> int:
        """By the files' stamps. Every commit writes to the database or its write-ahead log."""
        return stamp(self._stats)

    def fingerprint(self) -> Hashable:
        """See `Fingerprints`: what is committed. Of a transaction under way nobody sees anything, but `image` has it."""
        return self._stands()[0].digest

    def image(self) -> dict[str, bytes]:
        """See `HoldsMore`."""
        return self._read()

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


def _beneath(connection: sqlite3.Connection, collections: Mapping[str, Collection]) -> Iterator[Collection]:
    schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    rows = [{"type": kind, "name": name, "table": table, "sql": sql} for kind, name, table, sql in schema]
    if number := connection.execute("PRAGMA application_id").fetchone()[0]:
        rows.append({"application_id": number})
    yield Collection("~schema", ({"user_version": version}, *rows))
    if any(name == "sqlite_sequence" for _, name, _, _ in schema):
        for table, number in connection.execute("SELECT name, seq FROM sqlite_sequence"):
            if table in collections and (made_up := collections[table].surrogate):
                yield Collection(f"{table}~given", ({made_up[0]: number},), surrogate=made_up)


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
