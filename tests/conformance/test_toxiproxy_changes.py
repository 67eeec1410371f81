"""Toxics that come, change and go while bytes are under way. One body of tests for both servers."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conformance.toxiproxy_support import DEADLINE, KINDS, Server, Upstream, connected, ending, receive, serving, silent
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


@STREAMS
def test_a_toxic_hits_open_connections_at_once(server: Server, upstream: Upstream, stream: str) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        sender, receiver = pair.ends(stream)
        sender.sendall(b"1")
        assert receive(receiver, 1) == b"1"
        server.toxic("latency", stream, latency=300)
        began = time.monotonic()
        sender.sendall(b"2")
        assert receive(receiver, 1) == b"2"
        assert time.monotonic() - began >= 0.29
        server.change(f"latency_{stream}", latency=60_000)
        server.change(f"latency_{stream}", latency=0)
        sender.sendall(b"3")
        assert receive(receiver, 1) == b"3"
        server.remove(f"latency_{stream}")
        sender.sendall(b"4")
        assert receive(receiver, 1) == b"4"


@pytest.mark.parametrize("how", ["removed", "reset", "shortened"])
def test_what_a_toxic_held_back_goes_on_at_once(server: Server, upstream: Upstream, how: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("latency", latency=60_000)
    with connected(address, upstream) as pair:
        for part in (b"one", b"two"):
            pair.upstream.sendall(part)
            time.sleep(0.05)  # two chunks
        assert silent(pair.client)
        if how == "removed":
            server.remove("latency_downstream")
        elif how == "reset":
            server.ask("POST", "/reset")
        else:
            server.change("latency_downstream", latency=1)
        assert receive(pair.client, 6) == b"onetwo"
        pair.upstream.sendall(b"three")
        assert receive(pair.client, 5) == b"three"


def test_a_stalled_end_arrives_after_healing(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("bandwidth", "upstream", rate=0)
    with connected(address, upstream) as pair:
        pair.client.sendall(b"held")
        pair.client.shutdown(socket.SHUT_WR)
        assert silent(pair.upstream)
        server.remove("bandwidth_upstream")
        assert receive(pair.upstream, 4) == b"held"
        assert ending(pair.upstream) == "end"
        assert ending(pair.client) == "end"


def test_bandwidth_can_be_raised_in_the_middle_of_a_chunk(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("bandwidth", rate=1)
    with connected(address, upstream) as pair:
        data = random.Random(1).randbytes(100_000)
        pair.upstream.sendall(data)
        assert len(pair.client.recv(100, socket.MSG_WAITALL)) == 100
        began = time.monotonic()
        server.change("bandwidth_downstream", rate=100_000)
        assert receive(pair.client, len(data) - 100) == data[100:]
        assert time.monotonic() - began < 5


def test_limit_data_survives_updates_and_neighbours(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", bytes=1000)
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"x" * 600)
        assert receive(pair.client, 600) == b"x" * 600
        server.toxic("latency", latency=1)
        server.change("limit_data_downstream", bytes=1100)
        server.remove("latency_downstream")
        pair.upstream.sendall(b"y" * 600)
        assert receive(pair.client, 600) == b"y" * 500


def test_limit_data_lowered_below_what_has_passed_closes_at_the_next_chunk(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", bytes=1000)
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"x" * 600)
        assert receive(pair.client, 600) == b"x" * 600
        server.change("limit_data_downstream", bytes=500)
        assert silent(pair.client)
        pair.upstream.sendall(b"y")
        assert receive(pair.client, 1) == b""


def test_limit_data_counts_from_when_it_came(server: Server, upstream: Upstream) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        pair.upstream.sendall(b"x" * 600)
        assert receive(pair.client, 600) == b"x" * 600
        server.toxic("limit_data", bytes=100)
        pair.upstream.sendall(b"y" * 600)
        assert receive(pair.client, 600) == b"y" * 100


@STREAMS
def test_removing_a_timeout_closes_even_connections_that_its_toxicity_spared(server: Server, upstream: Upstream, stream: str) -> None:
    address = server.proxy(upstream.port)
    server.toxic("timeout", stream, 0.0)
    with connected(address, upstream) as pair:
        sender, receiver = pair.ends(stream)
        sender.sendall(b"spared")
        assert receive(receiver, 6) == b"spared"
        server.remove(f"timeout_{stream}")
        assert ending(receiver) == "end"
        assert ending(sender) == "end"


def test_a_timeout_can_be_given_to_one_that_never_closed(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("timeout", timeout=0)
    with connected(address, upstream) as pair:
        assert silent(pair.client)
        server.change("timeout_downstream", timeout=100)
        assert ending(pair.client) == "end"


def test_slow_close_that_is_removed_while_it_waits_closes_at_once(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("slow_close", delay=60_000)
    with connected(address, upstream) as pair:
        pair.upstream.shutdown(socket.SHUT_WR)
        assert silent(pair.client)
        server.remove("slow_close_downstream")
        assert ending(pair.client) == "end"


def test_the_chains_order_is_the_order_of_adding(server: Server, upstream: Upstream) -> None:
    """A limit before a stall closes behind it; a stall before a limit lets nothing reach the limit."""
    address = server.proxy(upstream.port)
    server.toxic("limit_data", bytes=10)
    server.toxic("bandwidth", rate=0)
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"x" * 20)
        assert silent(pair.client)
        server.remove("bandwidth_downstream")
        assert receive(pair.client, 20) == b"x" * 10
    server.remove("limit_data_downstream")
    server.toxic("bandwidth", rate=0)
    server.toxic("limit_data", bytes=10)
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"x" * 20)
        assert silent(pair.client)
        server.remove("limit_data_downstream")
        server.remove("bandwidth_downstream")
        assert receive(pair.client, 20) == b"x" * 20


def test_toxics_come_change_and_go_while_eight_megabytes_pass(server: Server, upstream: Upstream) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        source = random.Random(17)
        whole = source.randbytes(8 << 20)
        stop = threading.Event()

        def send() -> None:
            for at in range(0, len(whole), 40_000):
                pair.upstream.sendall(whole[at : at + 40_000])
                if at % 400_000 == 0:
                    time.sleep(0.05)

        def meddle() -> None:
            number = 0
            while not stop.is_set():
                server.toxic("latency", latency=number % 7, jitter=number % 3)
                server.toxic("slicer", average_size=5000, size_variation=1000)
                server.change("latency_downstream", latency=1)
                server.toxic("bandwidth", rate=50_000)
                server.remove("slicer_downstream")
                server.change("bandwidth_downstream", rate=80_000)
                server.remove("latency_downstream")
                server.ask("POST", "/reset")
                number += 1
            assert number > 2

        failures: list[BaseException] = []

        def guarded() -> None:
            try:
                meddle()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=send, daemon=True), threading.Thread(target=guarded, daemon=True)]
        for thread in threads:
            thread.start()
        try:
            assert receive(pair.client, len(whole)) == whole
        finally:
            stop.set()
            for thread in threads:
                thread.join(DEADLINE)
        assert not failures


def test_closed_connections_are_no_hindrance_to_changes(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    server.toxic("limit_data", bytes=1)
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"xx")
        assert receive(pair.client, 2) == b"x"
        server.toxic("latency", latency=1)
        server.change("limit_data_downstream", bytes=2)
        server.remove("limit_data_downstream")
        server.remove("latency_downstream")
    with connected(address, upstream) as pair:
        pair.upstream.sendall(b"again")
        assert receive(pair.client, 5) == b"again"
