"""drains: what is back in time, what feeds itself, and what nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checks import drains
from harness.model.finding import CheckResult, Word
from harness.model.history import SideEvent
from harness.model.verdict import Verdict
from tests.unit.checks.histories import REDIS, Build

SPIKE = {
    "send": "app.pay",
    "arrival": "spike",
    "rate": "1/s",
    "peak": "20/s",
    "peak_at": "20s",
    "peak_for": "2s",
    "for": "60s",
}


def judge(b: Build, within: str = "20s", **scenario: Any) -> CheckResult:
    return b.judge("drains", {"within": within}, **scenario)


def healthy(b: Build, begin: int = 0, end: int = 20) -> None:
    """One call a second, done in 0.2 s."""
    for at in range(begin, end):
        b.done(float(at))


def pushed(end: float = 28.0, state: str = "SUCCESS", resumed: int = 26) -> Build:
    """An outage from 20 to 22 s; the calls of six seconds end together, and all is well again."""
    b = Build()
    healthy(b)
    b.fault("net.partition", 20.0, 22.0, target="w and partner")
    for at in range(20, resumed):
        b.run(b.call(float(at)), end - 0.01, took=0.0, state=state)
    healthy(b, resumed, 60)
    return b


def storm(per_second: int = 1, every: float = 2.0, fault: bool = True, over: float = 22.0) -> Build:
    """From 20 s on each call is tried every two seconds and none is ever done; the drain times out."""
    b = Build(task_policies={"app.pay": {"max_retries": None}})
    b.history.quiet_at = None
    healthy(b)
    if fault:
        b.fault("net.partition", 20.0, over, target="w and partner")
    for number in range(40 * per_second):
        message = b.call(20.0 + number / per_second)
        at = (message.begun or 0.0) + 0.1
        while at < 94.0:
            message = b.retry(message, 0.0, at, took=0.5, error="app.PartnerSlow", file="/app/tasks.py", line=41)
            at += every
        b.held(message, "ready")
    return b


def test_back_in_time_passes_and_later_is_slow() -> None:
    b = pushed()
    result = judge(b)
    assert (result.verdict, result.findings, result.by_fault) == (Verdict.PASS, (), ((Verdict.PASS, "drained"),))
    assert result.numbers["drained"] == pytest.approx(6.0)
    assert (result.numbers["most"], result.numbers["usual"], result.numbers["served"]) == (7.0, 1.0, pytest.approx(1.0))
    assert result.summary == "back at its level 6.0 s after net.partition; at most 7 calls unfinished, 1 before"
    late = judge(b, "5s")
    (finding,) = late.findings
    assert (late.verdict, finding.word, finding.cause, finding.faults) == (Verdict.FAIL, Word.SLOW, drains.LATE, (0,))


def test_what_failed_for_good_is_done_and_how_many_failed_since_is_told() -> None:
    b = pushed(state="FAILURE")
    assert (judge(b).verdict, judge(b).summary) == (Verdict.PASS, judge(pushed()).summary)
    for delivery in b.history.deliveries.values():
        delivery.state = "FAILURE" if delivery.message.begun and delivery.message.begun >= 50.0 else delivery.state
    assert judge(b).summary.endswith("7 calls unfinished, 1 before; of 32 calls since then 10 failed")


def test_only_when_the_load_was_over_is_said() -> None:
    result = judge(pushed(end=62.0, resumed=60), "50s")
    assert (result.verdict, result.summary.partition(";")[0]) == (
        Verdict.PASS,
        "back at its level 40.0 s after net.partition, when the load was over",
    )


def test_retries_that_keep_it_up_are_a_storm_although_the_drain_timed_out() -> None:
    result = judge(storm())
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.cause) == (Verdict.FAIL, Word.STORM, drains.ENDLESS)
    assert finding.headline == "After net.partition the backlog does not drain: 40 calls unfinished, 1 before."
    assert finding.sentence.startswith(
        "From 58.5 s to 95.0 s it went from 40 to 40, although only 1.0 calls a second were wanted after net.partition, "
        "and 1.0 were served before. "
    )
    assert "were tries again:" in finding.sentence and "retries of Celery's." in finding.sentence
    assert (finding.task, len(finding.task_ids), len(finding.calls), finding.faults) == ("app.pay", 40, 40, (0,))
    assert (finding.file, finding.line) == ("/app/tasks.py", 41)
    assert all(word in finding.fix for word in ("backoff", "jitter", "budget"))
    assert finding.story is not None and result.by_fault == ((Verdict.FAIL, "does not drain"),)
    assert result.numbers["tried_again"] > 0.9 and "drained" not in result.numbers


def test_one_that_grows_slowly_is_not_back_because_it_began_small() -> None:
    assert storm(over=20.5).history.faults[0].ended == 20.5
    result = judge(storm(over=20.5))
    assert (result.verdict, result.findings[0].word) == (Verdict.FAIL, Word.STORM)


def test_a_moment_above_its_level_later_on_is_no_relapse() -> None:
    b = pushed()
    for number in range(8):
        b.run(b.call(50.0 + number / 100), 51.0)
    result = judge(b)
    assert (result.verdict, result.numbers["drained"]) == (Verdict.PASS, pytest.approx(6.0))


def test_layers_of_retries_one_in_the_other_are_named() -> None:
    b = storm()
    for message in b.history.messages.values():
        if message.is_retry and message.call == 21:
            message.task, message.task_id, message.parent_id = "app.ask", "inner", "t22"
    (finding,) = judge(b).findings
    assert "; app.ask inside app.pay, so that attempts multiply." in finding.sentence


def test_requests_that_a_task_repeats_by_itself_are_named() -> None:
    b = storm()
    for delivery in b.history.deliveries.values():
        for n in range(3 if delivery.at > 22.0 else 1):
            b.history.events.append(SideEvent("effect", (delivery.start or 0.0) + 0.01 * n, "partner", "GET /quotes"))
    (finding,) = judge(b).findings
    assert finding.sentence.endswith("; partner: 3.0 requests for each start, 1.0 before.")


def test_a_spike_is_enough() -> None:
    result = judge(storm(fault=False), load=[SPIKE])
    assert (result.verdict, result.findings[0].word) == (Verdict.FAIL, Word.STORM)
    assert result.findings[0].headline.startswith("After the spike the backlog does not drain")


def test_deliveries_of_the_brokers_feed_it_as_well() -> None:
    b = Build()
    b.history.quiet_at = None
    healthy(b)
    b.fault("worker.kill", 20.0, 22.0, killed_pids=())
    for at in range(20, 60):
        message = b.call(float(at))
        for n in range(5):
            b.deliver(message, 62.0 + 5 * n, start=62.1 + 5 * n, reject=62.2 + 5 * n, requeue=True)
        b.held(message, "ready")
    (finding,) = judge(b).findings
    assert (finding.word, finding.sentence.rpartition(": ")[2]) == (Word.STORM, "160 deliveries by the broker.")


def test_work_that_waits_for_another_reason_is_no_storm() -> None:
    b = Build()
    b.history.quiet_at = None
    healthy(b)
    b.fault("broker.restart", 20.0, 22.0)
    for at in range(20, 60):
        b.held(b.call(float(at)), "ready")
    result = judge(b)
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.story) == (Verdict.FAIL, Word.STUCK, None)
    assert "Only 0% of 0 starts were tries again" in finding.sentence


def test_what_is_lost_is_nobodys_work_any_more() -> None:
    b = pushed()
    for at in range(20, 40):
        b.killed(b.call(float(at)), at + 0.2, early=True, fault=None)
    assert judge(b).verdict is Verdict.PASS


def inconclusive(result: CheckResult, words: str) -> None:
    assert (result.verdict, result.findings) == (Verdict.INCONCLUSIVE, ())
    assert words in result.summary and result.advice


def test_nothing_pushed() -> None:
    b = Build()
    healthy(b)
    inconclusive(judge(b), "no fault that bit, and no spike")
    b.fault("net.partition", 20.0, 22.0, bit=False)
    inconclusive(judge(b), "no fault that bit, and no spike")


def test_too_few_before() -> None:
    b = storm(fault=False)
    b.fault("net.partition", 9.0, 22.0)
    inconclusive(judge(b), "9 calls had ended before net.partition")


def test_it_grew_before() -> None:
    b = Build()
    for at in range(20):
        b.run(b.call(float(at)), 2.0 * at)
    b.fault("net.partition", 20.0, 22.0)
    inconclusive(judge(b), "the backlog grew before net.partition already")


def test_a_call_more_or_two_are_no_growth() -> None:
    b = storm()
    for at in (16.0, 16.5, 17.0):
        b.run(b.call(at), 19.5)
    assert judge(b).verdict is Verdict.FAIL


def test_it_never_rose() -> None:
    b = Build()
    healthy(b, 0, 60)
    b.fault("net.partition", 20.0, 22.0)
    inconclusive(judge(b), "the backlog never left its level: at most 1 call unfinished, 1 before net.partition")


def test_watched_too_briefly() -> None:
    result = judge(storm(), "80s")
    inconclusive(result, "40 calls unfinished 73.0 s after net.partition, 1 before; only 73.0 s were watched")
    assert result.by_fault == ((Verdict.INCONCLUSIVE, "not seen to drain"),)


def test_still_falling() -> None:
    b = Build()
    b.history.quiet_at = None
    healthy(b)
    b.fault("net.partition", 20.0, 22.0)
    for number in range(40):
        message, end = b.call(20.0 + number), 60.0 + 1.5 * number
        if end < 95.0:
            b.run(message, end - 0.01, took=0.0)
        else:
            b.held(message, "ready")
    inconclusive(judge(b), "it still fell, from 40 to")


def test_more_was_wanted_than_was_served_before() -> None:
    inconclusive(judge(storm(per_second=2)), "2.0 calls a second were wanted then, and 1.0 were served before")


def test_a_generator_that_sent_what_it_owed_in_heaps() -> None:
    b = storm()
    for call in b.history.calls.values():
        call.free = call.due
        call.sent = call.due + (2.0 if call.due > 22.0 else 0.0)
    inconclusive(judge(b), "the generator was late")


@pytest.mark.parametrize(
    ("item", "begun", "over"),
    [
        (SPIKE, 20.0, 22.0),
        ({"send": "a", "arrival": "step", "rates": ["1/s", "5/s", "9/s", "1/s"], "for": "40s", "at": "5s"}, 15.0, 35.0),
        ({"send": "a", "count": 50, "at": "7s"}, 7.0, 7.0),
        ({"send": "a", "arrival": "burst", "count": 5, "every": "2s", "for": "10s", "at": "7s"}, 7.0, 15.0),
    ],
)
def test_which_shapes_of_load_push(item: dict[str, Any], begun: float, over: float) -> None:
    b = Build()
    trigger = drains.trigger_of(b.recorded(load=[{"send": "a", "rate": "1/s", "for": "60s"}, item]).scenario, b.history)
    assert trigger is not None and (trigger.begun, trigger.over) == (begun, over)
    b.fault("worker.kill", 3.0)
    b.fault("net.latency", 30.0, 50.0)
    trigger = drains.trigger_of(b.recorded(load=[item]).scenario, b.history)
    assert trigger is not None and (trigger.begun, trigger.over, trigger.faults) == (3.0, 50.0, (0, 1))
    assert trigger.words in ("the spike and worker.kill and net.latency", "the burst and worker.kill and net.latency")


@pytest.mark.parametrize(
    "item",
    [{"send": "a", "rate": "1/s", "for": "60s"}, {"send": "a", "count": 5}, {**SPIKE, "peak": "1/s"}],
)
def test_which_do_not(item: dict[str, Any]) -> None:
    b = Build()
    assert drains.trigger_of(b.recorded(load=[item]).scenario, b.history) is None


def test_the_semantics_of_the_broker_are_asked() -> None:
    """What came of each call is for them to say: a publish without confirms that nobody received is lost, not unfinished."""
    b = storm()
    for message in b.history.messages.values():
        message.held = None
    b.history.held.clear()
    b.history.quiet_at = 94.5
    assert b.judge("drains", {"within": "80s"}, semantics=REDIS).verdict is Verdict.PASS
