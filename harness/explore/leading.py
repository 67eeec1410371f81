"""Hosts that services of the scenario stand for, as a task finds them, whichever library asks for a name or connects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.egress.addresses import Address
from harness.egress.listener import Call, Listener
from harness.egress.name_server import NameServer
from harness.egress.sockets import connect_for, kind_of
from harness.egress.ways import Ways

__all__ = ["Leading"]

_DNS = 53


class Leading:
    """``names``: as `Launch` has them. ``unknown`` is told of each name that was asked for and is nobody's; whoever watches sets it."""

    def __init__(self, names: Sequence[Mapping[str, Any]]) -> None:
        self._ways = Ways({"names": names})
        self.unknown: Callable[[str], None] = lambda name: None
        self.server = NameServer(self._ways.answer, lambda name: self.unknown(name))

    def called(self, address: Address) -> Address:
        """With a host's name in place of the address that was made up for it."""
        return self._ways.called(address)

    def connect(self, listener: Listener, call: Call, process: int, descriptor: int, address: Address) -> tuple[int, Address | None] | None:
        """Connect its socket to what the address stands for: (errno, service; None: our name server). None: it stands for nothing.

        ``call``: of ``process``, that waits at ``listener``.
        """
        kind = kind_of(process, descriptor)
        if kind == socket.SOCK_DGRAM and address[1] == _DNS:
            return connect_for(listener, call, process, descriptor, self.server.address), None
        to = self._ways.leads_to(address) if kind == socket.SOCK_STREAM else None
        return (connect_for(listener, call, process, descriptor, to), to) if to is not None else None

    def close(self) -> None:
        """Nobody is answered any more."""
        self.server.close()
