"""Both servers of Toxiproxy's API, started for a test, and plain sockets on either side of their proxies."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("real", "embedded")
#: Seconds after which something that must happen has not happened.
DEADLINE = 30.0
#: Seconds in which something that must not happen would have happened.
QUIET = 0.25


def real_program() -> str:
    """Toxiproxy's own server: found, or built once."""
    done = subprocess.run([ROOT / "tools" / "setup-toxiproxy"], capture_output=True, text=True, timeout=110, check=False)
    if done.returncode:
        pytest.skip(f"needs a server: {done.stderr.strip()}")
    return done.stdout.strip()


def command(kind: str) -> list[str]:
    """How to start a server of this kind."""
    return [real_program()] if kind == "real" else [sys.executable, "-m", "harness.netproxy"]


@dataclass
class Server:
    """A running one."""

    kind: str
    port: int
    process: subprocess.Popen[str]

    @property
    def embedded(self) -> bool:
        return self.kind == "embedded"

    def raw(
        self, method: str, path: str, body: bytes | None = None, *, timeout: float = DEADLINE, **headers: str
    ) -> tuple[int, bytes, str]:
        """Status, body, content type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers.get("Content-Type", "")
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, *, timeout: float = DEADLINE) -> tuple[int, Any]:
        """Status, and the parsed body (None where it is empty)."""
        content = None if body is None else json.dumps(body).encode()
        status, found, _ = self.raw(method, path, content, timeout=timeout)
        return status, json.loads(found) if found else None

    def proxy(self, upstream: int | str, name: str = "p", **more: Any) -> tuple[str, int]:
        """A proxy on a free port; where it listens."""
        address = f"127.0.0.1:{upstream}" if isinstance(upstream, int) else upstream
        status, made = self.ask("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": address, **more})
        assert status == 201, made
        host, _, port = made["listen"].rpartition(":")
        return host, int(port)

    def toxic(self, type_: str, stream: str = "downstream", toxicity: float = 1.0, *, proxy: str = "p", **attributes: int) -> None:
        body = {"type": type_, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        status, made = self.ask("POST", f"/proxies/{proxy}/toxics", body)
        assert status == 200, made

    def change(self, label: str, *, proxy: str = "p", **attributes: int) -> None:
        status, made = self.ask("PATCH", f"/proxies/{proxy}/toxics/{label}", {"attributes": attributes})
        assert status == 200, made

    def remove(self, label: str, *, proxy: str = "p", timeout: float = DEADLINE) -> None:
        status, made = self.ask("DELETE", f"/proxies/{proxy}/toxics/{label}", timeout=timeout)
        assert status == 204, made

    def clear(self) -> None:
        """As if just started, but for its counters."""
        for name in self.ask("GET", "/proxies")[1]:
            assert self.ask("DELETE", f"/proxies/{quote(name, safe='')}")[0] == 204

    def counted(self, name: str = "p") -> dict[str, int]:
        """``received_upstream`` and so on -> bytes."""
        found: dict[str, int] = {}
        for line in self.raw("GET", "/metrics")[1].decode().splitlines():
            if not line.startswith("#") and f'proxy="{name}"' in line:
                stream = "upstream" if 'direction="upstream"' in line else "downstream"
                key = f"{line.split('_bytes')[0].rpartition('_')[2]}_{stream}"
                found[key] = found.get(key, 0) + int(float(line.rsplit(" ", 1)[1]))
        return found


@contextlib.contextmanager
def serving(kind: str, *more: str, seed: int = 7) -> Iterator[Server]:
    """A server on a free port, gone afterwards."""
    port = free_port()
    argv = [*command(kind), "-host", "127.0.0.1", "-port", str(port), "-seed", str(seed), "-proxy-metrics", *more]
    env = {**os.environ, "LOG_LEVEL": "error"}
    process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    server = Server(kind, port, process)
    try:
        eventually(lambda: answers(server))
        yield server
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()
            process.wait()


def answers(server: Server) -> bool:
    assert server.process.poll() is None, "the server ended at once"
    try:
        return server.raw("GET", "/version")[0] == 200
    except OSError:
        return False


def eventually(what: Callable[[], Any], *, within: float = DEADLINE) -> Any:
    """The first true answer; fails after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.005)
    return found


class Upstream:
    """A server on loopback. ``accepted`` connections are the test's to use, unless ``serve`` takes each in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None] | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self.listener.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self._serve = serve
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(DEADLINE)
            self.accepted.append(connection)
            if self._serve is not None:
                thread = threading.Thread(target=self._quietly, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _quietly(self, connection: socket.socket) -> None:
        assert self._serve is not None
        with contextlib.suppress(OSError), connection:
            self._serve(connection)

    def taken(self, number: int = 1) -> socket.socket:
        """The ``number``-th connection."""
        eventually(lambda: len(self.accepted) >= number)
        return self.accepted[number - 1]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(DEADLINE)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def dial(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """``size`` bytes, or what came before the end."""
    found = bytearray()
    while len(found) < size and (data := connection.recv(min(65536, size - len(found)))):
        found += data
    return bytes(found)


def ending(connection: socket.socket, *, within: float = DEADLINE) -> str:
    """How it ends: 'end', 'reset', or 'open' where it does not. Bytes before the end are read and forgotten."""
    deadline = time.monotonic() + within
    try:
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                return "end"
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "reset"
    finally:
        connection.settimeout(DEADLINE)
    return "open"


def silent(connection: socket.socket, *, during: float = QUIET) -> bool:
    """Does neither a byte nor an end come?"""
    connection.settimeout(during)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(DEADLINE)
    return False


@dataclass
class Pair:
    """A client's socket and the upstream's of one proxied connection. ``sender`` and ``receiver`` by stream."""

    client: socket.socket
    upstream: socket.socket

    def ends(self, stream: str) -> tuple[socket.socket, socket.socket]:
        return (self.client, self.upstream) if stream == "upstream" else (self.upstream, self.client)


@contextlib.contextmanager
def connected(address: tuple[str, int], upstream: Upstream) -> Iterator[Pair]:
    """One connection through a proxy, seen to pass bytes before the test uses it."""
    number = len(upstream.accepted) + 1
    with dial(address) as client:
        yield Pair(client, upstream.taken(number))
