"""Servers between two systems: handed on only where it is certain that nothing of the one before can be seen by the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.errors import HarnessError
from harness.ports.broker import Endpoint, RenewsLogins
from harness.runtimes.shared.credentials import fresh_endpoint
from harness.runtimes.shared.hosting import ServerHandle, ServerSpec

__all__ = ["Lasting", "Lease", "ServerPool"]


@runtime_checkable
class Lasting(Protocol):
    """A server handle that can change hands."""

    def hand_over(self, log: Path) -> None:
        """To the next run: from now on what it writes goes to ``log``, and `processes` are those of this run alone."""

    def set_aside(self) -> None:
        """Out of its run's hands: the log is complete, and nobody finds it under its name until it is handed over."""


@dataclass(frozen=True, slots=True)
class _Sort:
    """Servers of one sort can take each other's place. ``origin``: the program or the image that it was made of."""

    kind: str
    name: str
    role: str
    persistence: bool
    origin: str


def _sort(spec: ServerSpec, origin: str) -> _Sort:
    return _Sort(spec.kind.kind, spec.name, spec.role, spec.persistence, origin)


class ServerPool:
    """One server of each sort at most. Those that the next system does not want are removed, so that it finds none but its own."""

    def __init__(self) -> None:
        self._waiting: dict[_Sort, ServerHandle] = {}

    def take(self, spec: ServerSpec, origin: str, log: Path) -> ServerHandle | None:
        """A running one, empty, with logins that nobody knows yet. None: there is none of this sort, or its state is not certain."""
        server = self._waiting.pop(_sort(spec, origin), None)
        if server is None:
            return None
        try:
            assert isinstance(server, Lasting)
            server.hand_over(log)
            if _made_new(server):
                return server
        except HarnessError:
            pass
        server.remove()
        return None

    def give(self, server: ServerHandle, origin: str) -> bool:
        """May it wait for the next system? Only an answering one of a kind that can take everything back."""
        sort = _sort(server.spec, origin)
        fit = isinstance(server, Lasting) and isinstance(server.spec.kind, RenewsLogins) and not server.spec.tls
        if not fit or sort in self._waiting or not server.answers():
            return False
        assert isinstance(server, Lasting)
        server.set_aside()
        self._waiting[sort] = server
        return True

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Remove those whose name is not ``wanted``."""
        for sort, server in list(self._waiting.items()):
            if not wanted(sort.name):
                del self._waiting[sort]
                server.remove()

    def close(self) -> None:
        """Remove those that nobody took; also used once a system has all of its own."""
        self.keep_only(lambda name: False)


def _made_new(server: ServerHandle) -> bool:
    """New logins first, then everything is thrown away and every client cut off: nobody who was cut off comes back."""
    kind = server.spec.kind
    end: Endpoint = replace(server.endpoint, logins=fresh_endpoint(server.spec).logins)
    if not isinstance(kind, RenewsLogins) or not server.answers() or not kind.renew(end):
        return False
    server.endpoint = end
    return kind.reset(end)


class Lease:
    """What one system has of a pool. ``pool`` None: nothing is taken and nothing goes back."""

    def __init__(self, pool: ServerPool | None) -> None:
        self._pool = pool
        self._origins: dict[int, str] = {}
        self._taken: set[int] = set()
        self._touched: set[str] = set()

    def touch(self, part: str) -> None:
        """A fault had this server stopped, killed or paused: it does not go back."""
        self._touched.add(part)

    def was_touched(self, part: str) -> bool:
        """Has a fault had it?"""
        return part in self._touched

    def take(self, spec: ServerSpec, origin: str, log: Path) -> ServerHandle | None:
        """See `ServerPool.take`."""
        server = self._pool.take(spec, origin, log) if self._pool is not None and not spec.tls else None
        if server is not None:
            self._origins[id(server)] = origin
            self._taken.add(id(server))
        return server

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Those that wait under a name that is not ``wanted`` go now: whoever is found under it later must be another."""
        if self._pool is not None:
            self._pool.keep_only(wanted)

    def took(self, server: ServerHandle) -> bool:
        """Was it there before this system?"""
        return id(server) in self._taken

    def made(self, server: ServerHandle, origin: str) -> None:
        """This one was started by the system itself; it may go back as well."""
        self._origins[id(server)] = origin

    def complete(self) -> None:
        """The system has all of its servers: none of before is needed."""
        if self._pool is not None:
            self._pool.close()

    def give_back(self, server: ServerHandle, *, sound: bool) -> bool:
        """False: the caller has to remove it. ``sound``: the run came to its end, and every process that had its logins is dead."""
        origin = self._origins.pop(id(server), None)
        if self._pool is None or not sound or origin is None or server.spec.name in self._touched:
            return False
        try:
            return self._pool.give(server, origin)
        except HarnessError:
            return False
