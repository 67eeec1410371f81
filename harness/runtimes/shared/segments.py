"""System V shared memory that a PostgreSQL left which was killed with its run: nobody but `clean` removes it.

Which segment is ours says the server's own postmaster.pid in the run's folder, and the kernel's table must agree: the same key and
number, made by that very process, belonging to whom the folder belongs to, and nobody attached any more.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Segment", "is_there", "remove_segment", "segments"]

_TABLE = Path("/proc/sysvipc/shm")
_IPC_RMID = 0
#: Lines of postmaster.pid (PostgreSQL's src/include/utils/pidfile.h): the pid, and `key id` of the segment.
_PID_LINE, _SEGMENT_LINE = 0, 6


@dataclass(frozen=True, slots=True)
class Segment:
    """``number``: the kernel's shmid. ``pid`` made it; ``uid`` owns the server's folder."""

    number: int
    key: int
    pid: int
    uid: int
    folder: Path


def segments(folder: Path) -> list[Segment]:
    """Those that servers below a run's folder name, whether they are still there or not."""
    found = []
    for file in sorted(folder.rglob("postmaster.pid")):
        try:
            lines = file.read_text().splitlines()
            key, number = (int(word) for word in lines[_SEGMENT_LINE].split())
            found.append(Segment(number, key, int(lines[_PID_LINE]), file.stat().st_uid, folder))
        except (OSError, ValueError, IndexError):
            continue  # killed before it had one, or no file of PostgreSQL's
    return found


def remove_segment(segment: Segment) -> bool:
    """Is it gone? False where it is not there (any more), is not the one that the file means, or is in use."""
    if not is_there(segment, unused=True):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).shmctl(segment.number, _IPC_RMID, None) == 0)


def is_there(segment: Segment, *, unused: bool = False) -> bool:
    """By the kernel's table, proc_sysvipc(5). ``unused``: and nobody is attached to it."""
    try:
        heading, *rows = _TABLE.read_text().splitlines()
    except (OSError, ValueError):
        return False  # no Linux
    wanted = {"key": segment.key, "shmid": segment.number, "cpid": segment.pid, "cuid": segment.uid}
    wanted |= {"nattch": 0} if unused else {}
    names = heading.split()
    for row in rows:
        entry = dict(zip(names, row.split(), strict=False))
        if all(_unsigned(entry.get(name, "")) == value % 2**32 for name, value in wanted.items()):
            return True
    return False


def _unsigned(text: str) -> int:
    """Keys are signed in the table and unsigned in the file."""
    try:
        return int(text) % 2**32
    except ValueError:
        return -1
