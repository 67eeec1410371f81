"""What stores share: values that compare and print, and stamps of files."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["canonical", "digest", "stamp"]

#: No clock that file systems stamp with is coarser: a kernel tick is 10 ms at most.
_TICK_NS = 20_000_000
_never_twice = itertools.count()


def canonical(value: Any) -> Any:
    """Bytes as text where they are UTF-8, else as ``x'0aff'``; all else as it is."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        return value
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"x'{raw.hex()}'"


def digest(value: object) -> int:
    """A number for a value with a faithful ``repr``."""
    return int.from_bytes(hashlib.blake2b(repr(value).encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def stamp(look: Callable[[], Iterable[tuple[str, os.stat_result]]]) -> int:
    """A number that is equal at two moments only if no file changed between them, without reading any.

    A second change within one tick of the file system's clock leaves no trace, so a file that changed just now is looked at
    again after the tick; one that changes all the time equals nothing.
    """
    for pause in (_TICK_NS / 1e9, 0.0):
        now = time.time_ns()
        entries = [(path, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in look()]
        if all(abs(now - entry[-1]) > _TICK_NS for entry in entries):
            return digest(entries)
        time.sleep(pause)
    return digest((entries, next(_never_twice)))
