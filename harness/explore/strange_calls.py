"""Calls by which a task does what others may notice and nobody here looks at: where it makes one, nothing is proven.

Signals are among them, unless they go to the task's own processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.egress.listener import Call
from harness.explore.proc import numbers, state_of

__all__ = ["SIGNALS", "STRANGE", "signalled", "strangers"]

_QUEUE = "the task uses a queue of the kernel ({}), into which nobody looks"
_MEMORY = "the task shares memory with other processes ({}), where nobody can see it write"
_SEMAPHORE = "the task uses semaphores of the kernel ({}), at which nobody looks"
_KEY = "the task uses keys that the kernel keeps ({}), at which nobody looks"
_PROCESS = "the task reaches into a process ({}), where nobody can see what it does"
_FILES = "the task changes which files its paths mean ({}), so that nobody can tell what it writes to"
_MACHINE = "the task changes the machine itself ({}), which nobody sets back"
_TO_OTHERS = "the task sends a signal to a process that is not its own ({}), and nobody sees what that does"

#: call -> why nothing is proven
STRANGE: Mapping[str, str] = {
    name: words.format(name)
    for words, names in (
        (_QUEUE, "msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive"),
        (_MEMORY, "shmget shmat shmctl"),
        (_SEMAPHORE, "semget semop semtimedop semctl"),
        (_KEY, "add_key request_key keyctl"),
        (_PROCESS, "ptrace process_vm_writev pidfd_getfd"),
        (_FILES, "setns chroot pivot_root mount umount2 move_mount open_by_handle_at"),
        (_MACHINE, "settimeofday clock_settime sethostname setdomainname"),
    )
    for name in names.split()
}
#: call -> why nothing is proven where it goes to another process than the task's own. The first argument says to which.
SIGNALS: Mapping[str, str] = {
    name: _TO_OTHERS.format(name) for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
}


def signalled(call: Call, name: str) -> list[int] | None:
    """The processes, or threads, that a signal goes to; None: to all that there are. Those that are gone get none."""
    number = call.arguments[0] & 0xFFFFFFFF
    number -= (1 << 32) if number >= 1 << 31 else 0
    if name == "pidfd_send_signal":
        return [found for found in [_of_handle(call.thread, number)] if found > 0]
    if number > 0:
        return [number]
    if number == -1:
        return None
    with contextlib.suppress(OSError):
        group = -number or os.getpgid(call.thread)
        return list(_of_group(group))
    return []


def strangers(above: int, processes: list[int]) -> list[int]:
    """Those that do not stand below this one, by whichever parents."""
    return [process for process in processes if Path(f"/proc/{process}").exists() and above not in _parents(process)]


def _parents(process: int) -> Iterator[int]:
    while process > 1:
        try:
            _, process = state_of(process)
        except (OSError, ValueError):
            return
        yield process


def _of_group(group: int) -> Iterator[int]:
    for process in numbers("/proc"):
        with contextlib.suppress(OSError):
            if os.getpgid(process) == group:
                yield process


def _of_handle(thread: int, descriptor: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{thread}/fdinfo/{descriptor}").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), -1)
    return -1
