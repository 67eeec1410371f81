"""Reading, and for one purpose writing, the memory of a task that stands at a stop."""

from __future__ import annotations

import contextlib
import os

from harness.errors import EnvironmentFault

__all__ = ["ProcessMemory"]

_PAGE = 4096
_LONGEST_PATH = 4096
_MOSTLY = 256  # a path has no more


class ProcessMemory:
    """By /proc/PID/mem: one system call per look, no ptrace; containers' default profiles allow it where they refuse process_vm_readv."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}

    def read(self, thread: int, address: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer, or none, where the memory ends."""
        if not size:
            return b""
        for fresh in (False, True):
            try:
                found = os.pread(self._descriptor(thread, fresh=fresh), size, address)
            except OSError:
                continue
            if found:
                return found  # none: it has become another program meanwhile, and that is another memory
        if size > _PAGE - address % _PAGE:  # the kernel reads all or nothing of what is not there
            with contextlib.suppress(OSError):
                return os.pread(self._descriptor(thread), _PAGE - address % _PAGE, address)
        return b""

    def text(self, thread: int, address: int) -> str:
        """A string of C's, as Python has names of files."""
        return os.fsdecode(self.string(thread, address))

    def string(self, thread: int, address: int) -> bytes:
        """A string of C's, without its end; as long as a path at most."""
        try:  # one look is enough for nearly all of them, and it is on the way of each stop
            found = os.pread(self._open[thread], min(_MOSTLY, _PAGE - address % _PAGE), address)
            return found[: found.index(b"\0")]
        except (KeyError, OSError, ValueError):
            return self._long_string(thread, address)

    def _long_string(self, thread: int, address: int) -> bytes:
        found = b""
        while address and len(found) < _LONGEST_PATH:
            part = self.read(thread, address + len(found), min(_MOSTLY, _PAGE - (address + len(found)) % _PAGE))
            found += part
            if not part or b"\0" in part:
                break
        return found.partition(b"\0")[0]

    def write(self, thread: int, address: int, data: bytes) -> None:
        """EnvironmentFault where it may not be written."""
        try:
            os.pwrite(self._descriptor(thread), data, address)
        except OSError as exc:
            raise EnvironmentFault(f"the memory of the task's process cannot be written: {exc.strerror}") from exc

    def becomes_another(self, thread: int) -> None:
        """It is about to run another program. After vfork it still has its parent's memory: we must not go on looking there."""
        descriptor = self._open.pop(thread, None)
        if descriptor is not None:
            os.close(descriptor)

    def trouble(self, process: int) -> str:
        """Why this machine does not let us look; '' where it does."""
        try:
            self._descriptor(process)
        except OSError as exc:
            needs = "it needs /proc, and the same user for the harness and the app; kernel.yama.ptrace_scope may be 0 or 1"
            return f"the memory of a process that the explorer has started cannot be read: {exc.strerror} ({needs})"
        return ""

    def _descriptor(self, thread: int, *, fresh: bool = False) -> int:
        found = self._open.get(thread)
        if found is not None and not fresh:
            return found
        if found is not None:
            os.close(self._open.pop(thread))
        self._open[thread] = descriptor = os.open(f"/proc/{thread}/mem", os.O_RDWR | os.O_CLOEXEC)
        return descriptor

    def forget(self) -> None:
        """All of them: numbers of threads are used again."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
