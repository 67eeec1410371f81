"""A proxy that gives no answer is given up after two tries; one that was only slow is not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from harness.errors import EnvironmentFault
from harness.netproxy import client
from harness.netproxy.client import Proxies


class Moody:
    """Takes connections and answers `GET /version`; or says nothing while it is ``frozen``."""

    def __init__(self) -> None:
        self.frozen = True
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            if self.frozen:
                self._kept.append(peer)
                continue
            with peer:
                peer.recv(4096)
                peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{"version": "2.12.0"}')

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a second time
            self._listener.shutdown(socket.SHUT_RDWR)
        for end in [self._listener, *self._kept]:
            end.close()


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moody]:
    monkeypatch.setattr(client, "_IMPATIENT", 0.1)
    monkeypatch.setattr(client, "_LAST_CHANCE", 0.3)
    made = Moody()
    yield made
    made.close()


def test_one_that_hangs_is_given_up_after_two_tries(moody: Moody) -> None:
    proxies = Proxies("127.0.0.1", moody.port, timeout=0.5, last_lines=lambda: ("its last word",))
    proxies.check()
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"hangs: asked to say its version, it gave no answer within 0\.5 s"):
        proxies.version()
    with pytest.raises(EnvironmentFault, match=r"no answer within 0\.1 s"):
        proxies.reset()
    with pytest.raises(EnvironmentFault, match=r"within 0\.5 s; its last lines:\n  its last word"):
        proxies.check()
    assert time.monotonic() - began < 5.0


def test_one_that_was_slow_once_goes_on_with_all_its_time(moody: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = Proxies("127.0.0.1", moody.port, timeout=0.5)
    with pytest.raises(EnvironmentFault, match="hangs"):
        proxies.version()
    moody.frozen = False
    proxies.timeout = 5.0
    monkeypatch.setattr(client, "_LAST_CHANCE", 5.0)
    proxies.check()
    assert proxies.silence is None and proxies.ready()


def test_one_that_is_gone_does_not_hang(moody: Moody) -> None:
    """Whose end that is, its process or its container tells."""
    proxies = Proxies("127.0.0.1", moody.port, timeout=0.5)
    with pytest.raises(EnvironmentFault, match="hangs"):
        proxies.version()
    moody.close()
    proxies.check()
    assert proxies.silence is None
