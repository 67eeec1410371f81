"""What rests in a queue that nobody consumes, and what a queue's own rules explain."""

from __future__ import annotations

from typing import Any

from harness.model.finding import CheckResult, Word
from harness.model.routing import Binding
from harness.model.rules import BrokerRules, QueueRules
from harness.model.verdict import Verdict
from tests.unit.checks.histories import CONFIRMED, RABBITMQ, Build

QUEUES = {"pay": QueueRules("pay", {"max-length": 1}, True), "audit": QueueRules("audit", {}, False)}
BINDINGS = (Binding("work", "pay", "pay"), Binding("work", "audit", "#"))
SENT = {"exchange": "work", "queue": "pay"}


def build(config: Any = CONFIRMED, **dropped: int) -> Build:
    return Build(config=config, rules=BrokerRules(QUEUES, BINDINGS, dropped))


def judge(b: Build) -> CheckResult:
    return b.judge("no_loss", semantics=RABBITMQ)


def causes(b: Build) -> list[str]:
    return [finding.cause for finding in judge(b).findings]


def test_a_copy_at_rest_is_no_second_run() -> None:
    b = build()
    b.held(b.done(), "resting", queue="audit")
    assert (judge(b).verdict, judge(b).summary) == (Verdict.PASS, "1 = 1 succeeded")


def test_a_copy_at_rest_saves_nothing() -> None:
    b = build()
    b.fault()
    message = b.call(9, **SENT)
    b.killed(message, 9.6, early=True)
    b.held(message, "resting", queue="audit")
    assert causes(b) == ["while running"]


def test_a_retry_that_was_never_published_is_lost_though_a_copy_of_what_came_before_rests() -> None:
    b = build()
    message = b.call(1, **SENT)
    b.run(message, state="RETRY")
    b.held(message, "resting", queue="audit")
    assert causes(b) == ["never published"]


def test_what_rests_without_a_way_to_work_is_stranded() -> None:
    b = build()
    b.held(b.call(exchange="work", queue="typo", eta=500.0), "resting", queue="audit", eta=500.0)
    (finding,) = judge(b).findings
    assert finding.word is Word.STRANDED and "nobody has consumed" in finding.sentence


def test_what_the_broker_took_and_has_no_more_is_lost_though_the_producer_was_told_nothing() -> None:
    b = build()
    message = b.call(publish="unknown", **SENT)
    b.held(message, "resting", queue="audit")
    assert causes(b) == ["never delivered"]


def test_a_rule_of_the_queue_is_the_cause_only_where_the_broker_counted_it() -> None:
    b = build(maxlen=1)
    b.call(1, **SENT)
    (finding,) = judge(b).findings
    assert (finding.word, finding.cause) == (Word.LOST, "dropped by its queue's length limit")
    assert "max-length 1" in finding.sentence and "dead-letter exchange" in finding.fix
    for b in (build(maxlen=0), build(expired=1)):
        b.call(1, **SENT)
        assert causes(b) == ["never delivered"]
    b = build(maxlen=1)
    b.call(1, queue="pay")
    assert causes(b) == ["never delivered"], "nobody recorded which exchange it went to"


def test_what_a_dead_letter_exchange_brought_to_another_queue_of_work_goes_on() -> None:
    b = build()
    message = b.call(1)
    b.run(message, state="REJECTED", ack=None, reject=1.5)
    b.held(message, "ready", queue="second", died="rejected")
    assert causes(b) == ["nobody takes it"]
    b.history.quiet_at = None
    assert judge(b).verdict is Verdict.INCONCLUSIVE
