"""What a descriptor or a path of the task leads to: a service, a file that others can see, or nothing that anybody else can."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import posixpath
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.egress.addresses import Address, address_of, normal
from harness.egress.sockets import kind_of, strange_at
from harness.explore.proc import link, numbers
from harness.model.masks import SUPER_JOURNAL

__all__ = ["Address", "Target", "Targets", "address_of", "normal"]

#: Nobody else sees these, or what is written there stays nowhere.
_UNSEEN_PREFIXES = ("pipe:", "anon_inode:", "/memfd:", "/proc/", "/dev/pts/", "/dev/fd/")
_UNSEEN_FILES = frozenset(f"/dev/{name}" for name in ["null", "zero", "full", "tty", "ptmx", "random", "urandom", "stdout", "stderr"])
_DELETED = " (deleted)"
#: Other names of what a process has open, and of where it is.
_BY_NUMBER = re.compile(r"^/dev/fd/(\d+)(?=/|$)")
_BY_PROCESS = re.compile(r"^/proc/(self|thread-self|\d+)(?:/task/\d+)?/(fd/\d+|cwd|root)(/.*|)$")
#: As the kernel shows a file that was made by O_TMPFILE.
_NAMELESS = re.compile(r"/#\d+$")


@dataclass(frozen=True, slots=True)
class Target:
    """``kind``: net, file, other; '' where nobody else can notice. ``service``: '' where the scenario declares none."""

    kind: str
    service: str
    name: str  # of a file: its path below the service's folder, or the whole path
    peer: Address | None = None

    def __str__(self) -> str:
        return f"{self.service}: {self.name}" if self.service and self.name else self.service or self.name


_UNSEEN = Target("", "", "")


class Targets:
    """``services``: address -> name. ``folders``: folder -> name. ``log``: the app's own output, which is no effect.

    ``unseen``: folders of the harness's own, in which nothing is.
    """

    def __init__(self, services: Mapping[Address, str], folders: Mapping[Path, str], log: Path, unseen: Sequence[Path] = ()) -> None:
        self._services = {(normal(host), port): name for (host, port), name in services.items()}
        pairs = [(text, name) for path, name in folders.items() for text in {str(path), str(path.resolve())}]
        self._folders = sorted(pairs, key=lambda pair: -len(pair[0]))
        self._logs = {str(log), str(log.resolve())}
        self._unseen = tuple(f"{text}/" for path in unseen for text in {str(path), str(path.resolve())})
        self._files: dict[str, Target] = {}
        self._sockets: dict[str, Target] = {}

    def forget_sockets(self) -> None:
        """The process is gone; numbers of sockets may be used again."""
        self._sockets.clear()

    def of_descriptor(self, thread: int, descriptor: int) -> tuple[Target, str]:
        """And a name that stays the connection's own."""
        try:
            text = link(f"/proc/{thread}/fd/{descriptor}")
        except OSError:
            return _UNSEEN, ""  # not open: the call will fail
        if not text.startswith("socket:"):
            return self._open_file(thread, descriptor, text) if text.endswith(_DELETED) else self.of_file(text), text
        found = self._sockets.get(text)
        if found is None:
            found = self._unconnected(thread, descriptor, text[8:-1])
            if found.peer is not None or not found.kind:
                self._sockets[text] = found
        return found, text

    def _open_file(self, thread: int, descriptor: int, text: str) -> Target:
        """Of a file whose name is gone. It may have another one; and some are called so."""
        try:
            found = os.stat(f"/proc/{thread}/fd/{descriptor}")  # noqa: PTH116 (asked at stops)
            if found.st_nlink == 0:
                return _UNSEEN
            if os.path.lexists(text) and os.path.samestat(os.lstat(text), found):
                return self.of_file(text)
            return self.of_file(self._other_name(found) or _NAMELESS.sub("/a file without a name", text[: -len(_DELETED)]))
        except OSError:
            return _UNSEEN  # not open any more: the call will fail

    def _other_name(self, wanted: os.stat_result) -> str:
        """In the services' folders; '' where it is elsewhere."""
        for folder, _ in self._folders:
            for where, _, names in os.walk(folder):
                for path in (posixpath.join(where, name) for name in sorted(names)):
                    with contextlib.suppress(OSError):
                        if os.path.samestat(os.lstat(path), wanted):
                            return path
        return ""

    def of_file(self, path: str) -> Target:
        """By its absolute path."""
        found = self._files.get(path)
        if found is None:
            found = self._files[path] = self._file(path)
        return found

    def _file(self, path: str) -> Target:
        if path.startswith(_UNSEEN_PREFIXES) or path in _UNSEEN_FILES or path in self._logs:
            return _UNSEEN
        if self._unseen and path.startswith(self._unseen):
            return _UNSEEN
        return self._of_a_service(path) or self._of_a_service(_without_links(path)) or Target("other", "", path)

    def _of_a_service(self, path: str) -> Target | None:
        database = SUPER_JOURNAL.sub("", path)
        for folder, service in self._folders:
            if folder in (path, database) or path.startswith(folder + "/"):
                return Target("file", service, posixpath.basename(path) if folder == database else path[len(folder) + 1 :])
        return None

    def absolute(self, thread: int, descriptor: int | None, path: str) -> str:
        """A path as the task means it. ``descriptor``: of the folder that it is relative to; None: the working folder."""
        if path.startswith("/"):
            return _behind(thread, posixpath.normpath(path) if "/." in path or "//" in path else path)
        folder = "cwd" if descriptor is None else f"fd/{descriptor}"
        try:
            base = link(f"/proc/{thread}/{folder}")
        except OSError:
            base = "/"
        return _behind(thread, posixpath.normpath(posixpath.join(base, path)) if path else base)

    # --- connections -------------------------------------------------------------------------------------------------

    def service_at(self, address: Address) -> str:
        """'' where none is declared there."""
        return self._services.get((normal(address[0]), address[1]), "")

    def connected(self, thread: int, descriptor: int, address: Address) -> None:
        """What is sent there from here on goes to this address."""
        with contextlib.suppress(OSError):
            self._sockets[link(f"/proc/{thread}/fd/{descriptor}")] = self.of_peer(address)

    def inward(self, thread: int, descriptor: int) -> None:
        """It is connected to another process of the task."""
        with contextlib.suppress(OSError):
            self._sockets[link(f"/proc/{thread}/fd/{descriptor}")] = _UNSEEN

    def for_datagrams(self, process: int, descriptor: int) -> bool:
        """Is it a socket whose `connect` sends nothing? The C library connects such ones to sort addresses."""
        return kind_of(process, descriptor) == socket.SOCK_DGRAM

    def of_peer(self, address: Address) -> Target:
        """Of an address."""
        return Target("net", self.service_at(address), "", (normal(address[0]), address[1]))

    def _unconnected(self, thread: int, descriptor: int, inode: str) -> Target:
        """A socket that the task did not connect: one of a pair, one that it has accepted, or one for datagrams."""
        for table in ("unix", "netlink"):
            if any(inode in line.split() for line in _table(thread, table)):
                return _UNSEEN
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in _table(thread, table):
                fields = line.split()
                if len(fields) > 9 and fields[9] == inode:
                    peer = _from_table(fields[2])
                    return self.of_peer(peer) if peer[1] else Target("net", "", "")
        if (strange := strange_at(thread, descriptor)) is not None:
            return Target("net", "", "", strange)
        return Target("net", "", "")

    def own_listener(self, processes: list[int], address: Address) -> bool:
        """Does one of the task's own processes listen there (a manager of multiprocessing)?"""
        if not processes:
            return False
        wanted: set[str] = set()
        for line in _table(processes[0], "unix"):
            fields = line.split()
            if len(fields) > 7 and f"unix:{fields[7]}" == address[0]:
                wanted.add(fields[6])
        for table in ("tcp", "tcp6"):
            for line in _table(processes[0], table):
                fields = line.split()
                if len(fields) > 9 and fields[3] == "0A" and _from_table(fields[1])[1] == address[1]:
                    wanted.add(fields[9])
        return any(f"socket:[{inode}]" in _descriptors(process) for inode in wanted for process in processes)


def _without_links(path: str) -> str:
    """Where it really is; a link that it names itself stays one."""
    return posixpath.join(os.path.realpath(posixpath.dirname(path)), posixpath.basename(path))


def _behind(thread: int, path: str) -> str:
    """What such a path leads to where it names an open file or a folder of a process. The path itself where that has no name."""
    if not path.startswith(("/proc/", "/dev/fd/")):
        return path
    found = _BY_PROCESS.match(_BY_NUMBER.sub(r"/proc/self/fd/\1", path))
    if found is None:
        return path
    whose, what, rest = found.groups()
    try:
        text = link(f"/proc/{thread if whose in ('self', 'thread-self') else whose}/{what}")
    except OSError:
        return path  # not open: the call will fail
    return posixpath.normpath(text.rstrip("/") + (rest or "/")) if text.startswith("/") and not text.endswith(_DELETED) else path


def _table(thread: int, name: str) -> list[str]:
    try:
        return Path(f"/proc/{thread}/net/{name}").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return []


def _descriptors(process: int) -> set[str]:
    found = set()
    for entry in numbers(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            found.add(link(f"/proc/{process}/fd/{entry}"))
    return found


def _from_table(text: str) -> Address:
    """``0100007F:1F90`` as /proc/net has it: words in the machine's order, which is little-endian here."""
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(host), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
