"""Addresses as the kernel is given them, and as people write them."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

__all__ = ["LOOPBACK", "NAME_SERVICES", "Address", "address_of", "is_address", "normal", "written"]

#: (host, port); of a unix socket ("unix:/path", 0).
Address = tuple[str, int]
#: Daemons that C libraries ask by themselves, for names and unique numbers; they go on without, and ask a name server.
NAME_SERVICES = (
    "unix:/var/run/nscd/",
    "unix:/run/nscd/",
    "unix:/run/systemd/resolve/",
    "unix:/run/systemd/userdb/",
    "unix:/var/lib/sss/",
    "unix:/run/uuidd/",
    "unix:/var/run/uuidd/",
)
#: What `normal` makes of each address of this machine alone.
LOOPBACK = "127.0.0.1"
_AF_NETLINK = 16


def address_of(data: bytes) -> Address | None:
    """Of a struct sockaddr. None: it has no address that could be judged (AF_UNSPEC, netlink)."""
    if len(data) < 2:
        return None
    (family,) = struct.unpack_from("=H", data)
    if family == socket.AF_INET and len(data) >= 8:
        return str(ipaddress.ip_address(data[4:8])), int.from_bytes(data[2:4], "big")
    if family == socket.AF_INET6 and len(data) >= 24:
        return str(ipaddress.ip_address(data[8:24])), int.from_bytes(data[2:4], "big")
    if family == socket.AF_UNIX:
        raw = data[2:]
        name = b"@" + raw[1:] if raw[:1] == b"\0" else raw.partition(b"\0")[0]
        return f"unix:{os.fsdecode(name)}", 0
    if family in (socket.AF_UNSPEC, _AF_NETLINK):
        return None
    return f"address family {family}", 0


def normal(host: str) -> str:
    """One spelling per host; all of loopback is one, as the agent's guard has it."""
    if host in ("localhost", ""):
        return LOOPBACK
    address = _parsed(host)
    if address is None:
        return host
    return LOOPBACK if address.is_loopback else str(address)


def is_address(host: str) -> bool:
    """Does it need no name server?"""
    return host == "localhost" or _parsed(host) is not None


def written(address: Address) -> str:
    """``127.0.0.1:80``, ``[::1]:80``; a name server's with a word beside it."""
    host, port = str(_parsed(address[0]) or address[0]), address[1]
    text = host if not port else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{text} (DNS)" if port == 53 else text


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address that is written as one of IPv6 is what it is; None: a name, or a socket's path."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
