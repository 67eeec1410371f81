"""Queues of a real RabbitMQ that cannot be asked, and those that throw messages away: what no_loss says of them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.errors import EnvironmentFault
from harness.model.verdict import Verdict
from tests.conformance.rabbitmq_support import Run, Worker, cause, run
from tests.unit.brokers.rabbit_server import RabbitServer, declare, running, send
from tests.unit.brokers.servers import eventually

TYPES = ["classic", "quorum"]


# --- queues that cannot be asked -------------------------------------------------------------------------------------------


def erlang(rabbit: RabbitServer, code: str) -> None:
    """Run in the node."""
    plan = rabbit.kind.plan(rabbit.kind.find()[0], rabbit.folder, rabbit.endpoint, persistence=True)
    command = [str(Path(plan.argv[0]).parent / "rabbitmqctl"), "-n", f"harness-{rabbit.endpoint.port}@localhost", "eval", code]
    env = {**os.environ, **plan.env, "RABBITMQ_ALLOW_INPUT": ""}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)


def test_a_queue_that_is_down_cannot_be_asked(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    """It counts as 0 what it holds."""
    declare(channel, "pay", "quorum")
    send(channel, "pay")
    assert eventually(lambda: looker.depth() == (1, 0))
    erlang(rabbit, "ra:stop_server(quorum_queues, {'%2F_pay', node()}).")
    with pytest.raises(EnvironmentFault, match="queue 'pay' is down"):
        looker.depth()
    (held,) = looker.look(0.0)
    assert (held.message_id, held.tag) == ("", "") and "down" in held.timeout
    b = run()
    b.published("pay")
    assert b.judged(looker).verdict is Verdict.INCONCLUSIVE
    erlang(rabbit, "ra:restart_server(quorum_queues, {'%2F_pay', node()}).")
    assert eventually(lambda: _answer(looker) == (1, 0), 30)
    b = run()
    b.published("pay")
    assert cause(b.judged(looker)) == "nobody takes it"
    channel.basic_get("pay", no_ack=True)
    b = run()
    b.run(b.published("pay"))
    assert b.judged(looker).verdict is Verdict.PASS


@pytest.mark.exhaustive
def test_a_virtual_host_that_is_down_is_no_empty_one(tmp_path: Path) -> None:
    with running(RabbitServer(tmp_path / "rabbit")) as rabbit:
        connection, looker = rabbit.connection(), rabbit.inspector()
        declare(connection.channel(), "pay")
        send(connection.channel(), "pay")
        connection.collect()
        erlang(rabbit, 'rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"/">>).')
        with pytest.raises(EnvironmentFault, match="queue 'pay' is stopped"):
            looker.depth()
        looker.close()


@pytest.mark.exhaustive
def test_a_node_that_cannot_make_a_quorum_queue_is_not_ready(tmp_path: Path) -> None:
    """As in its first moments on a busy machine."""
    with running(RabbitServer(tmp_path / "rabbit")) as rabbit:
        assert rabbit.process is not None
        erlang(rabbit, "application:stop(ra).")
        assert not rabbit.kind.ready(rabbit.endpoint, rabbit.process.pid)


def _answer(looker: RabbitInspector) -> tuple[int, int] | None:
    try:
        return looker.depth()
    except EnvironmentFault:
        return None


# --- messages that a queue throws away by itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("policy", [False, True])
def test_the_head_of_a_full_queue_is_dropped_and_the_limit_is_named(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str, policy: bool
) -> None:
    management = rabbit.management()
    if policy:
        management.put("/api/policies/%2F/short", {"pattern": "^pay$", "definition": {"max-length": 1}, "apply-to": "queues"})
    declare(channel, "pay", kind, **({} if policy else {"max_length": 1}))
    Worker(rabbit, looker, "pay").leave()
    for number in (1, 2):
        send(channel, "pay", number)
    eventually(lambda: looker.depth() == (1, 0))
    b = run()
    b.published("pay")
    b.published("pay")
    result = b.judged(looker)
    lost = next(f for f in result.findings if f.task_ids == ("t1",))
    assert lost.cause == "dropped by its queue's length limit"
    assert "max-length 1" in lost.sentence and "counted 1 message" in lost.sentence and "dead-letter exchange" in lost.fix
    management.close()


def test_without_a_drop_that_the_broker_counted_a_limit_explains_nothing(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any
) -> None:
    declare(channel, "pay", max_length=5)
    Worker(rabbit, looker, "pay").leave()
    b = run()
    b.published("pay")
    assert cause(b.judged(looker)) == "never delivered"


def test_what_is_dropped_into_a_dead_letter_queue_is_kept(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "dead")
    declare(channel, "pay", max_length=1, dead_letter_exchange="", dead_letter_routing_key="dead")
    Worker(rabbit, looker, "pay").leave()
    for number in (1, 2):
        send(channel, "pay", number)
    worker = Worker(rabbit, looker, "pay")
    worker.ack()
    worker.leave()
    b = run()
    b.published("pay")
    b.run(b.published("pay"))
    result = b.judged(looker)
    assert (result.verdict, result.summary) == (Verdict.PASS, "2 = 1 succeeded + 1 dead-lettered")


def test_the_delivery_limit_of_a_quorum_queue_is_named(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay", "quorum", delivery_limit=1)
    worker = Worker(rabbit, looker, "pay")
    send(channel, "pay")
    worker.reject(requeue=True)
    worker.reject(requeue=True)
    assert eventually(lambda: looker.rules().dropped.get("delivery_limit") == 1)
    worker.leave()
    b = run(acks_late={"app.pay": True})
    message = b.published("pay")
    for n in range(2):
        b.deliver(message, 1.0 + n, start=1.1 + n, reject=1.2 + n, requeue=True, outcome="failed:WorkerLostError")
    result = b.judged(looker)
    assert cause(result) == "dropped at its queue's delivery limit" and "(1)" in result.findings[0].sentence


def test_a_ttl_of_the_queue_is_named(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay", message_ttl=50)
    Worker(rabbit, looker, "pay").leave()
    send(channel, "pay")
    assert eventually(lambda: looker.rules().dropped.get("expired") == 1)
    b = run()
    b.published("pay")
    result = b.judged(looker)
    assert cause(result) == "expired by its queue's message TTL" and "0.05 s" in result.findings[0].sentence


def test_a_queue_that_is_deleted_while_it_is_unused_is_named_and_not_kept_alive_by_us(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any
) -> None:
    declare(channel, "pay", expires=1500)
    Worker(rabbit, looker, "pay").leave()
    send(channel, "pay")
    begun = time.monotonic()
    assert eventually(lambda: looker.depth() == (0, 0) and time.monotonic() - begun > 0.2), "asked all the time, and gone all the same"
    b = run()
    b.published("pay")
    assert cause(b.judged(looker)) == "deleted with its queue"


def test_a_full_queue_that_refuses_is_named_where_nobody_heard_of_it(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay", max_length=1, overflow="reject-publish")
    Worker(rabbit, looker, "pay").leave()
    send(channel, "pay", 2)
    b = Run()
    b.published("pay")
    result = b.judged(looker)
    lost = next(f for f in result.findings if f.task_ids == ("t1",))
    assert lost.cause == "published without confirms, never delivered" and "reject-publish" in lost.sentence


def test_drops_of_a_run_before_do_not_count(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay", max_length=1)
    for number in (1, 2, 3):
        send(channel, "pay", number)
    assert eventually(lambda: looker.rules().dropped.get("maxlen") == 2)
    assert rabbit.kind.reset(rabbit.endpoint)
    assert looker.rules().dropped.get("maxlen") == 0
