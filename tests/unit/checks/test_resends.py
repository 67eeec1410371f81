"""no_duplicates and the message that its own client sent twice: explained, not explained, and not to be told."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checks import no_duplicates
from harness.model.finding import CheckResult, Word
from harness.model.history import Message
from harness.model.verdict import Verdict
from tests.unit.checks.histories import RABBITMQ, REDIS, Build

FLAGGING = {**REDIS, "redelivers_on": "visibility_timeout", "flags_redelivered": True}


def judge(b: Build, semantics: Any = FLAGGING) -> CheckResult:
    return b.judge("no_duplicates", semantics=semantics)


def twice(b: Build, *, begun: float = 1.0, ok: float | None = 3.2, took: float = 0.1, **message: Any) -> Message:
    """Published from `begun` to `ok`, taken by the broker at the first try and at the last: two messages, neither of them flagged."""
    sent = b.call(begun, ok=ok, **message)
    b.run(sent, begun + 0.1, took=took)
    b.run(sent, 3.3, pid=2, took=took, redelivered=False)
    return sent


def reset(b: Build, target: str = "producer and broker", *, bit: bool | None = True, begun: float = 1.02, ended: float = 3.0) -> None:
    b.fault("net.partition", begun=begun, ended=ended, bit=bit, target=target)


@pytest.mark.parametrize("semantics", [FLAGGING, RABBITMQ])
def test_a_publish_that_began_just_before_its_connection_was_reset_explains_a_second_delivery(semantics: Any) -> None:
    b = Build()
    reset(b)
    twice(b)
    result = judge(b, semantics)
    assert (result.verdict, result.numbers["sent_again"], result.numbers["duplicated"]) == (Verdict.PASS, 1.0, 0.0)
    assert "1 sent again by the client: its connection was lost during the publish" in result.summary
    assert result.by_fault == ((Verdict.PASS, "1 sent again"),)


@pytest.mark.parametrize(
    ("begun", "ok"),
    [
        (0.2, 0.21),  # answered before the fault began
        (3.1, 3.2),  # begun when it was over
        (0.2, None),  # never answered, and begun too long before it for that to be its work
    ],
)
def test_a_publish_with_no_fault_near_explains_nothing(begun: float, ok: float | None) -> None:
    b = Build()
    reset(b, begun=2.5)
    twice(b, begun=begun, ok=ok)
    result = judge(b)
    (finding,) = result.findings
    assert (result.verdict, finding.word, result.numbers["sent_again"]) == (Verdict.FAIL, Word.DUPLICATED, 0.0)
    assert "sent twice" in finding.sentence


@pytest.mark.parametrize("target", ["pay and broker", "producer and card_api", "w-1 and broker"])
def test_a_fault_on_another_link_explains_nothing(target: str) -> None:
    b = Build()
    reset(b, target)
    twice(b)
    assert judge(b).verdict is Verdict.FAIL


def test_a_fault_that_did_not_bite_explains_nothing() -> None:
    b = Build()
    reset(b, bit=False)
    twice(b)
    assert judge(b).verdict is Verdict.FAIL


def test_what_is_flagged_came_back_and_what_was_not_published_by_an_agent_is_not_known() -> None:
    b = Build()
    reset(b)
    sent = twice(b)
    sent.deliveries[1].redelivered = True
    assert judge(b).verdict is Verdict.FAIL
    sent.deliveries[1].redelivered = False
    assert judge(b).verdict is Verdict.PASS
    assert judge(b, REDIS).verdict is Verdict.FAIL, "a broker that flags nothing tells nothing by a missing flag"
    sent.begun = sent.ok = None
    assert judge(b).verdict is Verdict.FAIL


@pytest.mark.parametrize(("bit", "config"), [(None, {}), (True, {"task_publish_retry": False})])
def test_where_the_loss_or_the_second_try_is_not_known_it_is_inconclusive(bit: bool | None, config: dict[str, Any]) -> None:
    b = Build(config=config)
    reset(b, bit=bit)
    twice(b)
    result = judge(b)
    assert (result.verdict, result.numbers["sent_again"], result.findings) == (Verdict.INCONCLUSIVE, 0.0, ())
    assert "1 perhaps sent again by the client" in result.summary and result.advice
    assert result.by_fault == ((Verdict.INCONCLUSIVE, "1 perhaps sent again"),)


def test_a_broker_that_went_away_cuts_everybody_off() -> None:
    b = Build()
    b.fault("broker.restart", begun=1.02, ended=3.0, target="broker")
    twice(b)
    assert judge(b).verdict is Verdict.PASS


def test_a_message_that_a_task_published_is_looked_for_on_the_link_of_its_worker() -> None:
    b = Build()
    parent = b.call(0.5, task="app.parent")
    cause = b.run(parent, 0.6, pid=1)
    reset(b, "w and broker")
    twice(b, cause=cause.id)
    assert judge(b).verdict is Verdict.PASS
    b.history.faults[0].target = "producer and broker"
    assert judge(b).verdict is Verdict.FAIL
    b.history.faults.clear()
    b.history.processes[1].disconnected.append(1.5)
    assert judge(b).verdict is Verdict.FAIL, "another worker lost its connection"
    b.history.processes[0].disconnected.append(1.5)
    assert judge(b).verdict is Verdict.PASS, "no fault of ours, and a connection that was lost all the same"


def test_each_try_makes_one_copy_and_no_more() -> None:
    b = Build(config={"task_publish_retry_policy": {"max_retries": 1}})
    reset(b, ended=1.5)
    reset(b, begun=2.0)
    sent = twice(b)
    b.run(sent, 4.0, redelivered=False)
    assert judge(b).numbers["duplicated"] == 1.0
    b.history.config["task_publish_retry_policy"] = {"max_retries": None}
    assert judge(b).verdict is Verdict.PASS


def test_what_was_sent_again_takes_no_payer_from_what_came_back() -> None:
    """The first copy's worker dies; the second copy is sent again meanwhile; then the first comes back, flagged."""
    b = Build()
    reset(b)
    sent = b.call(1.0, ok=3.2)
    b.killed(sent, 1.1)
    b.run(sent, 3.3, pid=2, redelivered=False)
    b.run(sent, 6.0, pid=2, redelivered=True)
    result = judge(b)
    assert (result.verdict, result.numbers["sent_again"], result.numbers["repeated"]) == (Verdict.PASS, 1.0, 2.0)


def test_copies_that_run_at_one_time_are_duplicated_by_a_cause_of_their_own() -> None:
    """The lost connection explains the second message, not that the task runs beside itself: as where a worker went on without one."""
    b = Build()
    reset(b)
    twice(b, took=5.0)
    result = judge(b)
    (finding,) = result.findings
    assert (result.verdict, finding.cause, finding.faults) == (Verdict.FAIL, no_duplicates.SENT_BESIDE, (0,))
    assert "sent it again, although the broker had taken it the first time" in finding.sentence
    assert "nothing had returned" not in finding.sentence and "task_publish_retry=False" in finding.fix


def test_a_dead_letter_that_the_broker_publishes_anew_was_not_sent_again() -> None:
    b = Build()
    reset(b)
    sent = b.call(1.0, ok=3.2)
    b.deliver(sent, 1.1, reject=1.2)
    b.run(sent, 3.3, pid=2, redelivered=False)
    assert (judge(b, RABBITMQ).verdict, judge(b, RABBITMQ).numbers["sent_again"]) == (Verdict.PASS, 0.0)


@pytest.mark.parametrize("later", [3.3, 20.0])
@pytest.mark.parametrize("name", ["net.latency", "net.bandwidth", "broker.pause"])
@pytest.mark.parametrize("lasted", [(0.0, 60.0), (1.02, 1.12)])
def test_what_only_delays_loses_no_connection_so_nobody_knows_that_it_was_sent_again(
    name: str, later: float, lasted: tuple[float, float]
) -> None:
    b = Build()
    b.fault(name, *lasted, target="broker" if name == "broker.pause" else "producer and broker")
    sent = b.call(1.0, ok=1.05)
    b.run(sent, 1.1)
    b.run(sent, later, pid=2, redelivered=False)
    result = judge(b, RABBITMQ)
    assert (result.verdict, result.numbers["sent_again"]) == (Verdict.INCONCLUSIVE, 0.0)
    assert "its connection was lost" not in result.summary and "cuts connections" in result.advice


def test_copies_that_run_at_one_time_are_duplicated_also_where_nobody_knows_who_sent_them() -> None:
    b = Build()
    b.fault("net.latency", 0.0, 60.0, target="producer and broker")
    twice(b, took=5.0)
    result = judge(b, RABBITMQ)
    assert (result.verdict, result.findings[0].cause) == (Verdict.FAIL, no_duplicates.BESIDE_RUNNING)
    assert "sent twice" in result.findings[0].sentence


def test_a_publish_that_was_answered_at_once_within_a_cut_did_not_lose_its_connection_by_it() -> None:
    b = Build()
    reset(b, begun=0.0, ended=60.0)
    sent = twice(b, ok=1.05)
    assert judge(b, RABBITMQ).verdict is Verdict.INCONCLUSIVE
    sent.ok = 2.0
    assert judge(b, RABBITMQ).verdict is Verdict.PASS, "held up while no connection could be had: the broker was up before the fault's end"


def test_one_cut_makes_one_copy() -> None:
    b = Build()
    reset(b)
    sent = twice(b)
    b.run(sent, 5.0, redelivered=False)
    b.run(sent, 6.0, redelivered=False)
    result = judge(b, RABBITMQ)
    assert (result.verdict, result.numbers["sent_again"], result.numbers["duplicated"]) == (Verdict.FAIL, 1.0, 2.0)


def test_a_publish_that_failed_lost_the_connection_of_every_try() -> None:
    b = Build()
    b.fault("broker.pause", 1.02, 30.0, target="broker")
    sent = twice(b, ok=None, publish="failed", failed="kombu.exceptions.OperationalError")
    b.run(sent, 31.0, redelivered=False)
    assert (judge(b).verdict, judge(b).numbers["sent_again"]) == (Verdict.PASS, 2.0)


@pytest.mark.parametrize(("cut", "ok", "verdict"), [(4.0, 1.05, Verdict.FAIL), (1.04, 1.05, Verdict.PASS), (4.0, 2.0, Verdict.PASS)])
def test_a_connection_that_was_lost_after_the_answer_explains_nothing(cut: float, ok: float, verdict: Verdict) -> None:
    b = Build()
    cause = b.run(b.call(0.5, task="app.parent"), 0.6, pid=1)
    twice(b, cause=cause.id, ok=ok)
    b.history.processes[0].disconnected.append(cut)
    assert judge(b).verdict is verdict
