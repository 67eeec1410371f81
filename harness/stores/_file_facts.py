"""What a file is beside its content: mode, owner, attributes, other names, and a time of writing that somebody has set."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.world import Collection, Row

__all__ = ["Facts", "attributes_of", "beneath", "first_names", "set_back"]

#: Of those that the system keeps for itself (labels of a security module) nobody's program makes a marker.
_ATTRIBUTES = ("user.", "system.posix_acl_")
#: Seconds by which a task's clock is ahead at most, where it sets a time to what its clock says.
_AHEAD = 500 * 86_400.0


@dataclass(frozen=True, slots=True)
class Facts:
    """``path`` as it prints. ``first``: the first of its names, '' where it has no other below the folder."""

    path: str
    entry: os.stat_result
    attributes: Mapping[str, bytes]
    first: str


def attributes_of(path: str) -> dict[str, bytes]:
    """Extended attributes by their names; none where the system, or the file system, has none."""
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names) if name.startswith(_ATTRIBUTES)}
    except OSError:
        return {}


def first_names(entries: Sequence[tuple[str, os.stat_result]]) -> dict[str, str]:
    """Of each ordinary file with more than one name: the first one."""
    first: dict[tuple[int, int], str] = {}
    several = [(path, entry) for path, entry in entries if entry.st_nlink > 1 and stat.S_ISREG(entry.st_mode)]
    return {path: first.setdefault((entry.st_dev, entry.st_ino), path) for path, entry in several}


def beneath(every: Sequence[Facts], owner: tuple[int, int], begun: float, setup: float, now: float) -> Iterator[Collection]:
    """By wall seconds: the folder was made when it had ``begun``, and ``setup`` was over then. ``owner``: user and group of the folder."""
    yield Collection("~permissions", tuple(_permissions(one, owner) for one in every), key=("path",))
    named = tuple(
        {"path": one.path, "name": name, "value": value.decode("utf-8", "backslashreplace")}
        for one in every
        for name, value in one.attributes.items()
    )
    linked = tuple({"path": one.path, "same_as": one.first} for one in every if one.first not in ("", one.path))
    times = tuple(
        {"path": one.path, "time": time}
        for one in every
        if stat.S_ISREG(one.entry.st_mode) and (time := _time(one.entry.st_mtime_ns, begun, setup, now)) is not None
    )
    for name, rows, key in (("attributes", named, ("path", "name")), ("links", linked, ("path",)), ("times", times, ("path",))):
        if rows:
            yield Collection(f"~{name}", rows, key=key)


def _permissions(one: Facts, owner: tuple[int, int]) -> Row:
    entry = one.entry
    row: Row = {"path": one.path, "mode": f"{stat.S_IMODE(entry.st_mode):04o}"}
    return row if (entry.st_uid, entry.st_gid) == owner else {**row, "owner": f"{entry.st_uid}:{entry.st_gid}"}


def _time(written: int, begun: float, setup: float, now: float) -> Any:
    """None for a file that was written since the setup: when exactly is a matter of how fast the machine is.

    A number where somebody has set it: to a whole second, that is, before the run or long after.
    """
    seconds, rest = divmod(written, 10**9)
    if rest == 0 and not begun - 1 <= seconds <= now + _AHEAD:
        return seconds
    return "of the setup" if written / 1e9 < setup else None


def set_back(path: Path, entry: os.stat_result, attributes: Mapping[str, bytes]) -> None:
    """Of a file or folder that was just made: owner, mode, attributes, times. What we have no right to is left: whoever looks will see."""
    made = path.lstat()
    if (made.st_uid, made.st_gid) != (entry.st_uid, entry.st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(path, entry.st_uid, entry.st_gid)
    for name, value in attributes.items():
        with contextlib.suppress(PermissionError):
            os.setxattr(path, name, value)
    path.chmod(stat.S_IMODE(entry.st_mode))
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
