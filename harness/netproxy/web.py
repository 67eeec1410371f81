"""HTTP/1.1, as far as the API needs it: requests with bodies, one after the other on a connection that stays open."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable

from harness.netproxy.api import Reply

__all__ = ["Answer", "talk"]

#: Method, target, body.
Answer = Callable[[str, str, bytes], Awaitable[Reply]]
_MOST_BODY = 16 * 1024 * 1024
_IDLE = 60.0  # seconds that a connection may say nothing
_REFUSED_AGENT = "Mozilla/"  # a page in a browser must not reach a server on loopback


class _Malformed(Exception):
    """Not HTTP, or more than we take: ``status`` is the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Serve one connection until either side closes it."""
    try:
        while await asyncio.wait_for(_one(reader, writer, answer), _IDLE):
            pass
    except _Malformed as malformed:
        writer.write(_framed(Reply(malformed.status, b"", "text/plain"), keep=False))
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass  # it left
    finally:
        writer.close()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """One request and its reply. Is another wanted?"""
    method, target, version = _request_line(await _line(reader))
    headers = await _headers(reader)
    body = await _body(reader, writer, headers)
    wish = headers.get("connection", "").lower()
    keep = "close" not in wish and (version == "HTTP/1.1" or "keep-alive" in wish)
    if headers.get("user-agent", "").startswith(_REFUSED_AGENT):
        reply = Reply(403, b"User agent not allowed\n", "text/plain; charset=utf-8")
    else:
        reply = await answer(method, target, body)
    writer.write(_framed(reply, keep=keep))
    await writer.drain()
    return keep


def _request_line(line: bytes) -> tuple[str, str, str]:
    try:
        method, target, version = line.decode("ascii").split()
    except ValueError:
        raise _Malformed(400) from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise _Malformed(505)
    return method, target, version


async def _line(reader: asyncio.StreamReader) -> bytes:
    """A whole one: IncompleteReadError where the client left before its end, so that no half request is done."""
    try:
        return (await reader.readuntil(b"\n")).rstrip(b"\r\n")
    except asyncio.LimitOverrunError:
        raise _Malformed(431) from None


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    for _ in range(100):
        line = await _line(reader)
        if not line:
            return found
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise _Malformed(400)
        found[name.lower()] = value.strip()
    raise _Malformed(431)


async def _body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> bytes:
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    return await reader.readexactly(_size(headers.get("content-length", "0"), 10, 0))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := _size((await _line(reader)).split(b";")[0].decode("latin-1"), 16, len(body)):
        body += await reader.readexactly(size)
        await _line(reader)
    await _headers(reader)  # trailers
    return body


def _size(text: str, base: int, before: int) -> int:
    if not text.strip().isalnum():
        raise _Malformed(400)
    try:
        size = int(text, base)
    except ValueError:
        raise _Malformed(400) from None
    if before + size > _MOST_BODY:
        raise _Malformed(413)
    return size


def _framed(reply: Reply, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {http.HTTPStatus(reply.status).phrase}"]
    if reply.status != 204:
        lines += [f"Content-Type: {reply.kind}", f"Content-Length: {len(reply.body)}"]
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + reply.body
