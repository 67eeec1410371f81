"""What the processes of a container can leave behind when all of them are dead, so that the next ones would see it.

Nobody here has a capability, and nothing is mounted or unmounted: so there are files (the image's own and new ones, on every
file system that can be written to), System V's and POSIX's memory and queues, connections that are still closing on a port
that somebody may want to listen on, and what the next process inherits from process 1: priority, processors, limits. `Traces`
remembers all of that from before the first process, takes back what can be taken back, and says what is left.

Not counted are folders of ours, mounted on purpose, and compiled Python modules, which say what their sources say. Runs alone
(``-I -S``, Python 3.8 or later).
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import shutil
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Any, Iterator

__all__ = ["Traces"]

#: File systems that hold nothing of a process once it is dead.
_NO_FILES = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts"})
_COMPILED = "__pycache__"
#: As /proc/net/tcp has them: a state, and 127.0.0.11 in either byte order, where the engine's own resolver listens in here.
_LISTENS, _RESOLVER, _DNS = "0A", ("0B00007F:", "7F00000B:"), 53
#: What a process may write of another one of its user, and its children inherit (proc(5)).
_INHERITED = ("autogroup", "coredump_filter", "oom_score_adj", "timerslack_ns")
#: ioprio_get(2) has no wrapper; include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl.
_IOPRIO_GET = {"x86_64": 252, "aarch64": 31, "riscv64": 31}


class Traces:
    """``ours``: mount points that are not looked at."""

    def __init__(self, ours: set[str]) -> None:
        self._ours = ours
        self._mounts = _read("/proc/self/mountinfo")
        self._process = _process()
        self._before = self._folders()
        self._dialled: set[int] = set()
        #: Mount points and the folders on the way to them.
        self._ways = {str(way) for place in self._mounted() for way in (Path(place), *Path(place).parents)}
        #: Empty at the start but for such ways, as /tmp and /dev/shm: there everything may be removed.
        self._scratch = [place for place in self._places() if Path(place).is_dir() and self._bare(place)]

    def dials(self, ports: set[int]) -> None:
        """Where the next process connects to: a connection to one of these that is still closing was no listener's."""
        self._dialled |= ports

    def remove(self) -> str:
        """Take back what can be; '' where nothing is left, else what there is."""
        if _read("/proc/self/mountinfo") != self._mounts:
            return "its mounts have changed"
        if changed := sorted(name for name, state in _process().items() if state != self._process[name]):
            return f"of process 1 others have changed its {', '.join(changed)}"
        for place in self._scratch:
            self._empty(place)
        return self._shared_memory() or _closing_connections(self._dialled) or self._changed()

    def _bare(self, folder: str) -> bool:
        """Nothing is in it but ways to where something else is mounted."""
        return all(e.path in self._ways and (os.path.ismount(e.path) or self._bare(e.path)) for e in os.scandir(folder))

    def _empty(self, folder: str) -> None:
        """Nothing that is mounted below is entered. What does not go is found afterwards."""
        for entry in list(os.scandir(folder)):
            if entry.path in self._ways:
                if not os.path.ismount(entry.path):
                    self._empty(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                _open_up(entry.path)
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()

    def _changed(self) -> str:
        now = self._folders()
        for folder in sorted(now.keys() | self._before.keys()):
            if now.get(folder) != self._before.get(folder):
                return f"files have changed in {folder}"
        return ""

    @staticmethod
    def _shared_memory() -> str:
        """A segment or semaphore set of System V stays until somebody removes it. The first line is the heading."""
        for kind in ("shm", "sem", "msg"):
            if len(_read(f"/proc/sysvipc/{kind}").splitlines()) > 1:
                return f"System V {kind} is left"
        return ""

    def _places(self) -> list[str]:
        """Mount points that can be written to, ours left out."""
        found = self._mounted().items()
        return [place for place, (options, kind) in found if "rw" in options and kind not in _NO_FILES and place not in self._ours]

    def _mounted(self) -> dict[str, tuple[list[str], str]]:
        """Mount point -> options, kind of file system."""
        found = {}
        for line in self._mounts.splitlines():
            fields, _, kind = line.partition(" - ")
            place, options = fields.split()[4:6]
            found[_unescaped(place)] = (options.split(","), kind.split()[0])
        return found

    def _folders(self) -> dict[str, bytes]:
        """Folder -> a digest of what is in it, content by way of the time of the last change, which nobody can set."""
        found: dict[str, bytes] = {}
        for place in self._places():
            state = os.lstat(place)
            if stat.S_ISDIR(state.st_mode):
                found.update(_digests(place, state.st_dev))
                found[f"{place} itself"] = repr((_facts(state), _attributes(place))).encode()
            else:
                found[place] = repr(_facts(state)).encode()
        return found


def _digests(top: str, device: int) -> Iterator[tuple[str, bytes]]:
    """Of a folder and those below it, on the same file system."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        digest = blake2b(digest_size=16)
        within = os.path.basename(folder) == _COMPILED  # noqa: PTH119 (thousands of them)
        matters = not within
        try:
            entries = sorted(os.scandir(folder), key=_name)
        except OSError as exc:  # closed to us, and so to those who were here before
            entries = []
            digest.update(str(exc.errno).encode())
            matters = True
        for entry in entries:
            state = entry.stat(follow_symlinks=False)
            if state.st_dev != device or (within and entry.name.endswith(".pyc") and stat.S_ISREG(state.st_mode)):
                continue
            if stat.S_ISDIR(state.st_mode):
                waiting.append(entry.path)
                if entry.name == _COMPILED:
                    continue  # it may be new; what else than modules is in it is seen in its own turn
                digest.update(repr(_attributes(entry.path)).encode())
            digest.update(repr((entry.name, *_facts(state))).encode("utf-8", "surrogateescape"))
            matters = True
        if matters:
            yield folder, digest.digest()


def _attributes(path: str) -> "list[tuple[str, bytes]]":
    """Extended ones, access control lists too: a folder's time of the last change says nothing. [] where there are none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)]
    except OSError:
        return []


def _process() -> "dict[str, Any]":
    """Of this process, as far as others of its user can change it (setpriority, sched_setaffinity, prlimit, ioprio_set, /proc)."""
    found: dict[str, Any] = {
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority),
        "processors": os.sched_getaffinity(0),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")],
        "input and output priority": _io_priority(),
    }
    return {**found, **{name: _read(f"/proc/self/{name}") for name in _INHERITED}}


def _io_priority() -> int:
    number = _IOPRIO_GET.get(platform.machine())
    if number is None:
        return 0
    try:
        import ctypes

        return int(ctypes.CDLL(None).syscall(number, 1, 0))
    except (ImportError, OSError):
        return 0  # a Python without ctypes


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _facts(state: os.stat_result) -> tuple[int, ...]:
    """A folder's are in the digest of its content; a device's times say that it was used, not that it was changed."""
    owner = (state.st_mode, state.st_uid, state.st_gid)
    if stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode):
        return (*owner, state.st_ino, state.st_size, state.st_ctime_ns)
    return (*owner, state.st_rdev)


def _open_up(folder: str) -> None:
    """A folder that its owner closed to himself, and those below it."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)  # noqa: PTH101 (a link is never given to it)
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                _open_up(entry.path)


def _unescaped(text: str) -> str:
    """Blanks and the like are written as octal numbers there."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _closing_connections(dialled: "set[int]") -> str:
    """On a port that was listened on: who listens on it again may be refused. The kernel's own choice is no matter: a port out of its
    range, of a connection to where this container's processes are known to connect to.
    """
    low, high = (int(number) for number in _read("/proc/sys/net/ipv4/ip_local_port_range").split())
    for table in ("tcp", "tcp6"):
        for line in _read(f"/proc/net/{table}").splitlines()[1:]:
            here, there, state = line.split()[1:4]
            port, peer = (int(address.rpartition(":")[2], 16) for address in (here, there))
            if state == _LISTENS or here.startswith(_RESOLVER):  # nobody is left here who could: it is the engine's
                continue
            if not low <= port <= high or peer not in dialled | {_DNS}:
                return f"a connection to its port {port} is still closing"
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # a kernel without it
