"""``python -I -S relay.py --port NUMBER --socket PATH``: the main process of a relay container.

What connects to the port is passed on to a Unix socket in the run's folder: the only way from the run's network, which
leads nowhere, to a service that the harness itself serves on its loopback. Runs alone, as init.py does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

_BLOCK = 1 << 16
_EX_USAGE = 2


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until the source has ended; its end is passed on too."""
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(_BLOCK)
            if not data:
                break
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(client: socket.socket, path: str) -> None:
    """One connection, both ways."""
    with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as service, contextlib.suppress(OSError):
        _connect(service, path)
        back = threading.Thread(target=pass_on, args=(service, client), daemon=True)
        back.start()
        pass_on(client, service)
        back.join()


def _connect(service: socket.socket, path: str) -> None:
    """A path of a socket may have 107 bytes; through its folder's descriptor any path fits."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        service.connect(f"/proc/self/fd/{folder:d}/{Path(path).name}")
    finally:
        os.close(folder)


def main(arguments: list[str]) -> None:
    """Never returns."""
    options = dict(zip(arguments[::2], arguments[1::2]))
    if set(options) != {"--port", "--socket"}:
        sys.stderr.write("usage: relay.py --port NUMBER --socket PATH\n")
        sys.exit(_EX_USAGE)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", int(options["--port"])))
        listener.listen(128)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, options["--socket"]), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
