"""What the files of an SQLite database hold, read from a copy on which SQLite itself recovers: as whoever opens it next finds it."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.world import Collection, Row
from harness.stores._contents import content_digest
from harness.stores._sqlite_indexes import content_elsewhere, index_of
from harness.stores._sqlite_journal import is_whole, plain, same_commit, standing

__all__ = ["FILES", "Read", "Reader"]

#: What is added to the name of a database for the names of its files; the -shm is made anew by whoever opens it first.
FILES = ("", "-journal", "-wal")
#: States that are remembered, and files that were seen to hold one of them.
_REMEMBERED, _RECOGNISED = 128, 8192
#: Tables that FTS and R-tree keep behind a virtual table: how they are laid out varies with the order of writes.
_SHADOWS = ("config", "content", "data", "docsize", "idx", "node", "parent", "rowid", "segdir", "segments", "stat")


#: type, name, tbl_name and sql of each entry of sqlite_master.
_Schema = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """What the schema says of one."""

    name: str
    key: tuple[str, ...]
    surrogate: tuple[str, ...]
    references: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Read:
    """Tables, and what lies beneath them. ``digest``: of both."""

    tables: tuple[Collection, ...]
    beneath: tuple[Collection, ...]
    digest: bytes

    @classmethod
    def of(cls, tables: tuple[Collection, ...], beneath: tuple[Collection, ...] = ()) -> Read:
        """With its digest."""
        return cls(tables, beneath, content_digest(repr((tables, beneath)).encode("utf-8", "surrogateescape")))


class Reader:
    """Reads one database again and again. Images: what its files hold, by `FILES`, and `SUPER`. ``natural``: see `SqliteParameters`."""

    def __init__(self, natural: tuple[str, ...] = ()) -> None:
        self._natural = natural
        self._last: tuple[Mapping[str, bytes], Read] | None = None
        self._reads: OrderedDict[bytes, Read] = OrderedDict()  # by their digests
        self._known: OrderedDict[tuple[bytes, ...], bytes] = OrderedDict()  # digests of files -> which of these
        self._digested: dict[str, tuple[bytes, bytes]] = {}  # by suffix: what it held last, and the digest of that
        self._shape: tuple[_Schema, tuple[_Table, ...]] = ((), ())  # of the last one that was read

    def known(self, image: Mapping[str, bytes]) -> Read | None:
        """What was read where these files, or ones that only a transaction under way makes different, were read before."""
        image = standing(image)
        if self._last is not None and same_commit(self._last[0], image):
            self._last = (image, self._last[1])
            return self._last[1]
        known = self._reads.get(self._known.get(self._digest(image), b""))
        if known is not None:
            self._last = (image, known)
        return known

    def read(self, image: Mapping[str, bytes], folder: Path) -> Read:
        """The one that was read already, where it is the same. ``folder``: for the copy. sqlite3.DatabaseError where it is damaged."""
        files = standing(image)
        if _needs_no_file(files):
            with contextlib.closing(sqlite3.connect(":memory:")) as connection:
                connection.deserialize(files[""])
                return self.keep(image, self.seen(connection))
        with tempfile.TemporaryDirectory(prefix="look-", dir=folder) as copies:
            target = Path(copies) / "copy.sqlite3"
            for suffix, content in files.items():
                target.with_name(target.name + suffix).write_bytes(content)
            with contextlib.closing(sqlite3.connect(target)) as connection:
                return self.keep(image, self.seen(connection))

    def seen(self, connection: sqlite3.Connection) -> Read:
        """Through a connection."""
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        schema = _schema_of(connection)
        if self._shape[0] != schema:
            self._shape = schema, tuple(_tables(connection, schema, self._natural))
        tables = tuple(_collection(connection, table) for table in self._shape[1])
        return Read.of(tables, tuple(_beneath(connection, schema, {table.name: table for table in tables})))

    def keep(self, image: Mapping[str, bytes], found: Read) -> Read:
        """The one that was remembered already, where it is the same."""
        image = standing(image)
        found = self._reads.setdefault(found.digest, found)
        self._last = (image, found)
        self._known[self._digest(image)] = found.digest
        for remembered, most in ((self._reads, _REMEMBERED), (self._known, _RECOGNISED)):
            if len(remembered) > most:
                remembered.popitem(last=False)
        return found

    def moved(self) -> None:
        """The files were set back: what they hold now did not come from what they held before."""
        self._last = None

    def _digest(self, image: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """Equal only for files that hold the same database."""
        found = []
        for suffix in FILES:
            content, known = image.get(suffix), self._digested.get(suffix)
            if content is None:
                found.append(b"")
                continue
            if known is None or known[0] is not content:
                known = self._digested[suffix] = content, content_digest(plain(suffix, content))
            found.append(known[1])
        return tuple(found)


def _needs_no_file(files: Mapping[str, bytes]) -> bool:
    """Is it a whole database alone, without anything to recover from, and not one whose writes go to a log, which memory cannot hold?

    https://sqlite.org/fileformat2.html#file_format_version_numbers
    """
    content = files.get("", b"")
    alone = not files.get("-journal") and "-wal" not in files
    return hasattr(sqlite3.Connection, "deserialize") and alone and is_whole(content) and content[18:20] == b"\1\1"


def _schema_of(connection: sqlite3.Connection) -> _Schema:
    return tuple(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())


def _tables(connection: sqlite3.Connection, schema: _Schema, natural: tuple[str, ...]) -> Iterator[_Table]:
    tables = [(name, sql) for kind, name, _, sql in schema if kind == "table" and name[:7] != "sqlite_"]
    virtual = [name for name, sql in tables if sql.upper().startswith("CREATE VIRTUAL")]
    shadows = {f"{name}_{suffix}" for name in virtual for suffix in _SHADOWS}
    for name, _ in tables:
        if name not in shadows:
            key, rowid = _key(connection, name)
            yield _Table(name, key, tuple(c for c in rowid if f"{name}.{c}" not in natural), _references(connection, name))


def _beneath(connection: sqlite3.Connection, schema: _Schema, collections: Mapping[str, Collection]) -> Iterator[Collection]:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    rows = [{"type": kind, "name": name, "table": table, "sql": sql} for kind, name, table, sql in schema]
    if number := connection.execute("PRAGMA application_id").fetchone()[0]:
        rows.append({"application_id": number})
    yield Collection("~schema", ({"user_version": version}, *rows))
    if any(name == "sqlite_sequence" for _, name, _, _ in schema):
        for table, number in connection.execute("SELECT name, seq FROM sqlite_sequence"):
            if table in collections and (made_up := collections[table].surrogate):
                yield Collection(f"{table}~given", ({made_up[0]: number},), surrogate=made_up)
    for _, name, _, sql in schema:
        if (of := content_elsewhere(sql)) is not None:
            yield index_of(connection, name, of, collections)


def _collection(connection: sqlite3.Connection, table: _Table) -> Collection:
    cursor = connection.execute(f"SELECT * FROM {_quoted(table.name)}")
    columns = [description[0] for description in cursor.description]
    rows: tuple[Row, ...] = tuple({c: _value(v) for c, v in zip(columns, row, strict=True)} for row in cursor)
    return Collection(table.name, rows, table.key, table.surrogate, table.references)


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
