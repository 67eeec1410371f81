"""A running node: who may do what, what it listens on, and how it becomes as new."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from harness.brokers.rabbitmq_connection import connect
from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from tests.ports import free_port
from tests.unit.brokers.rabbit_server import RabbitServer, declare, send
from tests.unit.brokers.servers import eventually

TYPES = ["classic", "quorum"]


def test_only_our_process_with_our_password_is_ready(rabbit: RabbitServer) -> None:
    from dataclasses import replace

    assert rabbit.process is not None
    kind, end, pid = rabbit.kind, rabbit.endpoint, rabbit.process.pid
    assert kind.ready(end, pid) and kind.ready(end, 0)
    assert not kind.ready(end, os.getpid())
    assert not kind.ready(replace(end, password="wrong"), pid)
    assert not kind.ready(replace(end, port=free_port()), pid)
    assert kind.version(end) == kind.find()[1]


def test_it_listens_on_loopback_alone_and_shows_no_password(rabbit: RabbitServer) -> None:
    import psutil

    assert rabbit.process is not None
    node = psutil.Process(rabbit.process.pid)
    listening = {c.laddr.ip for c in node.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    mapper = psutil.Process(rabbit.companions[0].pid)
    listening |= {c.laddr.ip for c in mapper.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::1"}
    seen = " ".join(
        [*node.cmdline(), *node.environ().values(), *(p.read_text(errors="replace") for p in Path(rabbit.folder).glob("*") if p.is_file())]
    )
    assert rabbit.endpoint.password not in seen


def test_reset_leaves_nothing_of_an_app(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    """Queues of both types, exchanges, bindings, policies, the firehose, connections; the logins still may what they may."""
    import amqp

    management = rabbit.management()

    def state() -> list[Any]:
        kept = ("exchanges", "bindings", "policies", "permissions", "queues", "connections")
        facts = [management.get(f"/api/{name}?disable_stats=true") for name in kept]
        for entry in (entry for entries in facts for entry in entries):
            entry.pop("user_who_performed_action", None)
        return [sorted(map(str, entries)) for entries in facts] + [management.get("/api/vhosts/%2F")["tracing"]]

    clean = state()
    deadline = time.monotonic() + 60
    while True:  # a node that has just begun says for a moment that its cluster is not formed, and hangs up
        connection = rabbit.connection("worker")
        channel = connection.channel()
        try:
            declare(channel, "quorum", "quorum")
            break
        except amqp.exceptions.InternalError:
            connection.collect()
            assert time.monotonic() < deadline
    for kind in TYPES:
        declare(channel, kind, kind)
        send(channel, kind)
    channel.exchange_declare("shop", "topic", durable=True, auto_delete=False)
    channel.queue_bind("classic", "shop", "#")
    channel.basic_get("quorum")
    management.put("/api/policies/%2F/ttl", {"pattern": ".*", "definition": {"message-ttl": 60_000}})
    looker.duplicate("classic", share=1.0, count=1, together=True, rng=random.Random(1), seen=set())
    assert state() != clean
    assert rabbit.kind.reset(rabbit.endpoint)
    assert state() == clean
    with pytest.raises((amqp.AMQPError, OSError)):
        channel.queue_declare("classic", passive=True)
    connection.collect()
    assert (looker.depth(), looker.look(0.0)) == ((0, 0), [])
    again = rabbit.connection("producer")
    declare(again.channel(), "pay")
    send(again.channel(), "pay")
    assert [h.task_id for h in looker.look(0.0)] == ["t1"]
    again.collect()
    assert rabbit.process is not None and rabbit.kind.ready(rabbit.endpoint, rabbit.process.pid)


def test_clients_are_counted_by_the_apps_logins(rabbit: RabbitServer) -> None:
    before = rabbit.kind.clients(rabbit.endpoint)
    connections = [rabbit.connection(role) for role in ("worker", "worker", "producer", "")]
    assert eventually(lambda: rabbit.kind.clients(rabbit.endpoint) == before + 3)
    for connection in connections:
        connection.close()
    assert eventually(lambda: rabbit.kind.clients(rabbit.endpoint) == before)


def test_a_reset_waits_until_quorum_queues_are_taken_again(rabbit: RabbitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a busy node refuses the first ones of a new virtual host."""
    import amqp

    from harness.brokers import rabbitmq as module

    declared, refusals = module._try_quorum_queue, iter([True, True])

    def refused(channel: Any) -> None:
        if next(refusals, False):
            raise amqp.exceptions.InternalError("cluster_not_formed")
        declared(channel)

    monkeypatch.setattr(module, "_try_quorum_queue", refused)
    assert rabbit.kind.reset(rabbit.endpoint)
    assert next(refusals, None) is None


def test_reset_of_nobody_fails() -> None:
    endpoint = Endpoint("127.0.0.1", free_port(), "x", user="monitor", ports={"management": free_port(), "metrics": free_port()})
    assert not RabbitServer(Path(), endpoint=endpoint).kind.reset(endpoint)


@pytest.mark.parametrize("role", ["worker", "producer"])
def test_an_apps_login_can_do_what_celery_does_and_no_more(rabbit: RabbitServer, role: str) -> None:
    import amqp

    login = rabbit.endpoint.logins[role]
    connection = connect(rabbit.endpoint.for_app(role), timeout=5.0)
    channel = connection.channel()
    channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
    channel.queue_declare("pay", durable=True, auto_delete=False)
    channel.exchange_declare("pay", "direct", durable=True, auto_delete=False)
    channel.queue_bind("pay", "pay", "pay")
    channel.basic_publish_confirm(amqp.Message("x"), "pay", "pay")
    assert channel.basic_get("pay", no_ack=True) is not None
    channel.queue_declare("spy", exclusive=True)
    with pytest.raises(amqp.exceptions.AccessRefused):
        channel.queue_bind("spy", "amq.rabbitmq.trace", "#")
    with pytest.raises(amqp.exceptions.AccessRefused):
        connection.channel().queue_declare("celery-harness.tap.mine")
    connection.collect()
    from dataclasses import replace

    management = replace(rabbit.endpoint, user=login.user, password=login.password, logins={})
    with pytest.raises(EnvironmentFault, match="HTTP 401"):
        RabbitInspector(management).depth()
