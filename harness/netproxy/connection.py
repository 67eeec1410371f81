"""One accepted client and its upstream: two sockets, and a lane each way."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from harness.netproxy.addresses import parted
from harness.netproxy.lane import Lane
from harness.netproxy.metrics import Counter

if TYPE_CHECKING:
    from harness.netproxy.proxy import Proxy

__all__ = ["Connection", "Side"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Side(asyncio.Protocol):
    """One socket: the source of lane ``out``, the target of lane ``into``. Until both exist, what comes is kept."""

    transport: asyncio.Transport
    out: Lane
    into: Lane

    def __init__(self, made: Callable[["Side"], None], lost: Callable[[], None]) -> None:
        self._made = made
        self._lost = lost
        self._early: list[bytes] = []
        self._reading = True
        self._ended = False
        self.linked = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; nothing is read before there is somewhere to put it."""
        self.transport = cast(asyncio.Transport, transport)
        self.read_on(False)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Before there is somewhere to put it; `choose` sets what happens to all later bytes."""
        self._early.append(data)

    def eof_received(self) -> bool:
        """The other end sends nothing more. The socket stays open for what goes there."""
        self._ended = True
        if self.linked:
            self.out.source_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._ended = True
        if self.linked:
            self.into.target_lost()
            self.out.source_ended()
        self._lost()

    def pause_writing(self) -> None:
        """The other end does not keep up."""
        if self.linked:
            self.into.target_full()

    def resume_writing(self) -> None:
        """The other end has caught up."""
        if self.linked:
            self.into.target_drained()

    # What lanes call.

    def link(self, out: Lane, into: Lane) -> None:
        """The lanes are there."""
        self.out, self.into, self.linked = out, into, True
        self.choose()

    def flow(self) -> None:
        """Begin: what came early first."""
        for data in self._early:
            self.data_received(data)
        self._early = []
        if self.transport.is_closing():
            self.into.target_lost()
        self.read_on(True)
        if self._ended:
            self.out.source_ended()

    def choose(self) -> None:
        """The way that bytes take from now on: from socket to socket in one call, or through the lane's stages."""
        if not self.linked:
            return
        lane = self.out
        way = lane.arrive if lane.stages or lane.deaf else _straight(lane.counter, lane.write)
        self.data_received = way  # type: ignore[method-assign, assignment]

    def read_on(self, wanted: bool) -> None:
        """Read, or let the sender wait."""
        if wanted == self._reading or self._ended or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def write(self, data: bytes | memoryview) -> None:
        """To the socket, or behind what waits for it."""
        self.transport.write(data)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the socket."""
        return self.transport.get_write_buffer_size()

    def close(self) -> None:
        """Close once everything written is out."""
        self.transport.close()

    def abort(self) -> None:
        """Close now."""
        if self.linked and not self.transport.is_closing():
            self.into.counter.sent -= self.unsent
        self.transport.abort()

    def reset_on_close(self) -> None:
        """Whenever it closes, the other end sees a reset (RST) and loses what has not arrived."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _straight(counter: Counter, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The hot path: everything that it needs at hand."""

    def received(data: bytes) -> None:
        size = len(data)
        counter.received += size
        counter.sent += size
        write(data)

    return received


class Connection:
    """The ``number``-th client of ``proxy``: accepted first, then connected to the upstream, as Toxiproxy does."""

    def __init__(self, proxy: "Proxy", number: int) -> None:
        self.proxy = proxy
        self.number = number
        self.client = Side(self._accepted, self._side_lost)
        self.server: Side | None = None
        self.lanes: dict[str, Lane] = {}
        self._dialling: asyncio.Task[None] | None = None

    def cut(self) -> None:
        """Close both sockets now; what is under way is lost."""
        if self._dialling is not None:
            self._dialling.cancel()
        for side in (self.client, self.server):
            if side is not None:
                side.abort()

    def unsent(self, counter: Counter) -> int:
        """Bytes counted there which still wait for a socket."""
        return sum(lane.target.unsent for lane in self.lanes.values() if lane.counter is counter)

    def _accepted(self, client: Side) -> None:
        if not self.proxy.admits(self):
            client.abort()
            return
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            host, port = parted(self.proxy.upstream)
            _, server = await asyncio.get_running_loop().create_connection(
                lambda: Side(lambda side: None, self._side_lost), host or "localhost", port
            )
        except (OSError, ValueError) as error:
            self.proxy.unreachable(error)
            self.client.close()
            return
        self._open(server)

    def _open(self, server: Side) -> None:
        self.server, client, label = server, self.client, f"{self.proxy.seed}/{self.proxy.name}/{self.number}"
        for stream, source, target in (("upstream", client, server), ("downstream", server, client)):
            self.lanes[stream] = Lane(source, target, self.proxy.counter(stream), f"{label}/{stream}")
        if any(setting.kind.closes_by_reset for chain in self.proxy.chains.values() for setting in chain):
            client.reset_on_close()
            server.reset_on_close()
        client.link(self.lanes["upstream"], self.lanes["downstream"])
        server.link(self.lanes["downstream"], self.lanes["upstream"])
        for stream, lane in self.lanes.items():
            lane.furnish(self.proxy.chains[stream])
        client.flow()
        server.flow()

    def _side_lost(self) -> None:
        sides = [side for side in (self.client, self.server) if side is not None]
        if all(side.transport.is_closing() for side in sides):
            self.proxy.forget(self)
