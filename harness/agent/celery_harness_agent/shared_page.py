"""Memory that the explorer's supervisor and every child of the zygote have in common: clock offsets, and the lines where the task is.

One page for all children: one delivery runs at a time, and the supervisor empties the page before each. Little-endian, as all
machines are that have a table of system calls here:

====== =================================================================================
0      int64 seconds, int64 nanoseconds: what is added to the clocks that tell the time of day
16     int64 seconds, int64 nanoseconds: what is added to the clocks that only run
128    64 places, each uint32 thread, and eight times code (offset of its text below, 0: none), line, hit, innermost first
8192   uint32: offset of the end of the texts
8196   texts of code, each uint32 length and UTF-8: module, function, file, with NUL between
====== =================================================================================
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile

__all__ = ["DEPTH", "END_OF_TEXTS", "PLACES", "PLACE_COUNT", "PLACE_SIZE", "SIZE", "TEXTS", "SharedPage", "mapped"]

SIZE = 1 << 20
DEPTH = 8
PLACES, PLACE_SIZE, PLACE_COUNT = 128, 4 + 12 * DEPTH, 64
END_OF_TEXTS, TEXTS = 8192, 8196


class SharedPage:
    """Made by the zygote, and inherited by its children at the same address. ``descriptor``: for the supervisor."""

    def __init__(self) -> None:
        self.descriptor = _anonymous_file()
        os.ftruncate(self.descriptor, SIZE)
        self.address = mapped(self.descriptor, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED)
        self.memory = (ctypes.c_char * SIZE).from_address(self.address)


def mapped(descriptor: int, size: int, protection: int, flags: int) -> int:
    """Address of memory that stays until the process is gone. Not `mmap.mmap`, which an interpreter that ends unmaps."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    found = libc.mmap(None, ctypes.c_size_t(size), protection, flags, descriptor, ctypes.c_long(0))
    if found is None or found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("celery-harness-page")
        except OSError:  # refused by a container's profile
            pass
    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())
