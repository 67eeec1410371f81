"""Sockets of another process: what kind they are, and connecting one in its place.

By a copy of it (pidfd_getfd, Linux 5.6). Where that is refused, as by Docker's default profile, by its name, and by one of ours that
takes its place: what the process has set on its own before it connects is lost then, but for whether it waits and is inherited.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
from pathlib import Path

from harness.egress.addresses import Address
from harness.egress.listener import Call, Listener

__all__ = ["connect_for", "kind_of", "process_of", "strange", "strange_at"]

_PIDFD_GETFD = 438
#: Of what is on this machine.
_CONNECT_SECONDS = 5.0
#: Protocols as the kernel names them (net/ipv4/tcp_ipv4.c and its like), of which sockets can be connected.
_PROTOCOLS = {
    "TCP": (socket.AF_INET, socket.SOCK_STREAM),
    "TCPv6": (socket.AF_INET6, socket.SOCK_STREAM),
    "UDP": (socket.AF_INET, socket.SOCK_DGRAM),
    "UDPv6": (socket.AF_INET6, socket.SOCK_DGRAM),
}
#: And of others whose addresses are looked at.
_JUDGED = (*_PROTOCOLS, "MPTCP", "MPTCPv6", "UDP-Lite", "UDPLITEv6", "PING", "PINGv6", "UNIX", "UNIX-STREAM", "NETLINK")
_SCTP = 132


def process_of(thread: int) -> int:
    """The process that a thread belongs to; the thread itself where it is gone."""
    try:
        lines = Path(f"/proc/{thread:d}/status").read_text(errors="replace").splitlines()
    except OSError:
        return thread
    return next((int(line.split()[1]) for line in lines if line.startswith("Tgid:")), thread)


def kind_of(process: int, descriptor: int) -> int | None:
    """SOCK_STREAM, …; None where it is no socket, or none that is known here."""
    found = _copy(process, descriptor)
    if found is None:
        named = _named(process, descriptor)
        return named[1] if named else None
    with found:
        return found.type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def strange(family: int, kind: int, protocol: int) -> Address:
    """In place of an address, for people: what such a socket is, by which packets leave that nobody sees connect."""
    if family in (socket.AF_INET, socket.AF_INET6):
        return (
            "SCTP socket" if protocol == _SCTP else "raw IP socket" if kind & 0xF == socket.SOCK_RAW else f"IP socket of kind {kind}"
        ), 0
    try:
        return f"{socket.AddressFamily(family).name} socket", 0
    except ValueError:
        return f"AF_{family} socket", 0


def strange_at(thread: int, descriptor: int) -> Address | None:
    """As `strange`; None where it is one whose addresses are looked at, or none at all."""
    try:
        name = os.getxattr(f"/proc/{thread:d}/fd/{descriptor:d}", "system.sockprotoname").rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return None
    return (f"{name} socket", 0) if name not in _JUDGED else None


def connect_for(listener: Listener, call: Call, process: int, descriptor: int, address: tuple[str, int]) -> int:
    """Connect its socket to an address of ours, as if it had asked for that; the errno that it has to be told, 0 for none.

    ``call``: of this process, that waits. A socket for IPv6 is connected by the address's mapped form, if it takes such (RFC 4291,
    2.5.5.2).
    """
    found = _copy(process, descriptor)
    if found is not None:
        with found:
            return _connected(found, address)
    named = _named(process, descriptor)
    if named is None:
        return errno.ECONNREFUSED
    flags = _flags(process, descriptor)
    with socket.socket(*named) as ours:
        if named[1] == socket.SOCK_STREAM:
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as most have set it on theirs
        ours.settimeout(_CONNECT_SECONDS)
        error = _connected(ours, address)
        ours.setblocking(not flags & os.O_NONBLOCK)
        if not error and not listener.put(call, descriptor, ours.fileno(), inheritable=not flags & os.O_CLOEXEC):
            return errno.ECONNREFUSED
    return error


def _connected(found: socket.socket, address: tuple[str, int]) -> int:
    host, port = address
    mapped = found.family == socket.AF_INET6
    return found.connect_ex((f"::ffff:{host}" if mapped else host, port))


def _named(process: int, descriptor: int) -> tuple[int, int] | None:
    """Family and kind, by the name of its protocol (net/socket.c, XATTR_NAME_SOCKPROTONAME)."""
    with contextlib.suppress(OSError):
        name = os.getxattr(f"/proc/{process:d}/fd/{descriptor:d}", "system.sockprotoname")
        return _PROTOCOLS.get(name.rstrip(b"\0").decode("ascii", "replace"))
    return None


def _flags(process: int, descriptor: int) -> int:
    """O_NONBLOCK, O_CLOEXEC, … of it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process:d}/fdinfo/{descriptor:d}").read_text().splitlines()
        return next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), 0)
    return 0


def _copy(process: int, descriptor: int) -> socket.socket | None:
    """The same socket under a descriptor of ours; closing it leaves it open there."""
    try:
        handle = os.pidfd_open(process)
    except OSError:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(*(ctypes.c_ulong(value) for value in (_PIDFD_GETFD, handle, descriptor, 0)))
    os.close(handle)
    if copy < 0:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:  # no socket at all
        os.close(copy)
        return None
