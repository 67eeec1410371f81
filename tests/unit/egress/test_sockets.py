"""What kind a socket is, also where the kernel lets nobody have a copy of it."""

from __future__ import annotations

import os
import socket

import pytest

from harness.egress import sockets

KINDS = [
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET6, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM),
    (socket.AF_INET6, socket.SOCK_DGRAM),
]


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_its_kind(family: int, kind: int, copies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not copies:
        monkeypatch.setattr(sockets, "_copy", lambda *_: None)
    with socket.socket(family, kind | socket.SOCK_NONBLOCK) as one:
        assert sockets.kind_of(os.getpid(), one.fileno()) == kind
        assert sockets._named(os.getpid(), one.fileno()) == (family, kind)
        assert sockets._flags(os.getpid(), one.fileno()) & (os.O_NONBLOCK | os.O_CLOEXEC) == os.O_NONBLOCK | os.O_CLOEXEC


def test_what_is_no_socket_has_none() -> None:
    read, write = os.pipe()
    try:
        assert sockets.kind_of(os.getpid(), read) is None and sockets._named(os.getpid(), read) is None
    finally:
        os.close(read)
        os.close(write)
