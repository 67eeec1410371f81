"""Redis through the embedded proxy, through Toxiproxy's own and directly: throughput, processor time, and what a ping pays."""

from __future__ import annotations

import contextlib
import csv
import selectors
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from measurement import Measurement, pairs, ratio_of_medians
from server import bare_redis

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 11
REQUESTS = 20_000
CLIENTS = 50
PINGS = 2_000
ROUNDS = 7
_SET = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\nxxx\r\n"
_OK = b"+OK\r\n"


def measure() -> list[Measurement]:
    """Every pair is interleaved, so that what else the machine does hits both halves."""
    subprocess.run([ROOT / "tools" / "setup-toxiproxy"], check=True, stdout=subprocess.DEVNULL)
    with bare_redis() as url, through("real", _port(url)) as (go, go_process), through("embedded", _port(url)) as (ours, our_process):
        direct = _port(url)
        rates = {
            "embedded / Go": (pairs(lambda: rate(ours), lambda: rate(go), PAIRS), ">= 0.9"),
            "embedded / direct": (pairs(lambda: rate(ours), lambda: rate(direct), PAIRS), ">= 0.3"),
            "Go / direct": (pairs(lambda: rate(go), lambda: rate(direct), PAIRS), ">= 0.3"),
            "embedded / Go, 16 at once per connection": (pairs(lambda: rate(ours, 16), lambda: rate(go, 16), PAIRS), ">= 0.9"),
        }
        spent = pairs(lambda: cpu(our_process, ours), lambda: cpu(go_process, go), PAIRS)
        added = [added_microseconds(direct, ours, go) for _ in range(ROUNDS)]
    unit = f"requests/s, {CLIENTS} clients, {_CLIENT}"
    shown = f"microseconds: {statistics.median(a for a, _ in added):.0f} and {statistics.median(b for _, b in added):.0f}"
    busy = f"microseconds: {statistics.median(a for a, _ in spent):.0f} and {statistics.median(b for _, b in spent):.0f}"
    return [
        *(ratio_of_medians(f"Redis through a proxy: {name}", found, goal, unit) for name, (found, goal) in rates.items()),
        ratio_of_medians("processor time of a proxy per request: embedded / Go", spent, "<= 1.0", busy),
        ratio_of_medians("latency that a proxy adds to a ping: embedded / Go", added, "<= 1.0", shown),
    ]


@contextlib.contextmanager
def through(kind: str, port: int) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a proxy in front of another, and the server's process."""
    from tests.conformance.toxiproxy_support import serving

    with serving(kind) as server:
        yield server.proxy(port)[1], psutil.Process(server.process.pid)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def rate(port: int, pipeline: int = 1) -> float:
    """SETs per second."""
    return _by_redis_benchmark(port, pipeline) if shutil.which("redis-benchmark") else _by_sockets(port, pipeline)


def cpu(process: psutil.Process, port: int) -> float:
    """Microseconds of processor time that the proxy spends per SET: unlike throughput, hardly touched by what else runs."""
    before = sum(process.cpu_times()[:2])
    rate(port)
    return (sum(process.cpu_times()[:2]) - before) / REQUESTS * 1e6


_CLIENT = "redis-benchmark" if shutil.which("redis-benchmark") else "a client in Python"


def _by_redis_benchmark(port: int, pipeline: int) -> float:
    requests = REQUESTS * min(pipeline, 4)
    command = ["redis-benchmark", "-p", str(port), "-t", "set", "-n", str(requests), "-c", str(CLIENTS), "-P", str(pipeline), "--csv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found = next(row for row in csv.reader(done.stdout.splitlines()) if row and row[0].startswith("SET"))
    return float(found[1])


def _by_sockets(port: int, pipeline: int) -> float:
    """Slower than redis-benchmark, and so flatters every proxy alike: only for machines without it."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        missing: dict[socket.socket, int] = {}
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client, selectors.EVENT_READ)
            missing[client] = pipeline * len(_OK)
        begun, answered = time.monotonic(), 0
        for client in missing:
            client.sendall(_SET * pipeline)
        while answered < REQUESTS:
            for key, _ in selector.select():
                client = key.fileobj  # type: ignore[assignment]
                missing[client] -= len(client.recv(65536))
                if not missing[client]:
                    answered += pipeline
                    missing[client] = pipeline * len(_OK)
                    client.sendall(_SET * pipeline)
        return answered / (time.monotonic() - begun)


def added_microseconds(direct: int, first: int, second: int) -> tuple[float, float]:
    """By how much a ping through each of two ports takes longer than a direct one: medians of pings that take turns."""
    taken: dict[int, list[float]] = {direct: [], first: [], second: []}
    with contextlib.ExitStack() as stack:
        clients = {port: stack.enter_context(socket.create_connection(("127.0.0.1", port))) for port in taken}
        for client in clients.values():
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(PINGS):
            for port, client in clients.items():
                begun = time.perf_counter()
                client.sendall(b"PING\r\n")
                assert client.recv(16) == b"+PONG\r\n"
                taken[port].append(time.perf_counter() - begun)
    least, *others = (statistics.median(taken[port]) * 1e6 for port in (direct, first, second))
    return others[0] - least, others[1] - least
