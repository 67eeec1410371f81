"""The files below /proc that tell about a process."""

from __future__ import annotations

import os

__all__ = ["is_writable", "leads_group", "link", "numbers", "polled", "shared_maps", "state_of"]


def link(path: str) -> str:
    """What it leads to, as the kernel words it; OSError. As text: this is asked at every stop, and a Path costs four times as much."""
    return os.readlink(path)  # noqa: PTH115


def state_of(thread: int) -> tuple[str, int]:
    """(its state as a letter, its parent) of a thread or process; OSError where it is gone. Its name may hold anything."""
    with open(f"/proc/{thread:d}/stat", errors="replace") as file:  # noqa: PTH123
        state, parent = file.read().rpartition(")")[2].split()[:2]
    return state, int(parent)


def numbers(folder: str) -> list[int]:
    """Names in it that are numbers: of processes, threads or descriptors; [] where it is gone."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 (as above)
    except OSError:
        return []


def polled(thread: int, descriptor: int) -> list[int]:
    """Descriptors that an epoll waits for; [] where it is gone."""
    try:
        with open(f"/proc/{thread:d}/fdinfo/{descriptor:d}") as file:  # noqa: PTH123
            return [int(line.split()[1]) for line in file if line.startswith("tfd:")]
    except OSError:
        return []


def is_writable(thread: int, descriptor: int) -> bool:
    """Was it opened to write, or to read and write? False where it is gone."""
    try:
        with open(f"/proc/{thread:d}/fdinfo/{descriptor:d}") as file:  # noqa: PTH123
            flags = next((int(line.split()[1], 8) for line in file if line.startswith("flags:")), 0)
    except OSError:
        return False
    return flags & os.O_ACCMODE != os.O_RDONLY


def shared_maps(process: int, begin: int = 0, end: int = 1 << 64, *, writable: bool = False) -> list[str]:
    """Files that have a name and are mapped between these addresses, with what is written there seen by others.

    ``writable``: those alone that are. OSError where it cannot be looked at.
    """
    found: dict[str, None] = {}
    with open(f"/proc/{process:d}/maps", errors="surrogateescape") as file:  # noqa: PTH123
        for line in file:
            fields = line.rstrip("\n").split(None, 5)
            low, _, high = fields[0].partition("-")
            if len(fields) < 6 or fields[1][3] != "s" or (writable and fields[1][1] != "w") or fields[5].endswith(" (deleted)"):
                continue
            if int(low, 16) < end and int(high, 16) > begin:
                found[fields[5]] = None
    return list(found)


def leads_group(process: int) -> bool:
    """Then it cannot begin a session (setsid(2)): our children do, a worker's do not."""
    try:
        return os.getpgid(process) == process
    except OSError:
        return False
