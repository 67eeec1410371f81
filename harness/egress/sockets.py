"""Sockets of another process: what kind they are, and connecting one in its place."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from pathlib import Path

__all__ = ["connect_for", "kind_of", "process_of"]

_PIDFD_GETFD = 438


def process_of(thread: int) -> int:
    """The process that a thread belongs to; the thread itself where it is gone."""
    try:
        lines = Path(f"/proc/{thread:d}/status").read_text(errors="replace").splitlines()
    except OSError:
        return thread
    return next((int(line.split()[1]) for line in lines if line.startswith("Tgid:")), thread)


def kind_of(process: int, descriptor: int) -> int | None:
    """SOCK_STREAM, …; None where the kernel does not let us have a copy of it (pidfd_getfd, Linux 5.6)."""
    found = _copy(process, descriptor)
    if found is None:
        return None
    with found:
        return found.type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def connect_for(process: int, descriptor: int, address: tuple[str, int]) -> int:
    """Connect its socket to an address of ours, as if it had asked for that; the errno that it has to be told, 0 for none.

    A socket for IPv6 is connected by the address's mapped form, if it takes such (RFC 4291, 2.5.5.2).
    """
    found = _copy(process, descriptor)
    if found is None:
        return errno.ECONNREFUSED
    with found:
        host, port = address
        mapped = found.family == socket.AF_INET6
        return found.connect_ex((f"::ffff:{host}" if mapped else host, port))


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
