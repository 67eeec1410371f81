"""What a real RabbitMQ's queues are there for, and what no_loss makes of what lies in them: fail, pass and no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.brokers.rabbitmq_memory import memory_of
from harness.model.finding import CheckResult
from harness.model.verdict import Verdict
from tests.conformance.rabbitmq_support import Worker, cause, run
from tests.unit.brokers.rabbit_server import RabbitServer, declare, send
from tests.unit.brokers.servers import eventually

TYPES = ["classic", "quorum"]


# --- a queue of work with a TTL and a dead-letter exchange --------------------------------------------------------------


def expiring(channel: Any, kind: str) -> None:
    declare(channel, "dead", kind)
    declare(channel, "pay", kind, message_ttl=60_000, dead_letter_exchange="", dead_letter_routing_key="dead")


@pytest.mark.parametrize("kind", TYPES)
def test_dead_letters_of_work_that_may_expire_wait_for_nobody(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str
) -> None:
    expiring(channel, kind)
    worker = Worker(rabbit, looker, "pay")
    send(channel, "pay")
    worker.reject()
    worker.leave()
    (held,) = eventually(lambda: looker.look(0.0))
    assert (held.place, held.queue, held.died, held.message_id) == ("dead_letter", "dead", "rejected", "m1")
    assert looker.depth() == (0, 0)
    for _ in range(3):  # looking is no consuming, though a quorum queue shows whoever has got a message as a consumer
        looker.look(0.0)
        assert looker.depth() == (0, 0)
    b = run()
    b.run(b.published("pay"), state="REJECTED", ack=None, reject=0.5)
    result = b.judged(looker)
    assert (result.verdict, result.summary) == (Verdict.PASS, "1 = 1 dead-lettered")


@pytest.mark.parametrize("kind", TYPES)
def test_work_that_may_expire_is_stranded_where_nobody_is_left(
    rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str
) -> None:
    expiring(channel, kind)
    Worker(rabbit, looker, "pay").leave()
    send(channel, "pay")
    assert eventually(lambda: looker.depth() == (1, 0))
    b = run()
    b.published("pay")
    assert cause(b.judged(looker)) == "nobody takes it"


def test_it_is_not_known_whether_a_consumer_has_what_is_missing(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    expiring(channel, "classic")
    worker = Worker(rabbit, looker, "pay")
    send(channel, "pay", 2)
    worker.take()
    b = run()
    b.published("pay")
    assert b.judged(looker).verdict is Verdict.INCONCLUSIVE
    worker.leave()


# --- a queue of work that another one dead-letters into ------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_dead_letter_that_somebody_works_on_is_work(rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "second", kind)
    declare(channel, "first", kind, dead_letter_exchange="", dead_letter_routing_key="second")
    Worker(rabbit, looker, "second").leave()
    first = Worker(rabbit, looker, "first")
    send(channel, "first")
    first.reject()
    first.leave()
    assert eventually(lambda: looker.depth() == (1, 0))
    (held,) = looker.look(0.0)
    assert (held.place, held.queue, held.died) == ("ready", "second", "rejected")

    def outcome(**history: Any) -> CheckResult:
        b = run(**history)
        message = b.published("first")
        b.deliver(message, reject=0.5, start=0.2)
        return b.judged(looker)

    assert cause(outcome()) == "nobody takes it"
    b = run()
    b.history.quiet_at = None
    b.deliver(b.published("first"), reject=0.5, start=0.2)
    assert b.judged(looker).verdict is Verdict.INCONCLUSIVE, "the drain was too short"
    again = Worker(rabbit, looker, "second")
    again.ack()
    again.leave()
    b = run()
    message = b.published("first")
    b.deliver(message, reject=0.5, start=0.2)
    b.run(message, 1.0)
    assert b.judged(looker).verdict is Verdict.PASS


def test_a_queue_that_gives_back_to_work_delays(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    """Rejected into a queue with a TTL, which dead-letters back to work; a copy of what came back is no dead letter."""
    declare(channel, "later", message_ttl=300, dead_letter_exchange="work", dead_letter_routing_key="pay")
    declare(channel, "pay", dead_letter_exchange="", dead_letter_routing_key="later")
    topic(channel, "pay", "audit")
    worker = Worker(rabbit, looker, "pay")
    send(channel, "pay")
    worker.reject()
    assert looker.depth() == (0, 1)
    worker.ack()
    worker.leave()
    assert eventually(lambda: looker.depth() == (0, 0))
    assert [(h.place, h.queue) for h in looker.look(0.0)] == [("resting", "audit")]


# --- a queue that nobody consumes -----------------------------------------------------------------------------------------


def topic(channel: Any, *queues: str, kind: str = "classic") -> None:
    channel.exchange_declare("work", "topic", durable=True, auto_delete=False)
    for queue in queues:
        if queue != "pay":
            declare(channel, queue, kind)
        channel.queue_bind(queue, "work", "#")


def publish(channel: Any, number: int = 1) -> None:
    import amqp

    headers = {"task": "pay", "id": f"t{number}", "retries": 0, "celery_harness_message": f"m{number}"}
    channel.basic_publish_confirm(amqp.Message(b"[[], {}, {}]", application_headers=headers, delivery_mode=2), "work", "pay")


@pytest.mark.parametrize("kind", TYPES)
def test_an_audit_queue_is_neither_work_nor_a_second_run(rabbit: RabbitServer, looker: RabbitInspector, channel: Any, kind: str) -> None:
    declare(channel, "pay", kind)
    topic(channel, "pay", "audit", kind=kind)
    worker = Worker(rabbit, looker, "pay")
    publish(channel)
    worker.ack()
    worker.leave()
    assert eventually(lambda: looker.depth() == (0, 0))
    assert [(h.place, h.queue) for h in looker.look(0.0)] == [("resting", "audit")]
    assert looker.flush() == 0
    b = run()
    b.run(b.published("pay", "work"))
    result = b.judged(looker)
    assert (result.verdict, result.summary) == (Verdict.PASS, "1 = 1 succeeded")
    b = run()
    b.fault()
    b.killed(b.published("pay", "work"), 1.0, early=True)
    assert cause(b.judged(looker)) == "while running", "the copy in the audit queue saves nothing"
    b = run()
    b.published("pay", "work")
    assert cause(b.judged(looker)) == "never delivered", "nor does it stand for the one that was for the worker"
    b = run()
    b.deliver(b.published("pay", "work"), start=0.2)
    assert b.judged(looker).verdict is Verdict.INCONCLUSIVE, "it runs still"


def test_what_an_app_keeps_for_others_is_not_judged(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    """No task, in a queue that no worker consumes; a task that nobody recorded is."""
    import amqp

    declare(channel, "pay")
    declare(channel, "events")
    Worker(rabbit, looker, "pay").leave()
    channel.basic_publish_confirm(amqp.Message(b"an order was paid"), "", "events")
    b = run()
    b.done()
    assert b.judged(looker).summary == "1 = 1 succeeded"
    send(channel, "events", 9)
    b = run()
    b.done()
    assert b.judged(looker).verdict is Verdict.INCONCLUSIVE


def test_what_is_routed_where_no_worker_is_is_stranded(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay")
    declare(channel, "typo")
    worker = Worker(rabbit, looker, "pay")
    send(channel, "typo")
    assert eventually(lambda: [h.place for h in looker.look(0.0)] == ["resting"])
    assert looker.depth() == (0, 0), "nothing will happen to it, however long one waits"
    b = run()
    b.published("typo")
    result = b.judged(looker)
    assert cause(result) == "nobody takes it" and "'typo'" in result.findings[0].sentence
    worker.leave()


def test_a_queue_whose_worker_died_at_once_is_work(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay")
    declare(channel, "mail")
    both = Worker(rabbit, looker, "pay", "mail")
    both.leave()
    worker = Worker(rabbit, looker, "pay")
    send(channel, "mail")
    assert eventually(lambda: looker.depth() == (1, 0))
    worker.leave()
    b = run()
    b.published("mail")
    assert cause(b.judged(looker)) == "nobody takes it"


def test_until_somebody_consumes_every_queue_may_be_for_work(looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay")
    send(channel, "pay")
    assert looker.depth() == (1, 0)


def test_a_reset_forgets_who_worked_where(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    declare(channel, "pay")
    Worker(rabbit, looker, "pay").leave()
    assert rabbit.kind.reset(rabbit.endpoint)
    assert memory_of(rabbit.endpoint).consumed == set() and looker.rules().queues == {}


# --- changes between two looks -------------------------------------------------------------------------------------------


def test_policies_bindings_and_arguments_are_those_of_now(rabbit: RabbitServer, looker: RabbitInspector, channel: Any) -> None:
    for queue in ("pay", "later"):
        declare(channel, queue)
    Worker(rabbit, looker, "pay").leave()
    send(channel, "later")
    assert eventually(lambda: [h.place for h in looker.look(0.0)] == ["resting"]) and looker.depth() == (0, 0)
    management = rabbit.management()
    delays = {"message-ttl": 60_000, "dead-letter-exchange": "back"}
    management.put("/api/policies/%2F/later", {"pattern": "^later$", "definition": delays, "apply-to": "queues"})
    channel.exchange_declare("back", "fanout", durable=True, auto_delete=False)
    eventually(lambda: looker.rules().queues["later"].arguments.get("message-ttl") == 60_000 or looker.depth() is None)
    assert looker.depth() == (0, 0), "its exchange leads nowhere yet"
    channel.queue_bind("pay", "back", "")
    assert looker.depth() == (0, 1)
    management.delete("/api/policies/%2F/later")
    assert eventually(lambda: looker.depth() == (0, 0))
    management.close()
    channel.queue_delete("later")
    declare(channel, "later", message_ttl=60_000, dead_letter_exchange="back")
    send(channel, "later")
    assert eventually(lambda: looker.depth() == (0, 1))
