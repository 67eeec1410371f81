"""HTTP as bytes: what is answered to what comes over a socket."""

from __future__ import annotations

import asyncio

import pytest

from harness.netproxy.api import Api
from harness.netproxy.web import talk


def exchange(sent: bytes) -> bytes:
    """Everything that comes back before the server closes; the client closes its half at once."""

    async def run() -> bytes:
        api = Api(0)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await talk(reader, writer, api.answer)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        writer.write_eof()
        found = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        return found

    return asyncio.run(run())


def test_requests_one_behind_the_other() -> None:
    found = exchange(b"GET /proxies HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert found.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert found.count(b"\r\n\r\n{}") == 3


@pytest.mark.parametrize("header", [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nConnection: close\r\n"])
def test_who_wants_one_reply_gets_one(header: bytes) -> None:
    found = exchange((b"GET /proxies " + header + b"\r\n") * 2)
    assert found.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in found


def test_expect_continue() -> None:
    found = exchange(b"POST /reset HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}")
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n")


def test_a_body_in_chunks_and_what_follows_it() -> None:
    body = b'5;a=b\r\n{"nam\r\n4\r\ne":1\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n'
    found = exchange(b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"GET /version HTTP/1.1\r\n\r\n")
    assert b"name must be a string" in found
    assert found.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"\xff\xff / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_malformed_requests_are_answered_and_closed(sent: bytes, status: int) -> None:
    assert exchange(sent).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"POST /reset HTTP/1.1\r\nHost: x\r\n", b"POST /reset HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"]
)
def test_a_client_that_leaves_early_gets_nothing(sent: bytes) -> None:
    assert exchange(sent) == b""
