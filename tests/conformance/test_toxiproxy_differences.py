"""What the servers are allowed to differ in, and no more: each entry of `harness.netproxy.differences` is shown on both."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from harness.netproxy.differences import DIFFERENCES, expected
from tests.conformance.toxiproxy_support import (
    DEADLINE,
    KINDS,
    ROOT,
    Server,
    Upstream,
    command,
    connected,
    dial,
    echo,
    ending,
    eventually,
    receive,
    serving,
)


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


SHOWN: set[str] = set()


def agreed(name: str, server: Server) -> object:
    """What this server is expected to do; notes that the difference has been shown."""
    SHOWN.add(name)
    return expected(name, embedded=server.embedded)


def test_logger_field(server: Server) -> None:
    server.proxy(1)
    assert ("Logger" in server.ask("GET", "/proxies/p")[1]) is agreed("logger_field", server)


def test_live_counters(server: Server) -> None:
    upstream = Upstream(echo)
    try:
        with dial(server.proxy(upstream.port, "live")) as client:
            client.sendall(b"x" * 100)
            assert receive(client, 100) == b"x" * 100
            assert (set(server.counted("live").values()) == {100}) is agreed("live_counters", server)
    finally:
        upstream.close()


def fill(sender: socket.socket) -> None:
    """Until nothing more goes: the receiver reads nothing."""
    sender.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            sender.send(b"x" * 65536)
    sender.settimeout(DEADLINE)


@pytest.mark.parametrize("kind", KINDS)
def test_changes_under_load(kind: str, upstream: Upstream) -> None:
    """On servers of their own, since the real one's lock is lost for good."""
    with serving(kind) as server, connected(server.proxy(upstream.port), upstream) as pair:
        fill(pair.upstream)
        try:
            status = server.ask("POST", "/proxies/p/toxics", {"type": "latency"}, timeout=1.5)[0]
        except TimeoutError:
            status = 0
        assert (status == 200) is agreed("changes_under_load", server)


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_reset(kind: str, upstream: Upstream) -> None:
    with serving(kind) as server:
        address = server.proxy(upstream.port)
        server.toxic("reset_peer", timeout=3000)
        with connected(address, upstream) as pair:
            sent = time.monotonic()
            pair.upstream.sendall(b"x")
            time.sleep(0.2)  # the wait has begun: nothing shows it from outside
            began = time.monotonic()
            server.remove("reset_peer_downstream")
            assert (time.monotonic() - began < 1.5) is agreed("waiting_reset", server)
            assert ending(pair.client) == "reset"
            assert 2.9 < time.monotonic() - sent < 3.0 + DEADLINE


def test_half_refused_change(server: Server) -> None:
    server.proxy(1)
    server.toxic("latency", latency=1)
    assert server.raw("PATCH", "/proxies/p/toxics/latency_downstream", b'{"attributes": {"latency": 2, "jitter": "x"}}')[0] == 400
    attributes = server.ask("GET", "/proxies/p/toxics/latency_downstream")[1]["attributes"]
    assert (attributes["latency"] == 2) is agreed("half_refused_change", server)


@pytest.mark.parametrize("listen", ["", ":0"])
def test_default_host(server: Server, listen: str) -> None:
    status, made = server.ask("POST", "/proxies", {"name": "p", "upstream": "127.0.0.1:1", "listen": listen})
    assert status == 201
    where = {"127.0.0.1": "loopback", "[::]": "everywhere", "0.0.0.0": "everywhere"}[made["listen"].rpartition(":")[0]]
    assert where == agreed("default_host", server)


@pytest.mark.parametrize("kind", KINDS)
def test_port_zero(kind: str) -> None:
    process = subprocess.Popen(
        [*command(kind), "-host", "127.0.0.1", "-port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    server = Server(kind, 0, process)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on 127.0.0.1:") is agreed("port_zero", server)
        if server.embedded:
            server.port = int(line.rpartition(":")[2])
            assert server.ask("GET", "/proxies") == (200, {})
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("kind", KINDS)
def test_runtime_metrics(kind: str) -> None:
    process = subprocess.run(
        [*command(kind), "-version", "-runtime-metrics"], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (process.returncode == 0) is agreed("runtime_metrics", Server(kind, 0, process))  # type: ignore[arg-type]


def draws(kind: str, seed: int) -> list[bool]:
    """Which of 24 connections a toxicity of one half hits."""
    upstream = Upstream(echo)
    try:
        with serving(kind, seed=seed) as server:
            address = server.proxy(upstream.port)
            server.toxic("limit_data", "downstream", 0.5, bytes=0)
            hit = []
            for _ in range(24):
                with dial(address) as client:
                    client.sendall(b"x")
                    hit.append(receive(client, 1) == b"")
            return hit
    finally:
        upstream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_seed(kind: str) -> None:
    same = draws(kind, 5) == draws(kind, 5)
    SHOWN.add("seed")
    assert same is expected("seed", embedded=kind == "embedded")
    assert draws(kind, 5) != draws(kind, 6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_open_connections(kind: str, number: signal.Signals) -> None:
    """No difference: 0, and every socket closed."""
    upstream = Upstream()
    try:
        with serving(kind) as server:
            address = server.proxy(upstream.port)
            server.toxic("latency", latency=60_000)
            with connected(address, upstream) as pair:
                pair.upstream.sendall(b"under way")
                server.process.send_signal(number)
                assert server.process.wait(DEADLINE) == 0
                assert ending(pair.client) in ("end", "reset")
            with pytest.raises(ConnectionRefusedError):
                dial(address)
    finally:
        upstream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_without_proxy_metrics_there_are_none(kind: str) -> None:
    """No difference."""
    port = 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command(kind), "--host=127.0.0.1", f"-port={port}"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        server = Server(kind, port, process)

        def status() -> int:
            try:
                return server.raw("GET", "/metrics")[0]
            except OSError:
                return 0

        assert eventually(status) == 404
    finally:
        process.terminate()
        process.wait(DEADLINE)


def test_every_difference_was_shown() -> None:
    """Last in the file: an entry without a test would excuse something unseen."""
    assert {difference.name for difference in DIFFERENCES} == SHOWN
