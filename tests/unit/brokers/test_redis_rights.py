"""What each login of a server may do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.unit.brokers.servers import RedisServer, running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as found:
        yield found


def client(server: RedisServer, login: str) -> redis.Redis:
    return redis.Redis.from_url(server.url(login))


def refused(of: redis.Redis, *command: Any) -> bool:
    try:
        of.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ResponseError:
        pass  # e.g. no such script: it was let in
    return False


DATA = [
    ("LPUSH", "queue", "x"),
    ("PUBLISH", "/0.celery.pidbox", "x"),
    ("HSET", "unacked", "tag", "x"),
    ("EVAL", "return redis.call('GET', KEYS[1])", 1, "key"),
    ("SELECT", 1),
    ("TIME",),
    ("CLIENT", "SETNAME", "me"),
]
SERVER = [
    ("CONFIG", "GET", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("ACL", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SHUTDOWN", "NOSAVE"),
    ("MONITOR",),
    ("REPLICAOF", "NO", "ONE"),
    ("EVAL", "return redis.call('FLUSHALL')", 0),
]
TAKING = [("BRPOP", "queue", 1), ("RPOP", "queue"), ("LPOP", "queue"), ("BLPOP", "queue", 1), ("LMOVE", "queue", "b", "LEFT", "LEFT")]


@pytest.mark.parametrize("login", ["worker", "producer"])
def test_data_is_theirs_and_the_server_is_not(shared: RedisServer, login: str) -> None:
    with client(shared, login) as connection:
        assert [command for command in DATA if refused(connection, *command)] == []
        # A refusal inside a script is an error of the script.
        assert [command for command in SERVER[:-1] if not refused(connection, *command)] == []
        with pytest.raises(redis.ResponseError, match="can't run this command"):
            connection.execute_command(*SERVER[-1])


def test_a_producer_takes_no_message_out(shared: RedisServer) -> None:
    with client(shared, "producer") as producer, client(shared, "worker") as worker:
        assert [command for command in TAKING if not refused(producer, *command)] == []
        worker.rpush("queue", "a", "b", "c", "d", "e")
        assert [command for command in TAKING if refused(worker, *command)] == []


def test_the_monitor_may_do_everything(shared: RedisServer) -> None:
    with client(shared, "monitor") as monitor:
        assert monitor.config_get("port")
        monitor.flushall()


def test_no_login_and_a_wrong_one_get_nowhere(shared: RedisServer) -> None:
    end = shared.endpoint
    for login in ({}, {"password": "x"}, {"username": "worker", "password": end.password}, {"username": "other", "password": "x"}):
        with redis.Redis(end.host, end.port, retry=Retry(NoBackoff(), 0), **login) as stranger, pytest.raises(redis.RedisError):
            stranger.get("key")


def test_the_configuration_holds_no_password(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path)) as server:
        text = (tmp_path / "redis.conf").read_text()
        secrets = [server.endpoint.password, *(login.password for login in server.endpoint.logins.values())]
        assert len(set(secrets)) == 3
        assert not [secret for secret in secrets if secret in text or secret.split(" ")[0] in text]
