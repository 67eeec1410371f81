"""A proxy: where it listens, where it leads, its toxics and its connections."""

from __future__ import annotations

import asyncio
import logging
import socket

from harness.netproxy.addresses import LOOPBACK, joined, parted
from harness.netproxy.connection import Connection, Side
from harness.netproxy.metrics import Counter, Counters
from harness.netproxy.refusals import Refusal
from harness.netproxy.toxics import Setting

__all__ = ["Proxy"]

_BACKLOG = 1024
_log = logging.getLogger(__name__)


class Proxy:
    """``listen`` is as given until it is enabled, then the address that it got. ``chains``: toxics per stream, in order."""

    def __init__(self, name: str, listen: str, upstream: str, *, seed: int, counters: Counters) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.seed = seed
        self.enabled = False
        self.chains: dict[str, list[Setting]] = {"upstream": [], "downstream": []}
        self.connections: set[Connection] = set()
        self._counters = counters
        self._server: asyncio.Server | None = None
        self._accepted = 0
        self._complaint = ""

    def shown(self) -> dict[str, object]:
        """As the HTTP API shows it."""
        toxics = [setting.shown() for chain in self.chains.values() for setting in chain]
        return {"name": self.name, "listen": self.listen, "upstream": self.upstream, "enabled": self.enabled, "toxics": toxics}

    # Listening.

    async def start(self) -> None:
        """Take connections; nothing to do where it does already. Refusal 500 where it cannot listen."""
        if self.enabled:
            return
        family, address = await _resolved(self.listen)
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(address)
            self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listener, backlog=_BACKLOG)
        except OSError as error:
            listener.close()
            raise Refusal(f"listen tcp {self.listen}: bind: {(error.strerror or str(error)).lower()}", 500) from None
        self.listen = joined(*listener.getsockname()[:2])
        self.enabled = True

    def stop(self) -> None:
        """Take none, and close those that there are."""
        self.enabled = False
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.cut()

    async def leads(self, listen: str, upstream: str) -> bool:
        """Does it listen and lead there already? Refusal 500 for an address that is none."""
        _, address = await _resolved(listen)
        return (self.listen, self.upstream) == (joined(*address), upstream)

    async def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """A change of address closes all connections, as does disabling."""
        if not await self.leads(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled:
            await self.start()
        else:
            self.stop()

    def _accept(self) -> Side:
        self._accepted += 1
        return Connection(self, self._accepted).client

    # Its connections.

    def admits(self, connection: Connection) -> bool:
        """Is it still taking them? One may have been accepted just before it was disabled."""
        if self.enabled:
            self.connections.add(connection)
        return self.enabled

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.connections.discard(connection)

    def unreachable(self, error: Exception) -> None:
        """The upstream did not answer: said once for as long as the reason is the same."""
        complaint = f"{type(error).__name__}: {error}"
        if complaint != self._complaint:
            _log.warning("proxy %s: no connection to %s: %s", self.name, self.upstream, complaint)
        self._complaint = complaint

    def counter(self, stream: str) -> Counter:
        """Bytes in this direction, for where it listens and leads now."""
        return self._counters.at((stream, self.name, self.listen, self.upstream))

    # Its toxics.

    def find(self, name: str) -> Setting | None:
        """The toxic of this name."""
        return next((setting for chain in self.chains.values() for setting in chain if setting.name == name), None)

    def add(self, setting: Setting) -> None:
        """At the end of its stream's chain, on new and open connections."""
        stream = setting.stream.lower()
        self.chains[stream].append(setting)
        for connection in list(self.connections):
            if connection.lanes:
                connection.lanes[stream].add(setting)

    def changed(self, setting: Setting) -> None:
        """It has new attributes or another toxicity."""
        stream = setting.stream.lower()
        index = self.chains[stream].index(setting)
        for connection in list(self.connections):
            if connection.lanes:
                connection.lanes[stream].change(index)

    def remove(self, setting: Setting) -> None:
        """Out of the chain."""
        stream = setting.stream.lower()
        index = self.chains[stream].index(setting)
        del self.chains[stream][index]
        for connection in list(self.connections):
            if connection.lanes:
                connection.lanes[stream].remove(index)

    def clear(self) -> None:
        """Without any toxic."""
        for chain in self.chains.values():
            while chain:
                self.remove(chain[0])


async def _resolved(listen: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Where a listening address leads, IPv4 first; without a host it is loopback."""
    try:
        host, port = parted(listen or f"{LOOPBACK}:0")
        found = await asyncio.get_running_loop().getaddrinfo(host or LOOPBACK, port, type=socket.SOCK_STREAM)
    except (ValueError, OSError) as error:
        raise Refusal(f"listen tcp: {error}", 500) from None
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))
