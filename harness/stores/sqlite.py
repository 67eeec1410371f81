"""SQLite: one database file, seen as any other connection would see it, without a lock and without touching it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.errors import EnvironmentFault
from harness.model.world import Collection, StoreState
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._contents import Contents
from harness.stores._sqlite_contents import FILES, Read, Reader
from harness.stores._sqlite_journal import SUPER, set_super, with_super
from harness.stores._values import stamp

__all__ = ["SqliteStore"]

_DEADLINE = 10.0


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
        self._reader = Reader(parameters.natural)
        self._files: dict[str, Path] = {}  # by suffix
        self._contents: Contents | None = None

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
        return self._state(self._seen())

    def _state(self, found: Read) -> StoreState:
        return StoreState(self.name, {table.name: table for table in found.tables})

    def beneath(self) -> tuple[Collection, ...]:
        """See `ShowsBeneath`: the schema, `user_version` and `application_id`, and per AUTOINCREMENT table the largest number given."""
        return self._seen().beneath

    def look(self) -> tuple[StoreState, dict[str, bytes], tuple[Collection, ...]]:
        """See `LooksOnce`."""
        found, image = self._stands()
        return self._state(found), image, found.beneath

    def _stands(self) -> tuple[Read, dict[str, bytes]]:
        """What it holds while nobody writes, and the files."""
        image = self._read()
        found = self._reader.known(image)
        if found is None:
            try:
                found = self._read_copy(image)
            except sqlite3.DatabaseError as exc:
                found = self._reader.keep(image, self._damaged(exc)) if self._read() == image else None
        if found is None:  # somebody writes after all
            found, image = self._seen(), self.save()
        return found, image

    def _seen(self) -> Read:
        deadline = time.monotonic() + _DEADLINE
        while True:
            image = self._image()
            if image is not None and (known := self._reader.known(image)) is not None:
                return known
            try:
                return self._read_copy(image)
            except sqlite3.DatabaseError as exc:
                # With journal_mode OFF or MEMORY the file is out of order in the middle of a commit.
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"the database cannot be read: {exc}", where=str(self._path)) from exc
                time.sleep(0.01)

    def _damaged(self, why: sqlite3.DatabaseError) -> Read:
        """As whoever opens it finds it: with journal_mode OFF or MEMORY a crash in the middle of a commit leaves it so."""
        return Read.of((Collection("damage", ({"damaged": str(why)},)),))

    def _read_copy(self, image: dict[str, bytes] | None) -> Read:
        """``image`` None: through a connection of ours, which waits for its writers."""
        if image is not None:
            return self._reader.read(image, self._path.parent)
        source_of = f"{self._path.as_uri()}?mode=ro"
        with (
            contextlib.closing(sqlite3.connect(":memory:")) as copy,
            contextlib.closing(sqlite3.connect(source_of, uri=True, timeout=_DEADLINE)) as source,
        ):
            source.backup(copy)
            return self._reader.seen(copy)

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
        for suffix in FILES:
            path = str(self._file(suffix))
            try:
                found[suffix] = self._contents.of(path, os.stat(path)).content  # noqa: PTH116 (asked at every stop)
            except FileNotFoundError:
                continue
        return with_super(found)

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
        for suffix in FILES:
            with contextlib.suppress(FileNotFoundError):
                yield suffix, self._file(suffix).stat()

    def save(self) -> dict[str, bytes]:
        """The files as they are. EnvironmentFault while somebody writes without pause."""
        image = self._image()
        if image is None:
            raise EnvironmentFault("the database does not stand still", where=str(self._path), hint="stop its writers before saving")
        return image

    def restore(self, image: Any) -> None:
        """The files of the image and no others; and the one that its journal hangs on, which may lie beside another database."""
        for suffix in (*FILES, "-shm"):
            self._file(suffix).unlink(missing_ok=True)
        set_super(image)
        self._reader.moved()
        for suffix, content in {"": b"", **image}.items():
            if suffix != SUPER:
                self._file(suffix).write_bytes(content)

    def stop(self) -> None:
        """The folder goes."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
