"""Hosts that a service of the scenario stands for: the app's own URLs lead there, unchanged.

Each such host has an address of its own below 127.83, where nobody listens; a connection to it at a declared port goes to the
service. So whatever a client makes of an answer (an address with or without its port), it ends at the right one.
"""

from __future__ import annotations

import _socket
import socket
from typing import Any, Callable, Mapping, Sequence, Tuple

__all__ = ["Names"]

_Address = Tuple[str, int]


class Names:
    """``entries``: as the settings have them (docs/journal.md): host, port, at (its address below 127.83), to ([host, port])."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._addresses: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        self._leads: dict[_Address, _Address] = {}
        for entry in entries:
            host, at = str(entry["host"]), str(entry["at"])
            to_host, to_port = entry["to"]
            self._addresses[host], self._hosts[at] = at, host
            self._leads[at, int(entry["port"])] = (str(to_host), int(to_port))

    def called(self, host: str) -> str:
        """The name behind an address of ours; anything else as it is."""
        return self._hosts.get(host, host)

    def install(self) -> None:
        """For what goes through Python's socket module. Nothing is replaced where there is nothing to lead."""
        if not self._leads:
            return
        self._resolve()
        for name in ("connect", "connect_ex"):
            setattr(socket.socket, name, self._leading(getattr(socket.socket, name)))

    def _at(self, host: Any) -> str | None:
        text = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
        return self._addresses.get(text.lower().rstrip(".")) if isinstance(text, str) else None

    def _resolve(self) -> None:
        ask = _socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            at = self._at(host)
            if at is None:
                return ask(host, *arguments, **options)
            # A number is no question to anybody; ports by name, families and errors are the C library's.
            return [(*answer[:3], host if answer[3] else "", answer[4]) for answer in ask(at, *arguments, **options)]

        _socket.getaddrinfo = getaddrinfo
        for module in (socket, _socket):
            for name, several in (("gethostbyname", False), ("gethostbyname_ex", True)):
                setattr(module, name, self._by_name(getattr(module, name), several))

    def _by_name(self, ask: Callable[[Any], Any], several: bool) -> Callable[[Any], Any]:
        def gethostbyname(host: Any) -> Any:
            at = self._at(host)
            if at is None:
                return ask(host)
            return (host, [], [at]) if several else at

        return gethostbyname

    def _leading(self, connect: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def connect_there(sock: socket.socket, address: Any) -> Any:
            if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM and isinstance(address, tuple) and len(address) == 2:
                host, port = address
                address = self._leads.get((self._at(host) or host, port), address)
            return connect(sock, address)

        return connect_there
