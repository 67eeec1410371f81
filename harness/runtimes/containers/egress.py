"""What a scenario's `egress` opens on a network that leads nowhere: one way out per host, to the ports that it names and no others.

A way out is a Toxiproxy of its own, which answers to the host's name in the run's network and stands in the engine's default bridge
as well. It leads to the address that this process has found: asked from inside, the engine's name server would name the way out itself.
Hosts do not share one, since they may want the same port.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from harness.errors import EnvironmentFault, ScenarioError

__all__ = ["USUAL_PORTS", "Exit", "exits"]

#: Of a host without a port.
USUAL_PORTS = (443, 80)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HINT = "such as api.example.com (ports 443 and 80) or api.example.com:8443"


@dataclass(frozen=True, slots=True)
class Exit:
    """One host: its name as the app says it, the ports that are open, and its address as this machine found it."""

    host: str
    ports: tuple[int, ...]
    address: str

    @property
    def entries(self) -> tuple[str, ...]:
        """'host:port' each, as the agent's guard takes them."""
        return tuple(f"{self.host}:{port}" for port in self.ports)


def exits(entries: Sequence[str], ours: Collection[str], where: Callable[[int], str]) -> list[Exit]:
    """One per host, in the order of the file. ``ours``: names in the run's network; ``where``: the place of the n-th entry in the file.

    ScenarioError for what cannot be a way out of a container, EnvironmentFault for a name that leads nowhere.
    """
    ports: dict[str, list[int]] = {}
    places: dict[str, str] = {}
    for number, entry in enumerate(entries):
        host, wanted = _parsed(entry, where(number))
        if host in ours:
            raise ScenarioError(
                f"egress: `{host}` is a part of this system, which needs no way out", where=where(number), hint="leave it out"
            )
        places.setdefault(host, where(number))
        ports.setdefault(host, []).extend(port for port in wanted if port not in ports.get(host, ()))
    return [Exit(host, tuple(wanted), _address(host, places[host])) for host, wanted in ports.items()]


def _parsed(entry: str, place: str) -> tuple[str, tuple[int, ...]]:
    text = entry.strip().lower()
    if _is_address(text) or _is_address(text.rpartition(":")[0]):
        what = f"egress: {entry} is an address, and containers go out by name: the run's network leads to no address outside"
        raise ScenarioError(what, where=place, hint="name the host as the app does, or use `--runtime processes`")
    host, colon, port = text.partition(":")
    host = host.rstrip(".")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ScenarioError(f"egress: `{port}` in {entry} is no port", where=place, hint=_HINT)
    if not host or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ScenarioError(f"egress: `{entry}` is not a host's name", where=place, hint=_HINT)
    return host, (int(port),) if colon else USUAL_PORTS


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _address(host: str, place: str) -> str:
    """The first one: the engine's default bridge speaks IPv4."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        what = f"egress: {host} has no IPv4 address that this machine can find: {reason}"
        raise EnvironmentFault(what, where=place, hint="is the name right, and does this machine reach its name server?") from exc
    address = str(found[0][4][0])
    if ipaddress.ip_address(address).is_loopback:
        what = f"egress: {host} is {address}, which inside a container is the container itself"
        hint = "make it a service of the scenario, or use `--runtime processes`"
        raise ScenarioError(what, where=place, hint=hint)
    return address
