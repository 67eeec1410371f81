"""A server that changes hands: whatever an app's login can do to it, the next run finds it as it was, and the login worthless."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.brokers import BROKERS
from harness.ports.broker import Endpoint
from harness.runtimes.shared.pool import Lasting, Lease
from tests.conformance.hands_support import Hands, handed_over, without_marks

__all__ = ["handed_over"]  # a fixture


# --- Redis ----------------------------------------------------------------------------------------------------------


def redis_client(end: Endpoint, role: str = "worker") -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    login, once = end.logins[role], Retry(NoBackoff(), 0)
    return redis.Redis(host=end.host, port=end.port, username=login.user, password=login.password, socket_timeout=5, retry=once)


def redis_state(end: Endpoint) -> Any:
    """All that an app's login can see of it, and what the monitor sees beyond."""
    import redis

    client, monitor = redis_client(end), redis.Redis(host=end.host, port=end.port, password=end.password)
    with contextlib.closing(client), contextlib.closing(monitor):
        keys = {db: redis.Redis(host=end.host, port=end.port, password=end.password, db=db).keys() for db in range(16)}
        config = monitor.config_get("*")
        clients = [entry["user"] for entry in monitor.client_list() if entry["user"] != "default"]
        return {
            "keys": {db: found for db, found in keys.items() if found},
            "scripts": client.script_exists(REDIS_SCRIPT),
            "channels": monitor.pubsub_channels(),
            "patterns": monitor.pubsub_numpat(),
            "functions": monitor.function_list() if int(monitor.info()["redis_version"].split(".")[0]) >= 7 else [],
            "config": {name: value for name, value in config.items() if name not in ("port", "dir")},
            "rights": [line.partition(" on ")[2].partition("~")[2] for line in monitor.acl_list()],
            "users": clients,
            "names": without_marks(monitor.acl_users()),
        }


REDIS_SCRIPT = ""


def leave_in_redis(end: Endpoint) -> list[Any]:
    """Keys of every type in several databases, scripts, functions, subscribers, blocked and watching clients, messages, unacked ones."""
    global REDIS_SCRIPT
    import redis
    from celery import Celery

    client = redis_client(end)
    client.set("key", "x")
    client.lpush("list", 1, 2)
    client.zadd("unacked_index", {"tag": 1})
    client.hset("unacked", "tag", "message")
    client.sadd("_kombu.binding.ghost", "ghost\x06\x16\x06\x16ghost")
    client.xadd("stream", {"a": 1})
    client.xgroup_create("stream", "group")
    client.set("celery-task-meta-1", "{}")
    REDIS_SCRIPT = client.script_load("return 'left'")
    with contextlib.suppress(redis.ResponseError):  # before 7.0
        client.execute_command("FUNCTION", "LOAD", "#!lua name=left\nredis.register_function('left', function() return 1 end)")
    other = redis_client(end)
    other.connection_pool.connection_kwargs["db"] = 5
    other.connection_pool.disconnect()
    other.set("key", "in another database")
    subscriber = client.pubsub()
    subscriber.subscribe("/0.celery.pidbox")
    subscriber.psubscribe("*")
    watcher = client.pipeline()
    watcher.watch("key")
    app = Celery("left", broker=BROKERS["redis"].url(end.for_app("worker")))
    app.send_task("left.behind", countdown=3600, queue="ghosts")
    app.control.revoke("some-id")
    app.close()
    return [client, other, subscriber, watcher]


def test_redis_is_as_it_was_when_it_began(hands: Callable[[str], Hands]) -> None:
    import redis

    both = hands("redis")
    server, lease = both.begin()
    first, pid = server.endpoint, server.process.pid
    before = redis_state(first)
    left = leave_in_redis(first)
    assert redis_state(first) != before, "it did leave something"
    assert lease.give_back(server, sound=True)
    server, lease = both.begin()
    assert server.process.pid == pid and lease.took(server), "it is the same process"
    assert redis_state(server.endpoint) == before
    for role in ("worker", "producer"):
        assert server.endpoint.logins[role].password != first.logins[role].password
        assert redis_client(server.endpoint, role).ping()
        with pytest.raises(redis.AuthenticationError):
            redis_client(first, role).ping()
    for client in left[:2]:  # they connect anew
        with pytest.raises((redis.AuthenticationError, redis.ConnectionError)):
            client.execute_command("GET", "key")


def test_each_run_has_its_own_part_of_the_log(hands: Callable[[str], Hands]) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert lease.give_back(server, sound=True)
    both.begin()
    both.close()
    first, second = ((both.folder / f"run-{n}.log").read_text() for n in (1, 2))
    assert "Ready to accept connections" in first and "Ready to accept connections" not in second
    assert "SIGTERM" not in first


# --- RabbitMQ -------------------------------------------------------------------------------------------------------


def leave_in_rabbit(end: Endpoint) -> list[Any]:
    """Queues, exchanges, bindings between both, messages, unacked ones, consumers, and a policy-like argument."""
    from kombu import Connection, Exchange, Queue

    connection = Connection(BROKERS["rabbitmq"].url(end.for_app("worker")))
    channel = connection.channel()
    exchange = Exchange("ghosts", "topic", durable=True)(channel)
    exchange.declare()
    for name in ("ghosts", "celery"):
        queue = Queue(name, exchange, "ghost.#", queue_arguments={"x-max-priority": 3})(channel)
        queue.declare()
    producer = connection.Producer()
    for number in range(3):
        producer.publish({"n": number}, exchange=exchange, routing_key="ghost.1", delivery_mode=2)
    deadline = time.monotonic() + 60
    while queue.get() is None:  # unacked from now on
        assert time.monotonic() < deadline
    Queue("left", Exchange("amq.fanout", "fanout", passive=True))(channel).declare()
    return [connection, channel]


def rabbit_state(end: Endpoint) -> Any:
    from harness.brokers.rabbitmq_management import Management

    management = Management(end)
    try:
        told = management.get("/api/definitions")
        users = sorted((user["name"], str(user["tags"])) for user in told["users"])
        shown = {name: told[name] for name in ("vhosts", "permissions", "topic_permissions", "parameters", "policies")}
        shown = {name: sorted(entries, key=str) for name, entries in shown.items()}
        return without_marks({**shown, "users": users, **{name: told[name] for name in ("queues", "exchanges", "bindings")}})
    finally:
        management.close()


def test_rabbitmq_is_as_it_was_when_it_began(hands: Callable[[str], Hands]) -> None:
    from amqp.exceptions import AccessRefused
    from kombu import Connection

    both = hands("rabbitmq")
    server, lease = both.begin()
    first, pid = server.endpoint, server.process.pid
    before = rabbit_state(first)
    connection, _ = leave_in_rabbit(first)
    assert rabbit_state(first) != before
    assert lease.give_back(server, sound=True)
    server, lease = both.begin()
    assert server.process.pid == pid and lease.took(server)
    assert rabbit_state(server.endpoint) == before
    with Connection(BROKERS["rabbitmq"].url(server.endpoint.for_app("producer"))) as fresh:
        fresh.ensure_connection(max_retries=1)
    with pytest.raises((AccessRefused, OSError)), Connection(BROKERS["rabbitmq"].url(first.for_app("worker"))) as old:
        old.connect()
    with pytest.raises(Exception, match=r"."):  # whatever amqp makes of a closed connection
        connection.channel()
        connection.drain_events(timeout=1)


# --- PostgreSQL -----------------------------------------------------------------------------------------------------

LEAVE = """
CREATE TABLE left_behind (id serial PRIMARY KEY, text text);
INSERT INTO left_behind (text) VALUES ('one'), ('two');
CREATE SEQUENCE ghosts START 42;
SELECT nextval('ghosts');
CREATE FUNCTION ghost() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA haunted;
CREATE TYPE haunted.mood AS ENUM ('sad');
SELECT lo_create(0);
ALTER ROLE CURRENT_USER SET search_path TO haunted;
SELECT pg_advisory_lock(7);
LISTEN ghosts;
"""
STATE = {
    "relations": "SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_temp|^pg_toast_temp' ORDER BY 1",
    "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "objects": "SELECT count(*) FROM pg_largeobject_metadata",
    "roles": "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolconfig FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1",
    "databases": "SELECT datname FROM pg_database ORDER BY 1",
    "settings": "SELECT count(*) FROM pg_db_role_setting",
    "locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "others": "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^(worker|producer)' AND pid <> pg_backend_pid()",
}


def postgres(end: Endpoint, role: str = "") -> Any:
    import psycopg

    user, password = (end.logins[role].user, end.logins[role].password) if role else (end.user or "monitor", end.password)
    return psycopg.connect(host=end.host, port=end.port, user=user, password=password, dbname="app", autocommit=True, connect_timeout=5)


def postgres_state(end: Endpoint) -> Any:
    with contextlib.closing(postgres(end)) as connection:
        return without_marks({name: connection.execute(statement).fetchall() for name, statement in STATE.items()})


def test_postgresql_is_as_it_was_when_it_began(hands: Callable[[str], Hands]) -> None:
    psycopg = pytest.importorskip("psycopg")
    both = hands("postgres")
    server, lease = both.begin()
    first, pid = server.endpoint, server.process.pid
    before = postgres_state(first)
    left = postgres(first, "worker")
    left.execute(LEAVE)
    assert postgres_state(first) != before
    assert lease.give_back(server, sound=True)
    server, lease = both.begin()
    assert server.process.pid == pid and lease.took(server)
    assert postgres_state(server.endpoint) == before
    with contextlib.closing(postgres(server.endpoint, "worker")) as fresh:
        fresh.execute("CREATE TABLE left_behind (id serial PRIMARY KEY)")
        assert fresh.execute("INSERT INTO left_behind DEFAULT VALUES RETURNING id").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        postgres(first, "worker")
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")


# --- what does not go back ------------------------------------------------------------------------------------------


def test_a_server_that_a_fault_touched_or_that_may_have_company_does_not_go_back(hands: Callable[[str], Hands]) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert not lease.give_back(server, sound=False), "somebody may be alive"
    lease.made(server, "origin")
    lease.touch("broker")
    assert not lease.give_back(server, sound=True)
    lease = Lease(both.pool)
    lease.made(server, "origin")
    server.pause()
    assert not lease.give_back(server, sound=True), "it does not answer"
    server.resume()


def test_one_whose_state_is_not_certain_is_removed(hands: Callable[[str], Hands], monkeypatch: pytest.MonkeyPatch) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert isinstance(server, Lasting) and lease.give_back(server, sound=True)
    monkeypatch.setattr(type(server.spec.kind), "reset", lambda self, endpoint: False)
    other, lease = both.begin()
    assert other is not server and not server.alive() and not lease.took(other)


def test_one_of_another_program_is_not_taken_and_does_not_stay(hands: Callable[[str], Hands]) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert lease.give_back(server, sound=True)
    lease = Lease(both.pool)
    assert lease.take(server.spec, "another origin", both.folder / "log") is None
    lease.complete()
    assert not server.alive()


def test_one_that_died_while_it_waited_is_not_taken(hands: Callable[[str], Hands]) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert lease.give_back(server, sound=True)
    server.process.popen.kill()
    server.process.popen.wait(60)
    other, lease = both.begin()
    assert other is not server and other.answers()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs a server: redis-server")
def test_a_restart_after_it_changed_hands_knows_the_new_logins(hands: Callable[[str], Hands]) -> None:
    both = hands("redis")
    server, lease = both.begin()
    assert lease.give_back(server, sound=True)
    server, _ = both.begin()
    server.stop(keep=True)
    server.start()
    assert redis_client(server.endpoint).ping() and redis_client(server.endpoint, "producer").ping()
