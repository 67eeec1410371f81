"""What RabbitMQ does otherwise than Redis, check by check: fail, pass and no verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.brokers import BROKERS
from harness.model.finding import CheckResult, Word
from harness.model.history import Held
from harness.model.verdict import Verdict
from tests.unit.checks.histories import CONFIRMED, RABBITMQ, Build


def judge(b: Build, check: str = "no_duplicates", parameters: object = None) -> CheckResult:
    return b.judge(check, parameters, semantics=RABBITMQ)


def causes(b: Build, check: str = "no_duplicates") -> list[str]:
    return [finding.cause for finding in judge(b, check).findings]


def test_the_semantics_are_the_brokers_own() -> None:
    own = BROKERS["rabbitmq"].semantics
    assert {key: own.get(key) for key in RABBITMQ} == RABBITMQ


# --- no_loss ----------------------------------------------------------------------------------------------------------


def test_a_publish_without_confirms_that_nobody_received_is_lost_and_says_why() -> None:
    b = Build()
    b.done()
    b.call(5)
    (finding,) = judge(b, "no_loss").findings
    assert (finding.word, finding.cause) == (Word.LOST, "published without confirms, never delivered")
    assert "confirm_publish" in finding.fix


def test_a_confirmed_publish_that_is_gone_is_the_brokers_loss() -> None:
    b = Build(config=CONFIRMED)
    b.fault("broker.restart", begun=6.0, ended=9.0)
    b.call(5)
    (finding,) = judge(b, "no_loss").findings
    assert (finding.word, finding.cause, finding.faults) == (Word.LOST, "never delivered", (0,))
    assert "restarted while it held" in finding.sentence and "durable" in finding.fix


@pytest.mark.parametrize(
    ("name", "said", "cause"),
    [
        ("broker.kill", "was killed after", "published without confirms, never delivered"),
        # What reached the broker before an orderly end was written, or thrown away, whatever the publisher was told.
        ("broker.restart", "restarted while it held", "never delivered"),
        ("broker.flush", "emptied", "never delivered"),
    ],
)
def test_faults_that_empty_a_broker_are_named(name: str, said: str, cause: str) -> None:
    b = Build()
    b.fault(name, begun=6.0, ended=6.5, killed_pids=())
    b.call(5)
    (finding,) = judge(b, "no_loss").findings
    assert (finding.faults, finding.cause) == ((0,), cause) and said in finding.sentence


def test_dead_letters_are_no_loss_and_a_rejection_without_a_place_for_them_is() -> None:
    b = Build()
    message = b.call()
    b.run(message, state="REJECTED", ack=None, reject=0.5)
    result = judge(b, "no_loss")
    assert (result.verdict, result.findings[0].cause) == (Verdict.FAIL, "rejected")
    b.held(message, "dead_letter")
    result = judge(b, "no_loss")
    assert (result.verdict, result.summary) == (Verdict.PASS, "1 = 1 dead-lettered")


def test_what_a_quorum_queue_gave_up_is_dead_lettered_or_lost() -> None:
    b = Build(acks_late={"app.pay": True})
    message = b.call()
    for n in range(3):
        b.deliver(message, 1.0 + n, start=1.1 + n, reject=1.2 + n, requeue=True, outcome="failed:WorkerLostError")
    (finding,) = judge(b, "no_loss").findings
    assert finding.cause == "never delivered again" and "3 times" in finding.sentence and "delivery limit" in finding.sentence
    held = b.held(message, "dead_letter")
    assert judge(b, "no_loss").verdict is Verdict.INCONCLUSIVE, "that it lies there does not say how it came there"
    message.held = replace(held, died="delivery_limit")
    assert judge(b, "no_loss").verdict is Verdict.PASS


def test_what_expired_in_the_broker_is_expired_and_not_lost() -> None:
    b = Build()
    b.done()
    b.call(5, expires=20.0)
    result = judge(b, "no_loss")
    assert (result.verdict, result.summary) == (Verdict.PASS, "2 = 1 succeeded + 1 expired")
    assert judge(b, "no_loss", {"allow": []}).verdict is Verdict.FAIL
    b.fault("broker.restart", begun=10.0, ended=12.0)
    assert judge(b, "no_loss").verdict is Verdict.INCONCLUSIVE  # whichever came first
    b.history.faults[0].begun = 30.0
    assert judge(b, "no_loss").verdict is Verdict.PASS


def test_what_has_yet_to_expire_is_lost_and_so_it_is_on_a_broker_that_keeps_it() -> None:
    b = Build()
    b.call(5, expires=500.0)
    assert judge(b, "no_loss").verdict is Verdict.FAIL
    b.history.messages["m1"].expires = 20.0
    assert b.judge("no_loss").verdict is Verdict.FAIL


def test_messages_that_a_consumer_has_and_nobody_can_read_make_no_loss_uncertain() -> None:
    b = Build(config=CONFIRMED)
    b.done()
    b.call(5)
    b.history.held.append(Held(place="unacked", queue="celery"))
    result = judge(b, "no_loss")
    assert result.verdict is Verdict.INCONCLUSIVE and "a consumer still had" in result.summary


def test_an_early_ack_is_lost_all_the_same_though_a_consumer_holds_others() -> None:
    b = Build()
    b.fault()
    b.killed(b.call(9), 9.6, early=True)
    b.history.held.append(Held(place="unacked", queue="celery"))
    assert causes(b, "no_loss") == ["while running"]


def test_a_delayed_message_is_scheduled_until_it_is_due() -> None:
    b = Build()
    b.done()
    message = b.call(eta=500.0)
    b.held(message, "delayed", eta=500.0)
    assert judge(b, "no_loss").summary == "2 = 1 succeeded + 1 scheduled"
    message.eta, message.held = 50.0, None
    b.held(message, "delayed", eta=50.0)
    result = judge(b, "no_loss")
    assert result.verdict is Verdict.INCONCLUSIVE and "delays" in result.summary


def test_a_rejected_message_in_a_queue_that_delays_is_on_its_way_back() -> None:
    b = Build()
    message = b.call()
    b.run(message, state="REJECTED", ack=None, reject=0.5)
    b.held(message, "delayed")
    assert judge(b, "no_loss").verdict is Verdict.INCONCLUSIVE
    message.held = None
    b.killed(message, 3, early=True)  # it came back that way, and was lost then
    assert causes(b, "no_loss") == ["while running"]


def test_what_a_worker_threw_away_with_its_connection_is_the_brokers_again() -> None:
    b = Build(config=CONFIRMED)
    b.deliver(b.call(5))
    assert judge(b, "no_loss").verdict is Verdict.INCONCLUSIVE  # a worker still had it
    b.history.processes[0].disconnected.append(96.0)  # as the harness stopped it
    assert judge(b, "no_loss").verdict is Verdict.INCONCLUSIVE
    b.history.processes[0].disconnected.append(6.0)
    assert causes(b, "no_loss") == ["never delivered again"]


def test_succeeded_and_dead_lettered_does_not_run_again() -> None:
    b = Build()
    message = b.done()
    b.held(message, "dead_letter")
    assert "again" not in judge(b, "no_loss").summary


# --- no_duplicates ----------------------------------------------------------------------------------------------------


def test_a_dead_worker_explains_a_redelivery() -> None:
    b = Build()
    b.fault()
    message = b.call()
    b.killed(message, 1)
    b.run(message, 1.6, pid=2)
    assert judge(b).verdict is Verdict.PASS


def test_an_ack_that_died_with_its_process_did_not_arrive() -> None:
    b = Build()
    message = b.call()
    b.run(message, 1)
    b.run(message, 1.3, pid=2)
    assert causes(b) == ["although acknowledged"]
    b.history.processes[0].down = 1.25
    assert causes(b) == []
    assert [f.cause for f in b.judge("no_duplicates").findings] == ["although acknowledged"]  # Redis answers an ack
    b.history.processes[0].down = 50.0
    assert causes(b) == ["although acknowledged"]


def test_a_frozen_worker_notices_its_lost_connection_much_later() -> None:
    b = Build()
    message = b.call()
    b.deliver(message, 1)
    again = b.run(message, 8, pid=2)
    assert causes(b) == ["beside one that is held"]
    b.history.processes[0].disconnected.append(40.0)
    assert causes(b) == []
    again.redelivered = False  # to the broker it is another message
    (finding,) = judge(b).findings
    assert finding.cause == "beside one that is held" and "sent twice" in finding.sentence
    again.redelivered = True
    b.history.processes[0].disconnected[0] = 97.0  # it was the harness that stopped it
    assert causes(b) == ["beside one that is held"]


@pytest.mark.parametrize(
    ("name", "target", "explained"),
    [
        ("net.partition", "w and broker", True),
        ("net.partition", "w-1 and broker", True),
        ("net.partition", "w-2 and broker", False),
        ("net.partition", "w and card_api", False),
        ("net.disconnect", "w-1", True),
        ("broker.pause", "broker", True),
        ("broker.flush", "broker", False),
    ],
)
def test_a_worker_that_never_noticed_was_cut_off_by_a_fault_of_its_own(name: str, target: str, explained: bool) -> None:
    b = Build()
    b.fault(name, begun=2.0, ended=20.0, target=target)
    message = b.call()
    b.deliver(message, 1)
    again = b.run(message, 8, pid=2)
    assert (causes(b) == []) is explained
    again.redelivered = False
    assert causes(b) == ["beside one that is held"]


def test_a_task_that_goes_on_without_its_connection_runs_beside_itself() -> None:
    b = Build()
    b.fault("net.partition", begun=1.5, ended=3.0)
    message = b.call()
    b.run(message, 1, took=5, ack=None)
    b.run(message, 2.01, pid=2, took=5)
    b.history.processes[0].disconnected.append(2.2)
    result = judge(b)
    assert causes(b) == ["beside one that went on without its connection"]
    assert result.findings[0].faults == (0,) and result.by_fault[0][0] is Verdict.FAIL


def test_a_task_that_went_on_and_could_not_acknowledge_ran_beside_itself() -> None:
    """Its message is never acked, so the harness's stop finds it open: that is no death which explains anything."""
    b = Build()
    message = b.call()
    b.run(message, 1, took=5, ack=None, died=96.0)
    b.run(message, 2.0, pid=2, took=5)
    b.history.processes[0].disconnected.append(1.9)
    assert causes(b) == ["beside one that went on without its connection"]
    message.deliveries[0].end, message.deliveries[0].died, message.deliveries[0].died_by = None, 2.05, 0  # noticed late
    assert causes(b) == []


@pytest.mark.parametrize("requeue", [True, False])
def test_rejections_come_back_at_once_or_by_a_dead_letter_exchange(requeue: bool) -> None:
    b = Build()
    message = b.call()
    b.deliver(message, 1, reject=1.1, requeue=requeue)
    b.run(message, 2, pid=2, redelivered=requeue)
    assert causes(b) == []


def test_a_publish_that_was_tried_again_is_named() -> None:
    b = Build()
    message = b.call()
    b.run(message, 1)
    b.run(message, 2, pid=2, redelivered=False)
    (finding,) = judge(b).findings
    assert finding.cause == "although acknowledged" and "sent twice" in finding.sentence and "task_publish_retry" in finding.fix


# --- state_agrees, no_storm, recovery -----------------------------------------------------------------------------------


def test_nobody_stores_a_result_for_what_the_broker_dropped() -> None:
    b = Build(results_read=True, results={"t1": {"status": "SUCCESS"}})
    b.done()
    b.call(5, expires=20.0)
    assert judge(b, "state_agrees").verdict is Verdict.PASS
    b.history.results["t1"]["status"] = "FAILURE"
    assert judge(b, "state_agrees").verdict is Verdict.FAIL


def test_a_storm_is_bounded_by_what_no_fault_caused() -> None:
    b = Build()
    message = b.call()
    for n in range(7):
        b.deliver(message, 1.0 + n, reject=1.5 + n, requeue=True, start=1.1 + n)
    assert causes(b, "no_storm") == ["delivered without bound"]
    b.fault("net.disconnect", begun=0.5, ended=9.0)
    for delivery in message.deliveries:
        delivery.reject, delivery.requeue = None, False
    b.history.processes[0].disconnected.extend(1.5 + n for n in range(7))
    assert causes(b, "no_storm") == []


def test_recovery_is_as_long_as_the_broker_holds_more_than_usual() -> None:
    b = Build()
    b.fault(begun=10.0)
    message = b.call(9)
    b.killed(message, 9.6)
    b.run(message, 12, pid=2)
    for tenth in range(0, 300):
        at = tenth / 10
        b.depth(at, unacked=1 if 10 <= at < 12.2 else 0)
    result = judge(b, "recovery", {"within": "5s"})
    assert result.verdict is Verdict.PASS and 2.0 <= result.numbers["slowest"] <= 2.5
    assert judge(b, "recovery", {"within": "1s"}).verdict is Verdict.FAIL
    b.history.depths.clear()
    assert judge(b, "recovery", {"within": "5s"}).verdict is Verdict.INCONCLUSIVE
