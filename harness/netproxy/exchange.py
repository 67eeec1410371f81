"""One HTTP request to Toxiproxy that ends by a deadline, whatever the other side does."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

__all__ = ["Answered", "exchange"]


class Answered:
    """A reply, with the attributes under which toxiproxy-python looks for them."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status_code = status
        self.content = content

    def json(self) -> Any:
        """The body, parsed. ValueError where it is not JSON."""
        return json.loads(self.content)

    @property
    def complaint(self) -> str:
        """Why the server refused, in its own words."""
        try:
            found = self.json()
            return str(found["error"])
        except (ValueError, KeyError, TypeError):
            return self.content.decode("utf-8", "replace").strip()[:200]


class _Until(socket.socket):
    """Every wait ends at one moment: a peer that sends a byte now and then does not prolong it."""

    due = 0.0

    def _left(self) -> float:
        left = self.due - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def connect(self, address: Any) -> None:
        self.settimeout(self._left())
        super().connect(address)

    def recv_into(self, *args: Any, **more: Any) -> int:
        self.settimeout(self._left())
        return super().recv_into(*args, **more)

    def sendall(self, *args: Any, **more: Any) -> None:
        self.settimeout(self._left())
        super().sendall(*args, **more)


def exchange(host: str, port: int, method: str, path: str, body: Any, timeout: float) -> Answered:
    """A new connection each time: nothing of an earlier server is met again. OSError or HTTPException where it fails."""
    due = time.monotonic() + timeout
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = wire = _Until(family, socket.SOCK_STREAM)
        wire.due = due
        wire.connect(address)
        headers = {"Connection": "close", "User-Agent": "celery-harness"}
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, content, headers)
        reply = connection.getresponse()
        return Answered(reply.status, reply.read())
    finally:
        connection.close()
