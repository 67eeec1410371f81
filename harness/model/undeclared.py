"""Connections that were refused, in words: who asked for them, and the declaration that would let them happen."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

__all__ = ["declaration", "undeclared_services"]

#: Port -> the kind of service that usually listens there.
_KINDS = {25: "smtp", 465: "smtp", 587: "smtp", 5432: "postgres", 6379: "redis"}
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
#: As those are told that have no address.
_SOCKET = re.compile(r"[\w -]+ socket(?: \(|$)")


def undeclared_services(refused: Iterable[str]) -> list[str]:
    """A sentence per service. ``refused``: "host:port", or "host:port (file:line function)", which is told in place of the former."""
    found = sorted(set(refused))
    best = [one for one in found if not any(other.startswith(f"{one} (") for other in found)]
    return [f"undeclared service, connection refused: {one}; {declaration(one)}" for one in best]


def declaration(refused: str) -> str:
    """What to write into the scenario, so that it reaches a stub."""
    if _SOCKET.match(refused):
        return "nothing can be declared for a socket whose packets nobody sees leave"
    host, port = _host_and_port(refused.partition(" ")[0])
    if host.startswith("unix:"):
        return "nothing can be declared for a socket of this machine"
    name = "".join(part if part.isalnum() else "_" for part in host.removeprefix("api.").partition(".")[0].lower())
    if not name[:1].isalpha():
        name = _KINDS.get(port or 0, "service")
    if port in _KINDS:
        return f"declare it, `services: {{{name}: {_KINDS[port]}}}`, and give the app its address by `env`"
    if _is_address(host) or not _NAME.fullmatch(host):
        return "declare it under `services`, and give the app its address by `env`"
    url = f"http://{host}" if port == 80 else f"https://{host}" + (f":{port}" if port not in (None, 443) else "")
    return f'declare it: `services: {{{name}: {{http: {{hosts: ["{url}"]}}}}}}`'


def _host_and_port(address: str) -> tuple[str, int | None]:
    host, colon, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else (address, None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
