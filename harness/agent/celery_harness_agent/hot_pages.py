"""Memory that every delivery writes to: copied while a child waits for its job, not one page fault after another while it runs."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Iterator, List, Tuple

__all__ = ["Runs", "own_pages", "prefault"]

#: (start, end) addresses; the same in every child, as all are forks of one process.
Runs = List[Tuple[int, int]]
_PAGE = 4096
_MADV_POPULATE_WRITE = 23  # Linux 5.14; where there is none, pages are copied as they are written
#: Documentation/admin-guide/mm/pagemap.rst
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56


def own_pages() -> Runs:
    """Those that this process does not share with the one that it was forked from: it has written to them. [] where nobody tells."""
    found: list[list[int]] = []
    try:
        with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
            for start, end in _writable():
                pagemap.seek(start // _PAGE * 8)
                table = pagemap.read((end - start) // _PAGE * 8)
                for number, (entry,) in enumerate(struct.iter_unpack("<Q", table)):
                    if entry & _PRESENT and entry & _EXCLUSIVE:
                        address = start + number * _PAGE
                        if found and found[-1][1] == address:
                            found[-1][1] = address + _PAGE
                        else:
                            found.append([address, address + _PAGE])
    except OSError:
        return []
    return [(start, end) for start, end in found]


def _writable() -> Iterator[tuple[int, int]]:
    """Private memory but for stacks, which grow."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(None, 5)
        if fields[1] == "rw-p" and not (len(fields) > 5 and fields[5].startswith("[stack")):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16)


def prefault(runs: Runs) -> None:
    """As if each page had been written to. What is not there (any more) is left out."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    for start, end in runs:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_POPULATE_WRITE)
