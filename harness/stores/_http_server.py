"""A threaded HTTP/1.1 server on loopback: reads whole requests, asks for an answer, and can hang up instead."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from harness.errors import EnvironmentFault
from harness.stores._tls_stream import TlsStream, begins_tls
from harness.stores._wire import Received, backlog

__all__ = ["Answer", "LoopbackServer", "Request"]

_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request read in full. Names of headers are in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body, after a delay in seconds. Status 0: close the connection without a word."""

    status: int
    body: Any
    delay: float = 0.0


class LoopbackServer:
    """Listens from its making on, until `close`. ``answer`` is called from many threads.

    ``tls``: for clients that begin with TLS; others are served in the clear on the same port.
    """

    def __init__(self, answer: Callable[[Request], Answer], *, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.closing = threading.Event()
        self.tls = tls
        self._connections: dict[socket.socket, Received] = {}
        self._lock = threading.Lock()
        try:
            self._http = _Server(self, answer)
        except OSError as exc:
            raise EnvironmentFault(f"service {name} found no port: {exc}", where="127.0.0.1") from exc
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name=f"http-{name}", daemon=True)
        self._thread.start()

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        """The next connection; no moment lies between its leaving the backlog and our knowing it."""
        with self._lock:
            connection, address = listener.accept()
            self._connections[connection] = Received(connection)
            return connection, address

    def received(self, connection: socket.socket) -> Received:
        """How far we are with it."""
        with self._lock:
            return self._connections[connection]

    def closed(self, connection: socket.socket) -> None:
        """A connection is done with."""
        with self._lock:
            self._connections.pop(connection, None)

    def settled(self) -> bool:
        """Nobody waits to be accepted, and of each connection all that arrived is decided on."""
        with self._lock:
            return backlog(self._http.socket) == 0 and all(one.settled() for one in self._connections.values())

    def close(self) -> None:
        """Port, connections, threads. Kept-alive connections would otherwise hold their threads for ever."""
        self.closing.set()
        self._http.shutdown()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for them
    block_on_close = True
    request_queue_size = 256

    def __init__(self, owner: LoopbackServer, answer: Callable[[Request], Answer]) -> None:
        self.owner, self.answer = owner, answer
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask the resolver for the host's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        super().server_activate()
        self.socket.setblocking(False)  # one who left before he was accepted must not keep others waiting

    def get_request(self) -> tuple[socket.socket, Any]:
        return self.owner.accept(self.socket)

    def shutdown_request(self, request: Any) -> None:
        self.owner.closed(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed on purpose: their broken connections are nobody's news."""


class _Arriving(io.RawIOBase):
    """The connection as a file; tells when it waits for more, and how much came."""

    def __init__(self, received: Received) -> None:
        self.received = received

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.received.waits()
        count = self.received.connection.recv_into(buffer)
        self.received.reads(count)
        return count


class _Reader(io.BufferedReader):
    """``used``: bytes that somebody has taken from it."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.used = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.used += len(content)
        return content

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.used += len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "celery-harness", ""
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._received = self.server.owner.received(self.connection)
        self._stream: TlsStream | None = None
        if self.server.owner.tls is not None and begins_tls(self._received):
            self._stream = TlsStream(self._received, self.server.owner.tls)
            self._stream.handshake()
            self.wfile.close()
            self.wfile = io.BufferedWriter(self._stream)
        self._reader = self.rfile = _Reader(self._stream or _Arriving(self._received))

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(Request(self.command, parts.path or "/", parts.query, headers, body))
        self._decided()
        if (answer.delay and self.server.owner.closing.wait(answer.delay)) or answer.status == 0:
            self.close_connection = True
        else:
            self._send(answer)

    def _decided(self) -> None:
        if self._stream is None:
            self._received.decided(self._reader.used)
        elif self._stream.all_of(self._reader.used):
            self._received.decided_on_all()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _send(self, answer: Answer) -> None:
        content = b"" if answer.status in (204, 304) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        if answer.status not in (204, 304):
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _read_body(self) -> bytes | None:
        """None where the client went away or broke the protocol in the middle: such a request was never made."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > _LARGEST:
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _read_chunks(self) -> bytes | None:
        body = b""
        while True:
            try:
                size = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                return None
            if not 0 <= size <= _LARGEST:
                return None
            chunk = self.rfile.read(size)
            body += chunk
            if len(chunk) < size or len(body) > _LARGEST:
                return None
            if size == 0:
                while self.rfile.readline(65_536).strip():
                    pass  # trailers
                return body
            self.rfile.readline(2 + 1)

    def log_message(self, format: str, *args: Any) -> None:
        """`HttpStore.log` is the record; standard error belongs to the report."""
