"""Ports for servers of tests."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_OWN = random.SystemRandom()  # tests seed the common one
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A loopback port where nobody listens, below those that the kernel gives away: no connection that is made until it is bound takes it,
    nor does a server that asks for any port.
    """
    last = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    while True:
        port = _OWN.randrange(10_000, max(last, 20_000))
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
