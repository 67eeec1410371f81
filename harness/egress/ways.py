"""Where one process may go: addresses that are open, hosts that services stand for, and names that `egress` opens."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.egress.addresses import Address, normal

__all__ = ["Ways"]

#: A name server that knows nothing may be slow to come up, and each question to it holds everybody up.
_AGAIN_SECONDS = 10.0


class Ways:
    """``settings``: of the agent in that process (docs/journal.md, "Settings"): allow, names, egress. ``ask``: name -> its addresses."""

    def __init__(self, settings: Mapping[str, Any], ask: Callable[[str], Iterable[str]] | None = None) -> None:
        self._open = {(normal(str(host)), int(port)) for host, port in settings.get("allow") or ()}
        self._made_up: dict[str, str] = {}
        self._leads: dict[Address, Address] = {}
        self._hosts: dict[str, str] = {}
        for entry in settings.get("names") or ():
            host, at, to = str(entry["host"]), str(entry["at"]), entry["to"]
            self._made_up[host], self._hosts[at] = at, host
            self._leads[at, int(entry["port"])] = (str(to[0]), int(to[1]))
        self._egress = [_entry(str(text)) for text in settings.get("egress") or ()]
        self._ask = ask or _addresses_of
        self._found: dict[str, tuple[set[str], float]] = {}  # name -> addresses, and until when that holds

    def is_open(self, address: Address) -> bool:
        """May it be connected to as it is?"""
        host, port = normal(address[0]), address[1]
        if (host, port) in self._open:
            return True
        return any(only in (None, port) and host in self._addresses(name) for name, only in self._egress)

    def leads_to(self, address: Address) -> Address | None:
        """The service behind a host's own address."""
        return self._leads.get(address)

    def stands_for_a_host(self, address: str) -> bool:
        """Is it such an address, whatever the port?"""
        return address in self._hosts

    def called(self, address: Address) -> Address:
        """With the host's name in place of an address that was made up for it."""
        return self._hosts.get(address[0], address[0]), address[1]

    def answer(self, name: str) -> list[str] | None:
        """What a name server says, as IPv4 addresses; None: there is no such name."""
        host = name.lower().rstrip(".")
        if host in self._made_up:
            return [self._made_up[host]]
        if any(host == opened for opened, _ in self._egress):
            return [address for address in sorted(self._addresses(host)) if ":" not in address]
        return ["127.0.0.1"] if host == "localhost" else None

    def _addresses(self, name: str) -> set[str]:
        found, until = self._found.get(name, (set[str](), 0.0))
        if not found and time.monotonic() >= until:
            found = {normal(address) for address in self._ask(name)}
            self._found[name] = (found, time.monotonic() + _AGAIN_SECONDS)
        return found


def _entry(text: str) -> tuple[str, int | None]:
    """As the agent's guard reads it: api.example.com:443, or a host alone."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]").lower(), int(port)
    return text.strip("[]").lower(), None


def _addresses_of(name: str) -> Iterable[str]:
    with contextlib.suppress(OSError, UnicodeError):
        return [str(answer[4][0]) for answer in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []
