"""Our end of a relay: a Unix socket in the run's folder, passed on to a service of this process on loopback.

The other end is a container (agent/celery_harness_agent/relay.py) that listens on the run's network.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

__all__ = ["LoopbackRelay"]

_BLOCK = 1 << 16
_BACKLOG = 128


class LoopbackRelay:
    """``port``: on 127.0.0.1. One pair of threads per connection; they end with it, and with `close`."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self._port = port
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # a path of a socket has 107 bytes at most
        finally:
            os.close(folder)
        path.chmod(0o600)
        self._listener.listen(_BACKLOG)
        threading.Thread(target=self._accept, name=f"relay-{path.stem}", daemon=True).start()

    def close(self) -> None:
        """Connections are cut; never raises."""
        with self._lock:
            ends = [self._listener, *self._open]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5.0) as service:
            service.settimeout(None)
            with self._lock:
                self._open |= {client, service}
            back = threading.Thread(target=_pass_on, args=(service, client), daemon=True)
            back.start()
            _pass_on(client, service)
            back.join()
            with self._lock:
                self._open -= {client, service}


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until the source has ended; its end is passed on too."""
    with contextlib.suppress(OSError):
        while data := source.recv(_BLOCK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
