"""SQLite's files: which of them hold the same database.

https://sqlite.org/fileformat2.html#the_database_header: each transaction counts up, at two places.
https://sqlite.org/fileformat2.html#the_rollback_journal: a header (magic, number of records, nonce, pages of the database, size of a
sector and of a page), then from the next sector on records: the number of a page, what it held, a checksum that begins at the nonce.

https://sqlite.org/atomiccommit.html#_multi_file_commit: a transaction over several databases makes a super-journal beside the main one,
and each of their journals ends with its path. To delete it is to commit: a journal whose super-journal is gone counts for nothing.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["IS_DATABASE", "SUPER", "is_whole", "plain", "same_commit", "set_super", "standing", "super_journal", "with_super"]

#: What an image calls the super-journal that its journal names, where that is there.
SUPER: Final = "super-journal"
#: Behind the path: how long it is, the sum of its characters, the magic; before it the number of a page.
_END = struct.Struct(">II8s")
_BEFORE = 4

_MAGIC, _IDENTITY, _PAGES_FROM = bytes.fromhex("d9d505f920a163d7"), slice(12, 28), 512
_HEADER, _NUMBER = struct.Struct(">IIIII"), struct.Struct(">I")
#: How each begins that is not empty.
IS_DATABASE: Final = b"SQLite format 3\0"
_UNCOUNTED = (0, 0xFFFFFFFF)


def plain(suffix: str, content: bytes) -> bytes:
    """Equal for two of which SQLite reads the same, as far as is easily told: without the count of transactions, and what a rollback
    journal draws at random. The content itself where it is anything else. ``suffix``: of the file's name.
    """
    if suffix == "-journal":
        return _plain_journal(content)
    if suffix or content[: len(IS_DATABASE)] != IS_DATABASE:
        return content
    found = bytearray(content)
    _take_out_counts(found, 0)
    return bytes(found)


def _take_out_counts(page: bytearray, at: int) -> None:
    """Of the first page. Where the second is not the first, an SQLite of long ago wrote, and the difference means something."""
    if page[at + 24 : at + 28] == page[at + 92 : at + 96]:
        page[at + 24 : at + 28] = page[at + 92 : at + 96] = bytes(4)


def _plain_journal(journal: bytes) -> bytes:
    """Each draws a number, at which its checksums begin. As it is where it has more than one header."""
    if journal[:8] != _MAGIC or len(journal) < 8 + _HEADER.size:
        return journal
    count, nonce, _, sector, page = _HEADER.unpack_from(journal, 8)
    if not (512 <= page <= 65_536 and 32 <= sector <= 65_536):
        return journal
    size = page + 8
    there = max(0, len(journal) - sector) // size
    if count not in _UNCOUNTED and count < there:
        return journal
    found = bytearray(journal)
    _NUMBER.pack_into(found, 12, 0)
    for at in range(sector, sector + there * size, size):
        (number,), (checksum,) = _NUMBER.unpack_from(journal, at), _NUMBER.unpack_from(journal, at + 4 + page)
        _NUMBER.pack_into(found, at + 4 + page, (checksum - nonce) & 0xFFFFFFFF)
        if number == 1:
            _take_out_counts(found, at + 4)
    return bytes(found)


def same_commit(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> bool:
    """Has nothing been committed in between, and only the rollback journal of one transaction begun or grown?

    What it holds are pages as they were before the transaction, and none of these has been written in between: rolled back, both
    are the same database. By suffix: what the files hold.
    """
    if before.get("") != now.get("") or before.get("-wal") != now.get("-wal"):
        return False
    old, new = before.get("-journal"), now.get("-journal")
    if old == new:
        return True
    if new is None or len(new) < len(old or b""):
        return False
    if not old:
        return True
    both_hot = old[:8] == new[:8] == _MAGIC
    return both_hot and old[_IDENTITY] == new[_IDENTITY] and old[_PAGES_FROM:] == new[_PAGES_FROM : len(old)]


def is_whole(database: bytes) -> bool:
    """Is it a database of which no page is missing, as there is while it is copied? For one without a journal and a log."""
    size, pages = int.from_bytes(database[16:18], "big"), int.from_bytes(database[28:32], "big")
    return database.startswith(IS_DATABASE) and len(database) == (65_536 if size == 1 else size) * pages


def super_journal(journal: bytes) -> str:
    """The path that a journal ends with; '' where its transaction is one of its own database alone."""
    if journal[-len(_MAGIC) :] != _MAGIC or len(journal) < _END.size + _BEFORE:
        return ""
    size, check, _ = _END.unpack_from(journal, len(journal) - _END.size)
    path = journal[-_END.size - size : -_END.size]
    if not 0 < size <= len(journal) - _END.size - _BEFORE:
        return ""
    sums = {sum(path), sum(one - 256 if one > 127 else one for one in path)}  # a char of C has a sign on some machines
    return os.fsdecode(path) if check in {one & 0xFFFFFFFF for one in sums} else ""


def with_super(image: dict[str, bytes]) -> dict[str, bytes]:
    """The image, with the super-journal that its journal names, if that is there."""
    if path := super_journal(image.get("-journal", b"")):
        with contextlib.suppress(OSError):
            image[SUPER] = Path(path).read_bytes()
    return image


def set_super(image: Mapping[str, bytes]) -> None:
    """There, or not there, as in the image. Which names it has does not matter to any other journal."""
    if path := super_journal(image.get("-journal", b"")):
        with contextlib.suppress(OSError):  # its folder is gone, and so it is
            if SUPER in image:
                Path(path).write_bytes(image[SUPER])
            else:
                Path(path).unlink()


def standing(image: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """As SQLite takes it: without a journal that has no header yet, or no more, or whose super-journal is gone; and one whose
    super-journal is there as that of its own transaction, so that a copy of it is read without a look at what lies beside the original.
    """
    journal = image.get("-journal")
    if journal is None:
        return image
    cold = journal[:1] in (b"", b"\0")  # https://sqlite.org/atomiccommit.html#_hot_rollback_journals
    path = super_journal(journal)
    if not path and not cold:
        return image
    others = {suffix: content for suffix, content in image.items() if suffix not in ("-journal", SUPER)}
    if cold or SUPER not in image:
        return others
    return {**others, "-journal": journal[: -_END.size - len(os.fsencode(path)) - _BEFORE]}
