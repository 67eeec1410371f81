"""Memory that every delivery writes to: copied while a child waits for its job, not one page fault after another while it runs."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

__all__ = ["HotPages", "Runs", "own_pages"]

#: (start, end) addresses; the same in every child, as all are forks of one process.
Runs = List[Tuple[int, int]]
_PAGE = 4096
_MADV_POPULATE_WRITE = 23  # Linux 5.14; where there is none, pages are copied as they are written
#: process_madvise(2), by which a process may do so to many runs of its own memory at once (Linux 6.13); the same number everywhere.
_PROCESS_MADVISE, _IOVEC, _MOST_AT_ONCE = 440, 16, 1024
#: Documentation/admin-guide/mm/pagemap.rst
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56
#: Looked up once: a fork that had to do it again would have a hundred pages copied.
_libc = ctypes.CDLL(None, use_errno=True)
_madvise, _syscall = _libc.madvise, _libc.syscall
_syscall.restype = ctypes.c_long


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


class HotPages:
    """Made in the zygote, so that a fork has nothing left to do but one call for each thousand runs."""

    def __init__(self, runs: Sequence[Sequence[int]] = ()) -> None:
        self._runs = _joined(runs)
        pairs = b"".join(struct.pack("=QQ", start, end - start) for start, end in self._runs)
        self._vector = ctypes.create_string_buffer(pairs, len(pairs) or 1)

    def copy(self) -> None:
        """As if each page had been written to. What is not there (any more) is left out."""
        for start, end in self._runs[self._copied_at_once() :]:
            _madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_POPULATE_WRITE)

    def _copied_at_once(self) -> int:
        """So many of the runs; the kernel may know nothing of it, or find one that is not there."""
        try:
            own = os.pidfd_open(os.getpid()) if self._runs else -1
        except (AttributeError, OSError):
            return 0
        done = 0
        while done < len(self._runs):
            part = self._runs[done : done + _MOST_AT_ONCE]
            where = ctypes.addressof(self._vector) + done * _IOVEC
            numbers = (_PROCESS_MADVISE, own, where, len(part), _MADV_POPULATE_WRITE, 0)
            if _syscall(*[ctypes.c_ulong(number) for number in numbers]) < sum(end - start for start, end in part):
                break
            done += len(part)
        if own >= 0:
            os.close(own)
        return done


def _joined(runs: Sequence[Sequence[int]]) -> Runs:
    """Those that lie in memory of this process. What is nearly one is one: beginning anew costs more than a page."""
    memory = list(_writable()) if runs else []

    def is_ours(start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in memory)

    found: Runs = []
    for start, end in sorted((int(run[0]), int(run[1])) for run in runs):
        if found and start - found[-1][1] <= _PAGE and is_ours(found[-1][0], end):
            found[-1] = (found[-1][0], end)
        elif is_ours(start, end):
            found.append((start, end))
    return found
