"""The journal of one process: complete records that survive SIGKILL at any moment.

The file is mapped shared, so a stored byte is in the page cache and outlives the process. A record is stored by one call into C:
neither a signal handler that publishes, nor a soft time limit's exception, nor another thread comes between its bytes.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import time

# Not threading's: gevent and eventlet replace that one, and no greenlet may be switched in the middle of a record.
from _thread import RLock
from itertools import count
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Callable

from celery_harness_agent.settings import Settings

__all__ = ["Journal", "mono", "optional", "quoted"]

mono = time.monotonic_ns
EX_IOERR = 74
_CHUNK = 1 << 20
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


def optional(value: object) -> str:
    """JSON text of a string or None."""
    return "null" if value is None else quoted(str(value))


class Journal:
    """One file per process; a fork opens a new one, because the parent's mapping must not be written twice."""

    def __init__(self, settings: Settings, celery: str = "", kombu: str = "") -> None:
        self._folder = Path(settings.journal)
        self._pid_base = settings.pid_base
        facts = {
            "name": settings.name,
            "role": settings.role,
            "host": socket.gethostname(),
            "run": settings.run,
            "pass": settings.pass_name,
            "python": ".".join(map(str, sys.version_info[:3])),
            "celery": celery,
            "kombu": kombu,
        }
        self._header = ",".join(f'"{key}":{quoted(text)}' for key, text in facts.items())
        self._descriptor = -1
        self._folder.mkdir(parents=True, exist_ok=True)
        self._start()
        os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._lock = RLock()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        pid, parent = self._pid_base + os.getpid(), self._pid_base + os.getppid()
        self.stem = f"{pid}-{mono()}"
        self._prefix = self.stem + ":"
        self._numbers = count(1)
        self._write: Callable[[bytes], object] = _nowhere
        path = self._folder / f"{self.stem}.journal"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            _give_up(exc)
        self.emit(f'{{"k":"open","v":1,"m":{mono()},"w":{time.time_ns()},"pid":{pid},"ppid":{parent},{self._header}}}\n')

    def new_id(self) -> str:
        """An id that no other process makes: safe inside JSON quotes as it is."""
        return self._prefix + str(next(self._numbers))

    def emit(self, line: str) -> None:
        """Store one preformatted line (ASCII JSON, ending in a newline)."""
        data = line.encode()
        try:
            self._write(data)
        except ValueError:  # it does not fit into what is left of the chunk, and nothing was stored
            self._write_further_on(data)

    def _write_further_on(self, data: bytes) -> None:
        """In a new chunk, which another thread may have made meanwhile, or a signal handler have filled."""
        with self._lock:
            while True:
                try:
                    self._write(data)
                except ValueError:
                    self._grow(len(data))
                else:
                    return

    def _grow(self, need: int) -> None:
        """A new chunk; what is left of the old one stays zero. The file's own offset says where: one call takes the place and moves it."""
        size = max(_CHUNK, -(-need // _CHUNK) * _CHUNK)
        try:
            base = os.lseek(self._descriptor, size, os.SEEK_CUR) - size
            _reserve(self._descriptor, base, size)
            chunk = mmap.mmap(self._descriptor, size, flags=mmap.MAP_SHARED | _POPULATE, offset=base)
        except OSError as exc:
            _give_up(exc)
        self._write = chunk.write


def _nowhere(data: bytes) -> None:
    """Before the first chunk."""
    raise ValueError


def _reserve(descriptor: int, offset: int, size: int) -> None:
    """Real blocks, so that a full disk is an error here and not a SIGBUS at some later store."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, offset, size)
    else:
        os.pwrite(descriptor, bytes(size), offset)


def _give_up(exc: OSError) -> None:
    """A journal with gaps proves nothing: stop, and say so."""
    os.write(2, (f"harness agent: cannot write the journal: {exc.strerror} ({exc.filename or 'no space reserved'})\n").encode())
    os._exit(EX_IOERR)
