"""Each toxic on each stream: what it does, and when. Bounds are generous: the machine is shared. One body for both servers."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conformance.toxiproxy_support import (
    DEADLINE,
    KINDS,
    Pair,
    Server,
    Upstream,
    connected,
    dial,
    echo,
    ending,
    receive,
    serving,
    silent,
)
from tests.parts import parts

STREAMS = pytest.mark.parametrize("stream", ["upstream", "downstream"])
#: Seconds by which a busy machine may be late.
LATE = 5.0


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


def passes(pair: Pair, stream: str, size: int = 1) -> float:
    """Seconds that ``size`` bytes take, which arrive unchanged."""
    sender, receiver = pair.ends(stream)
    data = random.Random(size).randbytes(size)
    began = time.monotonic()
    thread = threading.Thread(target=sender.sendall, args=(data,), daemon=True)
    thread.start()
    assert receive(receiver, size) == data
    thread.join(DEADLINE)
    return time.monotonic() - began


def soon(pair: Pair, stream: str, seconds: float, size: int = 1) -> bool:
    """That takes less, in one of some tries: a busy machine may be late by itself."""
    return any(passes(pair, stream, size) < seconds for _ in range(5))


def other(stream: str) -> str:
    return "downstream" if stream == "upstream" else "upstream"


@STREAMS
def test_latency_delays_one_direction(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("latency", stream, latency=300)
    with connected(address, upstream) as pair:
        assert 0.29 <= passes(pair, stream) < 0.3 + LATE
        assert soon(pair, other(stream), 0.29)


@STREAMS
def test_latency_counts_from_each_chunks_arrival(server: Server, upstream: Upstream, stream: str) -> None:
    """Twenty chunks 20 ms apart take 0.4 s + latency, not twenty times it; none is early."""
    address = server.proxy(upstream.port)
    server.toxic("latency", stream, latency=300)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        sent: list[float] = []

        def send() -> None:
            for _ in range(20):
                sent.append(time.monotonic())
                sender.sendall(b"x")
                time.sleep(0.02)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        began = time.monotonic()
        for number in range(20):
            assert receive(receiver, 1) == b"x"
            assert time.monotonic() - sent[number] >= 0.29
        assert time.monotonic() - began < 0.7 + LATE
        thread.join(DEADLINE)


def test_latency_with_jitter_stays_in_its_range_and_varies(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("latency", latency=100, jitter=90)
    with connected(address, upstream) as pair:
        taken = [passes(pair, "downstream") for _ in range(12)]
    assert min(taken) >= 0.009
    assert max(taken) < 0.19 + LATE
    assert max(taken) - min(taken) > 0.02


def test_two_latencies_add_up(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    for name in ("one", "two"):
        server.ask("POST", "/proxies/p/toxics", {"name": name, "type": "latency", "attributes": {"latency": 200}})
    with connected(address, upstream) as pair:
        assert 0.39 <= passes(pair, "downstream") < 0.4 + LATE


@STREAMS
def test_latency_delays_the_end_no_less_than_what_is_before_it(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("latency", stream, latency=300)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        began = time.monotonic()
        sender.sendall(b"last")
        sender.shutdown(socket.SHUT_WR)
        assert receive(receiver, 4) == b"last"
        assert time.monotonic() - began >= 0.29
        assert ending(receiver) == "end"


@STREAMS
def test_bandwidth_holds_to_its_rate(server: Server, upstream: Upstream, stream: str) -> None:
    """500 KB at 500 KB/s: a second, give or take the kernel's buffers, which let nothing through sooner."""
    address = server.proxy(upstream.port)
    server.toxic("bandwidth", stream, rate=500)
    with connected(address, upstream) as pair:
        assert 0.85 <= passes(pair, stream, 500_000) < 1.2 + LATE
        assert soon(pair, other(stream), 0.85, 500_000)


def test_bandwidth_splits_large_chunks_into_tenths_of_a_second(server: Server, upstream: Upstream) -> None:
    """A second's worth: some comes early, in one of some tries (a busy machine may be late by itself), and the rest never does."""
    address = server.proxy(upstream.port)
    server.toxic("bandwidth", rate=20)
    early = False
    for _ in range(4):
        with connected(address, upstream) as pair:
            began = time.monotonic()
            pair.upstream.sendall(b"x" * 20_000)
            first = len(pair.client.recv(65536))
            early = first <= 10_000 and time.monotonic() - began < 0.8
            receive(pair.client, 20_000 - first)
            assert time.monotonic() - began >= 0.9
        if early:
            return
    raise AssertionError("never less than half of it, and never soon")


@STREAMS
def test_bandwidth_zero_stalls_and_drops_nothing(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    with connected(address, upstream) as pair:
        passes(pair, stream)
        server.toxic("bandwidth", stream, rate=0)
        sender, receiver = pair.ends(stream)
        data = random.Random(3).randbytes(300_000)
        thread = threading.Thread(target=sender.sendall, args=(data,), daemon=True)
        thread.start()
        assert silent(receiver)
        passes(pair, other(stream))
        server.remove(f"bandwidth_{stream}")
        assert receive(receiver, len(data)) == data
        thread.join(DEADLINE)


@STREAMS
def test_slow_close_delays_the_end_only(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("slow_close", stream, delay=1000)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        assert soon(pair, stream, 0.95)
        began = time.monotonic()
        sender.sendall(b"data")
        sender.shutdown(socket.SHUT_WR)
        assert receive(receiver, 4) == b"data"
        passes(pair, other(stream))
        assert ending(receiver) == "end"
        assert 0.99 <= time.monotonic() - began < 1.0 + LATE


@STREAMS
def test_timeout_loses_everything_and_closes(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("timeout", stream, timeout=400)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        began = time.monotonic()
        for _ in range(4):  # every chunk begins the time anew
            sender.sendall(b"lost")
            time.sleep(0.2)
        assert receive(receiver, 1) == b""
        assert 1.0 - 0.01 <= time.monotonic() - began < 1.0 + LATE
        assert ending(sender) in ("end", "reset")


@STREAMS
def test_timeout_zero_never_closes_until_it_is_removed(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    with connected(address, upstream) as pair:
        passes(pair, stream)
        server.toxic("timeout", stream, timeout=0)
        sender, receiver = pair.ends(stream)
        sender.sendall(b"lost")
        assert silent(receiver)
        passes(pair, other(stream))
        server.remove(f"timeout_{stream}")
        assert receive(receiver, 1) == b""
        assert ending(sender) in ("end", "reset")
    with connected(address, upstream) as pair:
        passes(pair, stream)


@STREAMS
def test_timeout_passes_the_end_on(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("timeout", stream, timeout=0)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        sender.shutdown(socket.SHUT_WR)
        assert ending(receiver) == "end"


@STREAMS
def test_reset_peer_resets_on_the_first_chunk(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("reset_peer", stream, timeout=0)
    with connected(address, upstream) as pair:
        assert silent(pair.client)
        passes(pair, other(stream))
        sender, receiver = pair.ends(stream)
        sender.sendall(b"x")
        assert ending(receiver) == "reset"
        assert ending(sender) == "reset"


@STREAMS
def test_reset_peer_waits_for_its_timeout(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("reset_peer", stream, timeout=400)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        began = time.monotonic()
        sender.sendall(b"x")
        assert ending(receiver) == "reset"
        assert 0.39 <= time.monotonic() - began < 0.4 + LATE


@STREAMS
def test_reset_peer_answers_an_end_with_a_reset(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("reset_peer", stream, timeout=0)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        sender.shutdown(socket.SHUT_WR)
        assert ending(receiver) == "reset"


@STREAMS
def test_reset_peer_closes_connections_that_were_there_before_it_without_a_reset(server: Server, upstream: Upstream, stream: str) -> None:
    """A socket is told to reset when it is opened, so one that is older only ends."""
    address = server.proxy(upstream.port)
    with connected(address, upstream) as pair:
        passes(pair, stream)
        server.toxic("reset_peer", stream, timeout=0)
        sender, receiver = pair.ends(stream)
        sender.sendall(b"x")
        assert ending(receiver) == "end"
        assert ending(sender) == "end"


@STREAMS
def test_slicer_cuts_into_pieces_of_about_its_size(server: Server, upstream: Upstream, stream: str) -> None:
    """Pieces are told apart by the time between them."""
    address = server.proxy(upstream.port)
    server.toxic("slicer", stream, average_size=100, size_variation=20, delay=20_000)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        data = random.Random(5).randbytes(1000)
        for last in (False, False, False, True):
            began = time.monotonic()
            sender.sendall(data)
            sizes: list[int] = []
            found = b""
            while len(found) < 1000:
                piece = receiver.recv(65536)
                sizes.append(len(piece))
                found += piece
            assert found == data
            assert time.monotonic() - began >= 0.1
            assert min(sizes) >= 20
            if last or len(sizes) >= 6:  # ten or so were sent; a busy machine may join some
                break
        assert len(sizes) >= 6
        assert sorted(sizes)[len(sizes) // 2] <= 240


def test_slicer_with_microseconds_keeps_its_pace(server: Server, upstream: Upstream) -> None:
    """A thousand pieces 100 µs apart: at least a tenth of a second, and no round millisecond each and more."""
    address = server.proxy(upstream.port)
    server.toxic("slicer", average_size=10, delay=100)
    with connected(address, upstream) as pair:
        assert 0.08 <= passes(pair, "downstream", 10_000) < 2.0


@STREAMS
def test_limit_data_closes_when_reached(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", stream, bytes=100)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        passes(pair, stream, 60)
        passes(pair, other(stream), 500)
        sender.sendall(b"y" * 60)
        assert receive(receiver, 100) == b"y" * 40
        assert ending(sender) in ("end", "reset")
    with connected(address, upstream) as pair:  # per connection
        passes(pair, stream, 60)


@STREAMS
def test_limit_data_that_is_met_exactly_closes_at_once(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", stream, bytes=100)
    with connected(address, upstream) as pair:
        passes(pair, stream, 100)
        assert ending(pair.ends(stream)[1]) == "end"


def test_limit_data_zero_closes_at_the_first_byte(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", "upstream", bytes=0)
    with connected(address, upstream) as pair:
        assert silent(pair.upstream)
        pair.client.sendall(b"x")
        assert receive(pair.upstream, 1) == b""


def test_noop_does_nothing(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("noop", "upstream")
    with connected(address, upstream) as pair:
        passes(pair, "upstream", 100_000)


@pytest.mark.parametrize(("toxicity", "least", "most"), [(0.0, 0, 0), (0.5, 4, 56), (1.0, 60, 60)])
def test_toxicity_is_the_share_of_connections_hit(server: Server, toxicity: float, least: int, most: int) -> None:
    """Sixty connections at one half: outside of 4 to 56 once in 10^12 times."""
    upstream = Upstream(echo)
    try:
        address = server.proxy(upstream.port)
        server.toxic("limit_data", "downstream", toxicity, bytes=0)
        hit = 0
        for _ in range(60):
            with dial(address) as client:
                client.sendall(b"x")
                hit += receive(client, 1) == b""
        assert least <= hit <= most
    finally:
        upstream.close()
