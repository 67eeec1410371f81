"""A store says that it has dealt with all that was sent to it exactly when it has: clients that wait for no answer."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.brokers.redis_queues import RedisQueues
from harness.stores.http import HttpParameters, HttpStore
from harness.stores.redis import RedisParameters, RedisStore
from tests.unit.brokers.servers import RedisServer, eventually, running
from tests.unit.stores.hosts import FolderHost


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HttpStore]:
    slow = {"path": "/slow", "delay": "60s"}
    store = HttpStore("api", HttpParameters.model_validate({"routes": [slow, {"path": "/dropped", "drop": "after_accept"}]}))
    store.start(FolderHost(tmp_path))
    yield store
    store.stop()


def request(path: str, body: object = None) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def connected(api: HttpStore) -> socket.socket:
    return socket.create_connection(api.addresses()[0], timeout=10)


def count(api: HttpStore) -> int:
    return len(api.observe().collections["requests"].rows)


def wait_for(settled: Callable[[], bool]) -> None:
    """Without a pause between the questions: the moment counts."""
    assert any(settled() for _ in itertools.repeat(None, 1_000_000))


def test_thousands_of_requests_that_nobody_waits_for(api: HttpStore) -> None:
    """In bursts over many connections, new and kept; some clients hang up at once with their answers unread."""
    sent = 0
    with contextlib.ExitStack() as kept:
        open_ones = [kept.enter_context(connected(api)) for _ in range(20)]
        for burst in range(25):
            for number in range(80):
                open_ones[number % 20].sendall(request(f"/{burst}", number))
            for number in range(20):
                with connected(api) as short:
                    short.sendall(request(f"/{burst}", [number]))
            sent += 100
            wait_for(api.settled)
            assert count(api) == sent
    assert sent == 2_500
    eventually(api.settled)


def test_a_request_that_has_not_come_in_full_is_no_reason_to_wait(api: HttpStore) -> None:
    whole = request("/a", 1)
    with connected(api) as client:
        for part in (whole[:10], whole[10:-1]):
            client.sendall(part)
            eventually(api.settled)
            assert count(api) == 0
        client.sendall(whole[-1:])
        wait_for(api.settled)
        assert count(api) == 1


def test_nor_is_an_answer_that_takes_its_time(api: HttpStore) -> None:
    with connected(api) as client, connected(api) as silent:
        client.sendall(request("/slow"))
        wait_for(api.settled)
        assert count(api) == 1
        client.shutdown(socket.SHUT_WR)
        wait_for(api.settled)
        silent.sendall(request("/dropped"))
        wait_for(api.settled)
        assert count(api) == 2


def test_one_who_is_not_accepted_yet_is_waited_for(api: HttpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api._server is not None
    with api._server._lock:  # nobody is accepted meanwhile
        client = connected(api)
        client.sendall(request("/a"))
        from harness.stores._wire import backlog

        assert backlog(api._server._http.socket) == 1
    wait_for(api.settled)
    assert count(api) == 1
    client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as found:
        yield found


@pytest.fixture(params=["store", "queues"])
def redis(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Any]:
    """Both know it in the same way."""
    if request.param == "queues":
        queues = RedisQueues(server.endpoint, {})
        yield queues
        queues.close()
        return
    host = FolderHost(server.folder)
    host.server = lambda *_, **__: server.endpoint  # type: ignore[method-assign, assignment]
    store = RedisStore("cache", RedisParameters())
    store.start(host)
    yield store
    store.stop()


def speaking(server: RedisServer) -> socket.socket:
    client = socket.create_connection((server.endpoint.host, server.endpoint.port), timeout=10)
    password = server.endpoint.password.encode()
    client.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password))
    assert client.recv(100) == b"+OK\r\n"
    return client


def test_redis_has_executed_what_nobody_waited_for(redis: Any, server: RedisServer) -> None:
    """Commands of a few bytes, and of more than it reads at a time."""
    server.client().flushall()
    with contextlib.ExitStack() as clients:
        open_ones = [clients.enter_context(speaking(server)) for _ in range(10)]
        for number in range(1, 301):
            value = b"v" * (number % 3 * 40_000)
            open_ones[number % 10].sendall(
                b"*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$%d\r\n%s\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" % (len(value), value)
            )
            assert redis.settled()
            assert int(server.client().get("n")) == number


def test_redis_fingerprints_change_with_every_change_and_with_nothing_else(redis: Any, server: RedisServer) -> None:
    client = server.client()
    before = redis.fingerprint()
    one = partial(client.set, "a", 1)
    for change in (one, one, lambda: client.delete("a"), one, lambda: client.expire("a", 100), lambda: client.flushall()):
        client.get("a")
        assert redis.fingerprint() == before and redis.settled() and redis.fingerprint() == before
        change()
        after = redis.fingerprint()
        assert after != before
        before = after


def test_a_key_that_expires_changes_the_fingerprint(redis: Any, server: RedisServer) -> None:
    for lives in (200, 5000):  # on a busy machine it may be gone before the first look
        server.client().set("short", 1, px=lives)
        before = redis.fingerprint()
        if server.client().exists("short"):
            break
    eventually(lambda: not server.client().exists("short"))
    assert redis.fingerprint() != before
