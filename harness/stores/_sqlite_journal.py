"""SQLite's files: which of them hold the same database.

https://sqlite.org/fileformat2.html#the_database_header: each transaction counts up, at two places.
https://sqlite.org/fileformat2.html#the_rollback_journal: a header (magic, number of records, nonce, pages of the database, size of a
sector and of a page), then from the next sector on records: the number of a page, what it held, a checksum that begins at the nonce.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

__all__ = ["plain", "same_commit"]

_MAGIC, _IDENTITY, _PAGES_FROM = bytes.fromhex("d9d505f920a163d7"), slice(12, 28), 512
_HEADER, _NUMBER = struct.Struct(">IIIII"), struct.Struct(">I")
_DATABASE = b"SQLite format 3\0"
_UNCOUNTED = (0, 0xFFFFFFFF)


def plain(suffix: str, content: bytes) -> bytes:
    """Equal for two of which SQLite reads the same, as far as is easily told: without the count of transactions, and what a rollback
    journal draws at random. The content itself where it is anything else. ``suffix``: of the file's name.
    """
    if suffix == "-journal":
        return _plain_journal(content)
    if suffix or content[: len(_DATABASE)] != _DATABASE:
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
