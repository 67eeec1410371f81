from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Exchange, Queue

from harness.brokers import rabbitmq_inspector as module
from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.brokers.rabbitmq_memory import memory_of
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from tests.ports import free_port
from tests.unit.brokers.rabbit_server import RabbitServer, declare, producer, send
from tests.unit.brokers.servers import eventually

TYPES = ["classic", "quorum"]


def test_a_message_of_celerys_own_in_its_place(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    app = producer(rabbit)
    app.send_task("pay", task_id="t1", retries=2, headers={"celery_harness_message": "m1"})
    assert looker.depth() == (1, 0)
    (held,) = looker.look(0.0)
    assert (held.place, held.queue, held.message_id, held.task_id, held.task, held.retries) == ("ready", "celery", "m1", "t1", "pay", 2)


@pytest.mark.parametrize("kind", TYPES)
def test_looking_takes_nothing_away_and_a_classic_queue_keeps_its_order(looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "pay", kind)
    for number in range(50):
        send(channel, "pay", number)
    in_order = [f"t{number}" for number in range(50)]
    arranged: Any = sorted if kind == "quorum" else list
    for _ in range(3):
        assert arranged(h.task_id for h in looker.look(0.0)) == arranged(in_order)
    assert eventually(lambda: looker.depth() == (50, 0))
    assert arranged(channel.basic_get("pay", no_ack=True).headers["id"] for _ in range(50)) == arranged(in_order)


@pytest.mark.parametrize("kind", TYPES)
def test_what_a_consumer_has_is_counted_and_has_no_name(looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "pay", kind)
    send(channel, "pay", 1)
    send(channel, "pay", 2)
    taken = channel.basic_get("pay")
    assert eventually(lambda: looker.depth() == (1, 1))
    ready, unacked = looker.look(0.0)
    assert (ready.place, ready.task_id) == ("ready", "t2")
    assert (unacked.place, unacked.queue, unacked.task_id, unacked.message_id, unacked.tag) == ("unacked", "pay", "", "", "")
    assert "connection" in unacked.timeout
    channel.basic_ack(taken.delivery_tag)
    assert eventually(lambda: looker.depth() == (1, 0))


def test_what_a_dead_consumer_had_is_read_again(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay")
    send(channel, "pay")
    consumer = rabbit.connection()
    consumer.channel().basic_get("pay")
    assert eventually(lambda: looker.depth() == (0, 1))
    consumer.transport.sock.close()
    assert [(h.place, h.task_id) for h in looker.look(0.0)] == [("ready", "t1")]


@pytest.mark.parametrize("kind", TYPES)
def test_dead_letters_are_told_and_not_counted(looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "dead", kind)
    declare(channel, "pay", kind, dead_letter_exchange="", dead_letter_routing_key="dead")
    send(channel, "pay")
    channel.basic_reject(channel.basic_get("pay").delivery_tag, requeue=False)
    (held,) = eventually(lambda: [h for h in looker.look(0.0) if h.place == "dead_letter"])
    assert (held.queue, held.message_id, held.task_id) == ("dead", "m1", "t1")
    assert looker.depth() == (0, 0)
    assert looker.flush() == 0
    assert len(looker.look(0.0)) == 1


def test_a_policy_may_name_the_dead_letter_exchange_later(rabbit: RabbitServer, channel: Any) -> None:
    declare(channel, "dead")
    declare(channel, "pay")
    management = rabbit.management()
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    management.put("/api/policies/%2F/dlx", {"pattern": "^pay$", "definition": definition, "apply-to": "queues"})
    looker = rabbit.inspector()
    send(channel, "pay")
    message = eventually(lambda: channel.basic_get("pay"))
    channel.basic_reject(message.delivery_tag, requeue=False)
    (held,) = eventually(lambda: [h for h in looker.look(0.0) if h.place == "dead_letter"])
    assert held.died == "rejected"
    looker.close()


def test_what_was_published_to_a_dead_letter_queue_never_died(rabbit: RabbitServer, channel: Any) -> None:
    """Work that nobody took would pass for set aside, where a retry queue brings messages back to it."""
    declare(channel, "dead")
    declare(channel, "pay", dead_letter_exchange="", dead_letter_routing_key="dead")
    send(channel, "dead")
    looker = rabbit.inspector()
    assert [(h.place, h.died) for h in looker.look(0.0)] == [("ready", "")]
    looker.close()


@pytest.mark.parametrize("kind", TYPES)
def test_delayed_messages_are_not_an_empty_broker(looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "pay", kind)
    declare(channel, "celery_delayed_5", kind, message_ttl=32_000, dead_letter_exchange="", dead_letter_routing_key="pay")
    send(channel, "celery_delayed_5", eta="2030-01-01T00:00:00+00:00")
    assert looker.depth() == (0, 1)
    (held,) = looker.look(1000.0)
    assert (held.place, held.queue, held.task_id) == ("delayed", "celery_delayed_5", "t1")
    assert held.eta == held.returns_at == 1893456000.0 - 1000.0
    assert looker.flush() == 1
    assert eventually(lambda: looker.depth() == (0, 0))


def test_remote_control_does_not_count(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    channel.queue_declare("u.reply.celery.pidbox", auto_delete=True)
    channel.queue_declare("celeryev.1234", auto_delete=True)
    for queue in ("u.reply.celery.pidbox", "celeryev.1234"):
        send(channel, queue)
    assert (looker.depth(), looker.look(0.0), looker.flush()) == ((0, 0), [], 0)


def test_poison_is_held_with_empty_ids_and_a_tag(looker: RabbitInspector, channel: Any) -> None:
    import amqp

    declare(channel, "pay")
    bodies: list[Any] = [b"", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"task": 3}']
    for body in bodies:
        channel.basic_publish_confirm(amqp.Message(body), "", "pay")
    channel.basic_publish_confirm(amqp.Message(b"", application_headers={"task": 3, "id": [], "retries": "a", "eta": "never"}), "", "pay")
    held = looker.look(0.0)
    assert len(held) == 6 and all((h.task_id, h.task, h.message_id) == ("", "", "") for h in held)
    assert len({h.tag for h in held}) == 6 and "" not in {h.tag for h in held}


def test_celerys_first_protocol_has_its_facts_in_the_body(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    producer(rabbit, task_protocol=1).send_task("pay", task_id="t1", retries=1)
    assert [(h.task, h.task_id, h.retries, h.message_id) for h in looker.look(0.0)] == [("pay", "t1", 1, "foreign:t1:1")]


def test_an_exclusive_queue_is_told_and_left_alone(looker: RabbitInspector, channel: Any) -> None:
    channel.queue_declare("mine", exclusive=True)
    send(channel, "mine")
    assert eventually(lambda: looker.depth() == (1, 0))
    assert [(h.place, h.queue, h.task_id) for h in looker.look(0.0)] == [("ready", "mine", "")]


def test_priorities_are_kept(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    app = producer(rabbit, task_queues=[Queue("pay", Exchange("pay"), routing_key="pay", max_priority=9)])
    for priority in (1, 9, 5):
        app.send_task("pay", task_id=f"p{priority}", queue="pay", priority=priority)
    for _ in range(2):
        assert [h.task_id for h in looker.look(0.0)] == ["p9", "p5", "p1"]


@pytest.mark.parametrize("kind", TYPES)
def test_depth_never_calls_a_broker_empty_that_holds_a_message(rabbit: RabbitServer, looker: RabbitInspector, kind: str) -> None:
    """One message goes round: taken, sent to the other queue and confirmed there, then acknowledged; or rejected and given back."""
    import amqp

    stop, moves, trouble = threading.Event(), [0], list[BaseException]()
    setup = rabbit.connection()
    channel = setup.channel()
    for queue in ("one", "two"):
        declare(channel, queue, kind)
    memory_of(rabbit.endpoint).consumed |= {"one", "two"}  # the mover is no consumer to a classic queue, and takes what it may
    send(channel, "one")
    setup.close()

    def move() -> None:
        connection = rabbit.connection()
        channel, here, there = connection.channel(), "one", "two"
        try:
            while not stop.is_set():
                message = channel.basic_get(here)
                if message is None:
                    continue
                moves[0] += 1
                if moves[0] % 3 == 0:
                    channel.basic_reject(message.delivery_tag, requeue=True)
                    time.sleep(0.002 * (moves[0] % 50))
                    continue
                channel.basic_publish_confirm(amqp.Message(message.body, application_headers=message.headers), "", there)
                channel.basic_ack(message.delivery_tag)
                here, there = there, here
        except BaseException as exc:
            trouble.append(exc)
        finally:
            connection.collect()

    mover = threading.Thread(target=move)
    mover.start()
    depths = []
    try:
        deadline = time.monotonic() + 60
        while (moves[0] <= 150 or len(depths) <= 40) and mover.is_alive() and time.monotonic() < deadline:
            depths.append(looker.depth())
    finally:
        stop.set()
        mover.join()
    assert not trouble and moves[0] > 150 and len(depths) > 40
    assert (0, 0) not in depths
    assert looker.flush() <= 2


def test_an_idle_broker_is_proven_empty_once_and_then_quickly(
    looker: RabbitInspector, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(channel, "pay")
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    assert looker.depth() == (0, 0)
    assert naps, "the proof takes the time of the counts"
    naps.clear()
    assert [looker.depth() for _ in range(5)] == [(0, 0)] * 5
    assert not naps
    send(channel, "pay")
    assert looker.depth() == (1, 0)


def test_flush_empties_what_waits_and_leaves_what_is_held(looker: RabbitInspector, channel: Any) -> None:
    for queue in ("a", "b"):
        declare(channel, queue)
        for number in range(3):
            send(channel, queue, number)
    taken = channel.basic_get("a")
    assert looker.flush() == 5
    assert eventually(lambda: looker.depth() == (0, 1))
    channel.basic_reject(taken.delivery_tag, requeue=True)
    assert eventually(lambda: looker.depth() == (1, 0))


def test_results_are_elsewhere(looker: RabbitInspector) -> None:
    assert looker.results() == {}


def test_nobody_there_is_an_environment_fault() -> None:
    endpoint = Endpoint("127.0.0.1", free_port(), "x", user="monitor", ports={"management": free_port(), "metrics": free_port()})
    looker = RabbitInspector(endpoint)
    for question in (looker.depth, lambda: looker.look(0.0), looker.flush):
        with pytest.raises(EnvironmentFault, match="does not answer"):
            question()
    looker.close()


def test_a_wrong_password_is_one_too(rabbit: RabbitServer) -> None:
    from dataclasses import replace

    looker = RabbitInspector(replace(rabbit.endpoint, password="wrong"))
    with pytest.raises(EnvironmentFault, match="HTTP 401"):
        looker.depth()
    looker.close()


def test_a_frozen_server_does_not_freeze_depth(rabbit: RabbitServer, looker: RabbitInspector) -> None:
    assert rabbit.process is not None
    looker.depth()
    os.kill(rabbit.process.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(EnvironmentFault):
            looker.depth()
        assert time.monotonic() - begun < 12.0
    finally:
        os.kill(rabbit.process.pid, signal.SIGCONT)
    assert eventually(lambda: looker.depth() == (0, 0))


def test_a_server_that_is_slow_for_a_moment_ends_no_look(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    """The last look at a broker comes when all is over: nobody is held up by its waiting, and a run would be lost by its giving up."""
    assert rabbit.process is not None
    declare(channel, "pay")
    send(channel, "pay")
    assert eventually(lambda: looker.depth() == (1, 0))
    os.kill(rabbit.process.pid, signal.SIGSTOP)
    thawed = threading.Timer(2.5, os.kill, (rabbit.process.pid, signal.SIGCONT))
    thawed.start()
    try:
        assert [held.queue for held in looker.look(0.0)] == ["pay"]
    finally:
        os.kill(rabbit.process.pid, signal.SIGCONT)
        thawed.join()


def test_a_quorum_queue_without_a_leader_is_no_empty_queue(looker: RabbitInspector, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For half a second after a start, or for good after a kill in the moment of its declaration, it says 0 wherever it is asked."""
    declare(channel, "pay", "quorum")
    declare(channel, "mail", "quorum")
    send(channel, "mail")
    assert eventually(lambda: looker.flush() == 1)
    assert eventually(lambda: looker.depth() == (0, 0))
    send(channel, "mail")
    channel.basic_get("mail", no_ack=True)
    for api in (looker._quick, looker._patient):
        monkeypatch.setattr(api, "led", lambda: {"mail"})
    with pytest.raises(EnvironmentFault, match="nobody leads the quorum queue 'pay'"):
        eventually(lambda: looker.depth() == (0, 0))
    monkeypatch.setattr(module, "_ELECTED_SECONDS", 0.1)
    (held,) = looker.look(0.0)
    assert (held.queue, held.task_id, held.message_id, held.tag) == ("pay", "", "", "")
    assert "leader" in held.timeout
    assert looker.flush() == 0


@pytest.mark.parametrize("name", ["pay", 'a"b', "a\\b", "a b}c", "é"])
def test_queues_of_any_name_are_recognised_in_the_metrics(rabbit: RabbitServer, channel: Any, name: str) -> None:
    declare(channel, name, "quorum")
    management = rabbit.management()
    assert eventually(lambda: name in management.led())
    management.close()
