"""A reset server cannot be told from a fresh one, whatever an app's login did to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.unit.brokers.servers import RedisServer


@pytest.fixture
def server(tmp_path: Path, redis_server_program: str) -> Iterator[RedisServer]:
    found = RedisServer(tmp_path / "redis", persistence=True)
    try:
        yield found.start()
    finally:
        found.kill()


def state(client: Any) -> dict[str, Any]:
    """Everything that a client can see of it, but for counters that start at zero and go up by our looking."""
    return {
        "keys": client.info("keyspace"),
        "config": client.config_get("*"),
        "users": client.execute_command("ACL", "LIST"),
        "clients": len([c for c in client.client_list() if c["id"] != str(client.client_id())]),
        "scripts": client.info("memory")["number_of_cached_scripts"],
        "channels": client.pubsub_channels(),
        "functions": client.execute_command("FUNCTION", "LIST"),
    }


def test_nothing_that_a_worker_may_do_is_left(server: RedisServer) -> None:
    with server.client() as monitor:
        fresh = state(monitor)
        login = server.endpoint.logins["worker"]
        worker = redis.Redis(host="127.0.0.1", port=server.endpoint.port, username=login.user, password=login.password, db=3)
        worker.set("left", 1)
        worker.rpush("celery", "message")
        worker.eval("return 1", 0)
        worker.script_load("return 2")
        worker.function_load("#!lua name=left\nredis.register_function('left', function() return 1 end)")
        listening = worker.pubsub()
        listening.subscribe("left")
        assert listening.get_message(timeout=5)
        for refused in (("CONFIG", "SET", "maxmemory", "1mb"), ("ACL", "SETUSER", "left"), ("SHUTDOWN",)):
            with pytest.raises(redis.exceptions.NoPermissionError):
                worker.execute_command(*refused)
        assert state(monitor) != fresh
    assert server.kind.reset(server.endpoint)
    with server.client() as monitor:
        assert state(monitor) == fresh
    worker.close()
    listening.close()


def test_a_server_that_does_not_answer_cannot_be_reset(server: RedisServer) -> None:
    server.kill()
    assert not server.kind.reset(server.endpoint)
