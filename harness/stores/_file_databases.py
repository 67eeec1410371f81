"""SQLite databases among the files of a folder. Each is shown by what it holds: its bytes vary with counters that mean nothing."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.model.masks import SUPER_JOURNAL
from harness.model.world import Collection
from harness.stores._sqlite_contents import FILES, Read, Reader
from harness.stores._sqlite_journal import IS_DATABASE, SUPER, is_whole, with_super

__all__ = ["Databases", "Shown", "is_index"]

#: A name that is another one in each execution would make other tables in each: such files stay files. "~" has a meaning of its own.
_NAMED_ANEW = re.compile(
    r"~|(?<![A-Za-z0-9])tmp[a-z0-9_]{8}(?![a-z0-9_])|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|(?<![0-9A-Za-z])[0-9a-f]{16,}(?![0-9A-Za-z])"
)
_INDEX = "-shm"


@dataclass(frozen=True, slots=True)
class Shown:
    """``databases``: their paths. ``beside``: those of their journals and logs, which are part of them."""

    databases: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    tables: tuple[Collection, ...] = ()
    beneath: tuple[Collection, ...] = ()


class Databases:
    """Of one folder."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._shown: dict[str, tuple[bytes, tuple[Collection, ...], tuple[Collection, ...]]] = {}

    def shown(self, files: Mapping[str, bytes], folder: Path) -> Shown:
        """Of files by their paths below the folder. One that cannot be read, since half of it is missing, stays a file."""
        found: dict[str, Read] = {}
        for path, content in files.items():
            if content.startswith(IS_DATABASE) and not _NAMED_ANEW.search(path):
                reader = self._readers.setdefault(path, Reader())
                image = with_super({suffix: files[path + suffix] for suffix in FILES if path + suffix in files})
                if image.keys() - {SUPER} == {""} and not is_whole(content):
                    continue
                try:
                    found[path] = reader.known(image) or reader.read(image, folder.parent)
                except sqlite3.DatabaseError:
                    continue
        if not any(path.endswith("-journal") for path in files) and not found:
            return Shown()
        empty = {path for path, content in files.items() if not content}  # where the first transaction is under way
        beside = {path + suffix for path in {*found, *empty} for suffix in FILES[1:] if path + suffix in files}
        beside |= {path for path in files if (plain := SUPER_JOURNAL.sub("", path)) != path and plain in found}
        parts = [self._parts(path, read) for path, read in found.items()]
        return Shown(
            frozenset(found),
            frozenset(beside),
            tuple(one for tables, _ in parts for one in tables),
            tuple(one for _, beneath in parts for one in beneath),
        )

    def moved(self) -> None:
        """See `Reader`."""
        for reader in self._readers.values():
            reader.moved()

    def _parts(self, path: str, read: Read) -> tuple[tuple[Collection, ...], tuple[Collection, ...]]:
        known = self._shown.get(path)
        if known is None or known[0] != read.digest:
            known = self._shown[path] = read.digest, _below(path, read.tables), _below(path, read.beneath)
        return known[1:]


def _below(path: str, collections: tuple[Collection, ...]) -> tuple[Collection, ...]:
    return tuple(
        replace(one, name=f"{path}.{one.name}", references={column: f"{path}.{to}" for column, to in one.references.items()})
        for one in collections
    )


def is_index(path: str, paths: Mapping[str, object]) -> bool:
    """Is it that of a write-ahead log, which whoever opens the database first makes anew?"""
    return path.endswith(_INDEX) and path[: -len(_INDEX)] in paths and path[: -len(_INDEX)] + "-wal" in paths
