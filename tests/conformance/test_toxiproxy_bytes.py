"""Eight megabytes in random chunks arrive as they were, through every toxic that drops nothing and through chains of them."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.conformance.toxiproxy_support import DEADLINE, KINDS, Server, Upstream, connected, ending, receive, serving
from tests.parts import parts

STREAMS = pytest.mark.parametrize("stream", ["upstream", "downstream"])


#: That Toxiproxy's own server does the same is tried where the two are compared, and by `make exhaustive` in full.
@pytest.fixture(scope="module", params=parts(KINDS, quick=["embedded"]))
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.clear()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


NOT_DROPPING: dict[str, list[tuple[str, dict[str, int]]]] = {
    "latency": [("latency", {"latency": 20, "jitter": 15})],
    "bandwidth": [("bandwidth", {"rate": 20_000})],
    "slow_close": [("slow_close", {"delay": 10})],
    "slicer": [("slicer", {"average_size": 3000, "size_variation": 1500, "delay": 1})],
    "limit": [("limit_data", {"bytes": (8 << 20) + 1})],
    "noop": [("noop", {})],
    "latency, slicer": [("latency", {"latency": 5}), ("slicer", {"average_size": 8000, "size_variation": 4000})],
    "slicer, bandwidth, latency": [
        ("slicer", {"average_size": 5000, "size_variation": 100}),
        ("bandwidth", {"rate": 30_000}),
        ("latency", {"latency": 10, "jitter": 9}),
    ],
    "all of them": [
        ("limit_data", {"bytes": (8 << 20) + 1}),
        ("latency", {"latency": 5, "jitter": 5}),
        ("slow_close", {"delay": 5}),
        ("bandwidth", {"rate": 40_000}),
        ("noop", {}),
        ("slicer", {"average_size": 20_000, "size_variation": 10_000}),
    ],
}


@pytest.mark.parametrize("chain", NOT_DROPPING)
@STREAMS
def test_eight_megabytes_in_random_chunks_arrive_as_they_were(server: Server, upstream: Upstream, stream: str, chain: str) -> None:
    address = server.proxy(upstream.port)
    for type_, attributes in NOT_DROPPING[chain]:
        server.toxic(type_, stream, **attributes)
    source = random.Random(chain)
    whole = source.randbytes(8 << 20)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)

        def send() -> None:
            at = 0
            while at < len(whole):
                size = source.randint(1, 100_000)
                sender.sendall(whole[at : at + size])
                at += size

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        assert receive(receiver, len(whole)) == whole
        thread.join(DEADLINE)
        sender.shutdown(socket.SHUT_WR)
        assert ending(receiver) == "end"
