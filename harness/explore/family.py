"""All processes and threads of one delivery, and whether they stand still while one of them is looked at."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.explore.proc import link, numbers, state_of
from harness.explore.process_memory import ProcessMemory

__all__ = ["Family", "has_ended"]

_NUMBERS = {
    "x86_64": {"wait4": 61, "waitid": 247, "futex": 202, "read": 0, "poll": 7, "ppoll": 271, "vfork": 58, "clone": 56, "clone3": 435},
    "aarch64": {"wait4": 260, "waitid": 95, "futex": 98, "read": 63, "ppoll": 73, "clone": 220, "clone3": 435},
}
#: Whoever waits in these waits for another process or thread of its own (a parent after vfork too).
_WAITING = ("wait4", "waitid", "vfork", "clone", "clone3")


class Family:
    """The child of the zygote that runs a delivery, what it has started, and what that has left to the zygote."""

    def __init__(self, zygote: int, main: int, memory: ProcessMemory) -> None:
        self._zygote = zygote
        self.main = main
        self._memory = memory
        numbers = _NUMBERS.get(platform.machine(), {})
        self._waiting = {numbers[name] for name in _WAITING if name in numbers}
        self._numbers = numbers

    def processes(self, others: Collection[int]) -> list[int]:
        """By walking down from the zygote, which is told of every orphan. ``others``: children of the zygote that are not of this one."""
        found: list[int] = []
        todo = [process for process in _children(self._zygote) if process not in others]
        while todo:
            process = todo.pop()
            if process not in found:
                found.append(process)
                todo += _children(process)
        return found

    def running(self, others: Collection[int]) -> list[int]:
        """Those that have a thread that has not ended, whether anybody has asked for their end or not."""
        return [process for process in self.processes(others) if not has_ended(process)]

    def threads(self, others: Collection[int]) -> list[int]:
        """Of all of them."""
        return [thread for process in self.processes(others) for thread in self.threads_of(process)]

    @staticmethod
    def threads_of(process: int) -> list[int]:
        """Of one; the main thread has its process's number."""
        return numbers(f"/proc/{process}/task")

    def stands(self, others: Collection[int], but: Collection[int]) -> bool:
        """Can no thread, but for ``but``, do anything before one of those does? False where it is not certain.

        Twice: the kernel's list of children may lack one while another of them ends.
        """
        return all(self._stands(thread) for _ in range(2) for thread in self.threads(others) if thread not in but)

    def _stands(self, thread: int) -> bool:
        """Blocked, without a time limit, in a call that only the task itself can end."""
        try:
            fields = Path(f"/proc/{thread}/syscall").read_text().split()
        except OSError:
            return _gone(thread)
        if not fields or not fields[0].isdigit():
            return _gone(thread)
        number, arguments = int(fields[0]), [int(text, 16) for text in fields[1:7]]
        if number in self._waiting:
            return True
        if number == self._numbers.get("futex"):
            return arguments[3] == 0
        if number == self._numbers.get("read"):
            return _is_pipe(thread, arguments[0])
        if number == self._numbers.get("poll"):
            return arguments[2] & 0xFFFFFFFF == 0xFFFFFFFF and self._only_pipes(thread, arguments[0], arguments[1])
        if number == self._numbers.get("ppoll"):
            return arguments[2] == 0 and self._only_pipes(thread, arguments[0], arguments[1])
        return False

    def _only_pipes(self, thread: int, where: int, count: int) -> bool:
        table = self._memory.read(thread, where, 8 * min(count, 64))
        descriptors = [struct.unpack_from("=i", table, at)[0] for at in range(0, len(table) - 7, 8)]
        return len(descriptors) == count and all(_is_pipe(thread, descriptor) for descriptor in descriptors if descriptor >= 0)

    def kill(self, others: Collection[int]) -> None:
        """SIGKILL to whatever is there now."""
        for process in self.processes(others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def has_ended(process: int) -> bool:
    """Has each of its threads let go of all that it held?"""
    return all(_gone(thread) for thread in numbers(f"/proc/{process}/task"))


def _children(process: int) -> Iterator[int]:
    for thread in numbers(f"/proc/{process}/task"):
        with contextlib.suppress(OSError):
            yield from (int(text) for text in Path(f"/proc/{process}/task/{thread}/children").read_text().split())


def _gone(thread: int) -> bool:
    """Dead, or about to be (a zombie)."""
    try:
        return state_of(thread)[0] in ("Z", "X")
    except OSError:
        return True


def _is_pipe(thread: int, descriptor: int) -> bool:
    try:
        return link(f"/proc/{thread}/fd/{descriptor}").startswith("pipe:")
    except OSError:
        return False
