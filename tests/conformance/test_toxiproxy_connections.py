"""Connections without toxics: their bytes, their ends, dead upstreams, disabling. One body of tests for both servers."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.conformance.toxiproxy_support import (
    DEADLINE,
    KINDS,
    Server,
    Upstream,
    connected,
    dial,
    echo,
    ending,
    eventually,
    receive,
    serving,
    silent,
)
from tests.ports import free_port


@pytest.fixture(scope="module", params=KINDS)
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


def test_bytes_pass_both_ways(server: Server, upstream: Upstream) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        for stream in ("upstream", "downstream"):
            sender, receiver = pair.ends(stream)
            sender.sendall(b"hello " + stream.encode())
            assert receive(receiver, 6 + len(stream)) == b"hello " + stream.encode()


def test_an_upstream_that_speaks_first(server: Server) -> None:
    upstream = Upstream(lambda connection: connection.sendall(b"220 ready"))
    try:
        with dial(server.proxy(upstream.port)) as client:
            assert receive(client, 9) == b"220 ready"
            assert ending(client) == "end"
    finally:
        upstream.close()


def test_what_was_sent_before_the_upstream_answered_arrives(server: Server, upstream: Upstream) -> None:
    with dial(server.proxy(upstream.port)) as client:
        client.sendall(b"early")
        assert receive(upstream.taken(), 5) == b"early"


def test_a_client_that_ends_at_once_is_delivered(server: Server, upstream: Upstream) -> None:
    """What it sent arrives, and then the end: there is no half-close."""
    with dial(server.proxy(upstream.port)) as client:
        client.sendall(b"last words")
    received = upstream.taken()
    assert receive(received, 10) == b"last words"
    assert ending(received) == "end"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_the_end_of_one_side_closes_both(server: Server, upstream: Upstream, stream: str) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        sender, receiver = pair.ends(stream)
        sender.sendall(b"before")
        sender.shutdown(socket.SHUT_WR)
        assert receive(receiver, 6) == b"before"
        assert ending(receiver) == "end"
        assert ending(sender) == "end"


@pytest.mark.parametrize("address", ["dead port", "nobody.invalid:80", "no address"])
def test_a_dead_upstream_is_accepted_and_then_closed(server: Server, address: str) -> None:
    if address == "dead port":
        address = f"127.0.0.1:{free_port()}"
    with dial(server.proxy(address)) as client:
        assert ending(client) in ("end", "reset")


def test_an_upstream_that_comes_back(server: Server) -> None:
    port = free_port()
    address = server.proxy(port)
    with dial(address) as client:
        assert ending(client) == "end"
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(DEADLINE)
        with dial(address) as client:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"back")
                assert receive(client, 4) == b"back"


def test_disabling_closes_every_connection_and_refuses_new_ones(server: Server, upstream: Upstream) -> None:
    address = server.proxy(upstream.port)
    with connected(address, upstream) as first, connected(address, upstream) as second:
        assert silent(first.client, during=0.05)
        assert server.ask("PATCH", "/proxies/p", {"enabled": False})[0] == 200
        for end in (first.client, first.upstream, second.client, second.upstream):
            assert ending(end) == "end"
        with pytest.raises(ConnectionRefusedError):
            dial(address)
    assert server.ask("PATCH", "/proxies/p", {"enabled": True})[0] == 200
    with connected(address, upstream) as again:
        again.client.sendall(b"hello")
        assert receive(again.upstream, 5) == b"hello"


@pytest.mark.parametrize("toxic", ["latency", "bandwidth", "timeout", "slow_close"])
def test_disabling_does_not_wait_for_a_toxic(server: Server, upstream: Upstream, toxic: str) -> None:
    attributes = {"latency": {"latency": 60_000}, "bandwidth": {"rate": 0}, "slow_close": {"delay": 60_000}, "timeout": {}}[toxic]
    address = server.proxy(upstream.port)
    server.toxic(toxic, **attributes)
    server.toxic(toxic, "upstream", **attributes)
    with connected(address, upstream) as pair:
        pair.client.sendall(b"x")
        pair.upstream.sendall(b"x")
        assert server.ask("PATCH", "/proxies/p", {"enabled": False})[0] == 200
        for end in (pair.client, pair.upstream):  # a byte that the proxy had not read yet turns the end into a reset
            assert ending(end) in ("end", "reset")


def test_deleting_and_changing_the_upstream_close_connections(server: Server, upstream: Upstream) -> None:
    other = Upstream()
    try:
        address = server.proxy(upstream.port)
        with connected(address, upstream) as pair:
            assert server.ask("PATCH", "/proxies/p", {"upstream": f"127.0.0.1:{other.port}"})[0] == 200
            assert ending(pair.client) == "end"
        with connected(address, other) as pair:
            assert server.ask("DELETE", "/proxies/p")[0] == 204
            assert ending(pair.client) == "end"
            assert ending(pair.upstream) == "end"
    finally:
        other.close()


def test_a_slow_receiver_slows_the_sender(server: Server, upstream: Upstream) -> None:
    """Bytes are not piled up in the proxy: with a receiver that reads nothing, a sender blocks long before 64 MB."""
    with connected(server.proxy(upstream.port), upstream) as pair:
        pair.client.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += pair.client.send(b"x" * 65536)
        pair.client.settimeout(DEADLINE)
        assert receive(pair.upstream, sent) == b"x" * sent


def test_eight_megabytes_both_ways_at_once_in_random_chunks(server: Server, upstream: Upstream) -> None:
    with connected(server.proxy(upstream.port), upstream) as pair:
        exact(pair.client, pair.upstream, pair.upstream, pair.client)


def exact(*ends: socket.socket) -> None:
    """8 MB from each first to each second socket, at once, byte for byte."""
    source = random.Random(11)
    whole = source.randbytes(8 << 20)
    sizes = [source.randint(1, 200_000) for _ in range(2000)]

    def send(sender: socket.socket) -> None:
        at = 0
        for size in sizes:
            sender.sendall(whole[at : at + size])
            at += size
            if at >= len(whole):
                return

    threads = [threading.Thread(target=send, args=(sender,), daemon=True) for sender in ends[::2]]
    found: dict[int, bytes] = {}
    threads += [
        threading.Thread(target=lambda place=place, end=end: found.__setitem__(place, receive(end, len(whole))), daemon=True)
        for place, end in enumerate(ends[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(found.get(place) == whole for place in range(len(ends) // 2))


def test_two_hundred_connections_at_once(server: Server) -> None:
    upstream = Upstream(echo)
    clients: list[socket.socket] = []
    try:
        address = server.proxy(upstream.port)
        clients += [dial(address) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%06d" % number * 100)
        for number, client in enumerate(clients):
            assert receive(client, 600) == b"%06d" % number * 100
        server.ask("PATCH", "/proxies/p", {"enabled": False})
        assert {ending(client) for client in clients} == {"end"}
    finally:
        for client in clients:
            client.close()
        upstream.close()


def test_nothing_stays_open_after_connections_have_closed(server: Server) -> None:
    import psutil

    upstream = Upstream(echo)
    try:
        address = server.proxy(upstream.port)
        process = psutil.Process(server.process.pid)

        def open_sockets() -> int:
            return len(
                [c for c in process.net_connections() if c.status == psutil.CONN_ESTABLISHED and c.raddr and c.laddr.port != server.port]
            )

        for _ in range(50):
            with dial(address) as client:
                client.sendall(b"x")
                assert receive(client, 1) == b"x"
        eventually(lambda: open_sockets() == 0)
    finally:
        upstream.close()
