"""Where one process may go: addresses that are open, hosts that services stand for, and names that `egress` opens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.egress.addresses import LOOPBACK, Address, is_address, normal
from harness.egress.resolver import Resolver

__all__ = ["Ways"]


class Ways:
    """``settings``: of the agent in that process (docs/journal.md, "Settings"): allow, names, egress.

    ``resolver``: whom to ask for the names of `egress`; it begins at once, so that an answer is there when somebody connects.
    """

    def __init__(self, settings: Mapping[str, Any], resolver: Resolver | None = None) -> None:
        self._open: set[tuple[str, int | None]] = {(normal(str(host)), int(port)) for host, port in settings.get("allow") or ()}
        self._made_up: dict[str, str] = {}
        self._leads: dict[Address, Address] = {}
        self._hosts: dict[str, str] = {}
        for entry in settings.get("names") or ():
            host, at, to = str(entry["host"]), str(entry["at"]), entry["to"]
            self._made_up[host], self._hosts[at] = at, host
            self._leads[at, int(entry["port"])] = (str(to[0]), int(to[1]))
        entries = [_entry(str(text)) for text in settings.get("egress") or ()]
        self._open |= {(normal(host), only) for host, only in entries if is_address(host)}
        self._named = [(host, only) for host, only in entries if not is_address(host)]
        self._resolver = resolver or Resolver()
        for name, _ in self._named:
            self._resolver.begin(name)

    def is_open(self, address: Address) -> bool:
        """May it be connected to as it is? Waits, a second at most, where a name that may stand for it has no answer yet.

        A name whose answer is this machine itself opens the port that is written with it, never every port: name servers that block
        hosts answer so.
        """
        if self.stands_for_a_host(address[0]):
            return False
        host, port = normal(address[0]), address[1]
        if (host, port) in self._open or (host, None) in self._open:
            return True
        here = host == LOOPBACK
        names = [name for name, only in self._named if only == port or (only is None and not here)]
        return any(host in self._resolver.addresses(name, wait=not here) for name in names)

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
        """What a name server says, as IPv4 addresses; none: nobody has told us, or not yet. None: there is no such name."""
        host = name.lower().rstrip(".")
        if host in self._made_up:
            return [self._made_up[host]]
        if any(host == opened for opened, _ in self._named):
            return [address for address in sorted(self._resolver.addresses(host, wait=True)) if ":" not in address]
        return ["127.0.0.1"] if host == "localhost" else None


def _entry(text: str) -> tuple[str, int | None]:
    """As the agent's guard reads it: api.example.com:443, or a host alone."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]").lower(), int(port)
    return text.strip("[]").lower(), None
