"""Contents of files that are read again only once they may have changed, for whoever looks at the same files at every stop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Content", "Contents", "content_digest"]

#: A stamp that moves with each of so many writes, made as fast as can be, moves with every one.
_WRITES = 32


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held when it had this stamp."""

    stamp: Hashable
    content: bytes
    digest: bytes


class Contents:
    """Of files below one folder.

    The kernel gives a file another time of change (ctime, which no program sets) with each change after somebody has asked for it:
    since Linux 6.13 on ext4, XFS, Btrfs and tmpfs (Documentation/filesystems/multigrain-ts.rst). Whether the folder's file system does
    is tried; elsewhere, where two changes within one tick of a clock leave one stamp, each file is read each time.
    """

    def __init__(self, folder: Path) -> None:
        self._known: dict[str, Content] = {}
        #: Does a stamp that stands still say that nothing has changed?
        self.tells = _tells_each_change(folder)

    def of(self, path: str, entry: os.stat_result) -> Content:
        """Of the file at this path, which ``entry`` was asked of just now. OSError as `open` has it."""
        stamp = (entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns)
        known = self._known.get(path)
        if known is not None and self.tells and known.stamp == stamp:
            return known
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (asked at every stop; a Path costs more than the look)
            content = file.readall()
        if known is not None and known.content == content:
            found = Content(stamp, known.content, known.digest)
        else:
            found = Content(stamp, content, content_digest(content))
        self._known[path] = found
        return found

    def forget(self) -> None:
        """All are read again."""
        self._known.clear()


def content_digest(content: bytes) -> bytes:
    """Equal for equal contents alone."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _tells_each_change(folder: Path) -> bool:
    """Does each write move the stamp of a file in there?"""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        stamps = set()
        for _ in range(_WRITES):
            file.write(b"x")
            stamps.add(os.fstat(file.fileno()).st_ctime_ns)
        return len(stamps) == _WRITES
    return False
