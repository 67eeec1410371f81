from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks._threshold import enough, parse_selector, parse_threshold, statistic
from harness.checks.thresholds import ThresholdParameters
from harness.model.finding import Word
from harness.model.history import Call
from harness.model.sampling import Phases
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def test_the_grammar() -> None:
    t = parse_threshold(" p( 95 )<=1m 30s ", "run_time")
    assert (t.statistic, t.quantile, t.operator, t.value, t.unit) == ("p", 95.0, "<=", 90.0, "s")
    assert parse_threshold("mean > 40/s", "throughput").value == 40.0
    assert parse_threshold("count >= 30", "run_time").value == 30.0
    assert parse_threshold("rate > 60/m", "run_time").value == pytest.approx(1.0)
    selector = parse_selector("throughput{phase:healthy, task:app.*}")
    assert (selector.metric, selector.phase, selector.task, selector.queue) == ("throughput", "healthy", "app.*", "")


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("end_to_end_latncy", "p(95) < 2s", "did you mean end_to_end_latency"),
        ("throughput{fase:healthy}", "mean > 1/s", "did you mean phase"),
        ("throughput{phase:helthy}", "mean > 1/s", "did you mean healthy"),
        ("throughput{healthy}", "mean > 1/s", "phase:healthy"),
        ("throughput}", "mean > 1/s", "not a metric"),
        ("run_time", "p95 < 2s", "p(95) < 2s"),
        ("run_time", "p < 2s", "p(95)"),
        ("run_time", "p(100) < 2s", "below 100"),
        ("run_time", "p(1.2.3) < 2s", "percentile"),
        ("run_time", "mean(3) < 2s", "no argument"),
        ("run_time", "meen < 2s", "did you mean mean"),
        ("run_time", "mean < 2", "such as 2s"),
        ("run_time", "mean < 2/s", "a duration"),
        ("throughput", "mean > 2s", "a rate"),
        ("run_time", "count > 2s", "a number"),
        ("run_time", "mean = 2s", "< <= > >="),
    ],
)
def test_errors_come_with_a_hint(key: str, text: str, hint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ThresholdParameters.model_validate({key: [text]})
    assert hint in str(raised.value)


def test_statistics_by_nearest_rank() -> None:
    samples = [float(n) for n in range(1, 101)]
    wanted = {"p(95)": 95.0, "p(99)": 99.0, "p(50)": 50.0, "p(0.5)": 1.0, "mean": 50.5, "max": 100.0, "min": 1.0}
    assert {name: statistic(parse_threshold(f"{name} < 1s", "run_time"), samples, 10) for name in wanted} == wanted
    assert statistic(parse_threshold("rate < 1/s", "run_time"), samples, 10) == 10.0
    assert [enough(parse_threshold(f"p({q}) < 1s", "run_time")) for q in (50, 95, 99, 99.9)] == [5, 20, 100, 1000]


def verdict(b: Build, thresholds: dict[str, Any]) -> Verdict:
    return b.judge("thresholds", thresholds).verdict


def run(number: int = 40, took: float = 1.0) -> Build:
    b = Build()
    for n in range(number):
        b.done(float(n), took=took)
    return b


def test_no_thresholds_no_calls_and_too_few_samples_are_inconclusive() -> None:
    assert verdict(run(), {}) is Verdict.INCONCLUSIVE
    assert verdict(Build(), {"run_time": ["p(95) < 2s"]}) is Verdict.INCONCLUSIVE
    assert verdict(run(19), {"run_time": ["p(95) < 2s"]}) is Verdict.INCONCLUSIVE
    assert verdict(run(20), {"run_time": ["p(95) < 2s"]}) is Verdict.PASS
    assert verdict(run(99), {"run_time": ["p(99) < 2s"]}) is Verdict.INCONCLUSIVE
    assert verdict(run(19), {"run_time": ["p(95) < 2s", "max < 0.5s"]}) is Verdict.FAIL


def test_each_latency() -> None:
    b = run()
    facts = {"end_to_end_latency": 1.11, "queue_wait": 0.11, "run_time": 1.0, "publish_latency": 0.01}
    for metric, value in facts.items():
        assert verdict(b, {metric: [f"max < {value + 0.005}s", f"min > {value - 0.005}s"]}) is Verdict.PASS
        result = b.judge("thresholds", {metric: [f"p(95) < {value - 0.005}s"]})
        assert (result.verdict, result.findings[0].word, result.findings[0].cause) == (Verdict.FAIL, Word.SLOW, metric)


def test_a_task_that_never_ended_is_slower_than_any_threshold() -> None:
    b = run()
    for n in range(2):
        b.killed(b.call(n), n + 0.1, early=True)
    assert verdict(b, {"end_to_end_latency": ["p(95) < 2s"]}) is Verdict.PASS
    b.killed(b.call(5), 5.1, early=True)
    assert verdict(b, {"end_to_end_latency": ["p(95) < 2s"]}) is Verdict.FAIL


def test_end_to_end_counts_from_when_the_call_was_due_to_the_last_retry() -> None:
    b = run(20)
    for call in b.history.calls.values():
        call.sent, call.due = call.due + 0.3, call.due - 0.5
    assert verdict(b, {"end_to_end_latency": ["min > 1.6s"]}) is Verdict.PASS
    message = b.call(2.0)
    b.run(b.retry(message, 4), 10.0)
    assert verdict(b, {"end_to_end_latency": ["max > 8s"]}) is Verdict.PASS


def test_the_wait_in_the_queue_begins_when_the_message_is_due() -> None:
    b = Build()
    b.run(b.call(1.0, eta=11.0), 1.1, start=11.2, end=11.3)
    assert verdict(b, {"queue_wait": ["max < 0.3s"]}) is Verdict.PASS


def test_throughput_in_the_loads_seconds_and_by_phase() -> None:
    b = Build()
    for n in range(600):
        b.done(n / 10)
    b.depth(0.0)
    b.fault("net.partition", 20.0, 25.0)
    for delivery in b.history.deliveries.values():
        if 20 <= (delivery.end or 0) < 25:
            delivery.end = 25.5
    assert verdict(b, {"throughput": ["mean > 9/s", "rate > 9/s", "count > 590"]}) is Verdict.PASS
    assert verdict(b, {"throughput{phase:faulty}": ["max < 1/s"]}) is Verdict.PASS
    assert verdict(b, {"throughput{phase:healthy}": ["min >= 8/s"]}) is Verdict.PASS
    assert verdict(b, {"throughput{task:other}": ["mean > 1/s"]}) is Verdict.FAIL


def test_phases() -> None:
    b = Build()
    for n in range(60):
        b.done(float(n))
        b.depth(float(n))
    b.fault("net.partition", 20.0, 25.0)
    b.depth(26.0, 5), b.depth(27.0, 5), b.depth(28.5), b.depth(29.0)
    b.history.depths[:] = sorted((d for d in b.history.depths if not 25 <= d.at < 28.2 or d.ready), key=lambda d: d.at)
    b.fault("worker.kill", 40.0, bit=False)
    phases = Phases(b.history)
    assert [phases.at(t) for t in (0.0, 19.9, 20.1, 26.0, 28.6, 40.0, 60.0, 61.0, -1.0)] == [
        "healthy",
        "healthy",
        "faulty",
        "recovery",
        "healthy",
        "healthy",
        "healthy",
        "",
        "",
    ]
    assert phases.spans("faulty") == [(20.0, 25.0)] and phases.spans("") == [(0.0, 60.0)]


def test_a_figure_that_is_infinite_prints_as_never() -> None:
    assert parse_threshold("p(95) < 2s", "run_time").show(math.inf) == "p95 never"


def never_ended(b: Build, how: str, at: float) -> None:
    if how == "no message":
        b.history.calls[len(b.history.calls) + 1] = Call(len(b.history.calls) + 1, "app.pay", "[]", due=at, publish="failed")
        return
    message = b.call(at, publish="failed" if how == "unpublished" else "ok")
    if how in ("expired", "revoked"):
        b.deliver(message, revoked=how, ack=at + 0.2)
    elif how == "rejected":
        b.run(message, state="REJECTED", ack=None, reject=at + 0.2)
    elif how == "discarded":
        b.deliver(message, reject=at + 0.2, outcome="unknown")
    elif how == "dead-lettered":
        b.run(message, state="REJECTED", ack=None, reject=at + 0.2)
        b.held(message, "dead_letter")


@pytest.mark.parametrize("how", ["expired", "rejected", "discarded", "dead-lettered", "unpublished", "no message", "revoked"])
def test_only_survivors_would_be_a_lie(how: str) -> None:
    b = run()
    for n in range(3):
        never_ended(b, how, float(n))
    wanted = Verdict.PASS if how == "revoked" else Verdict.FAIL
    assert verdict(b, {"end_to_end_latency": ["p(95) < 2s"]}) is wanted
    assert verdict(b, {"end_to_end_latency{task:app.*,queue:celery}": ["p(95) < 2s"]}) is wanted
    assert verdict(b, {"end_to_end_latency{task:other}": ["count < 1"]}) is Verdict.PASS
    assert verdict(b, {"end_to_end_latency{queue:other}": ["count < 1"]}) is Verdict.PASS


def test_a_link_that_was_never_published_never_ended() -> None:
    b = run(20)
    b.history.calls[1].task_ids = ("t1", "t1-next")
    assert verdict(b, {"end_to_end_latency": ["max < 2s"]}) is Verdict.FAIL


def test_starved_messages_and_failed_publishes_are_slower_than_any_threshold() -> None:
    b = run(120)
    for n in range(880):
        b.held(b.call(n / 20), "ready")
    assert verdict(b, {"queue_wait": ["p(99) < 1s"]}) is Verdict.FAIL
    assert "p99 never" in b.judge("thresholds", {"queue_wait": ["p(99) < 1s"]}).summary
    b = run(120)
    for n in range(880):
        b.call(n / 20, publish="failed")
    assert verdict(b, {"publish_latency": ["p(99) < 1s"]}) is Verdict.FAIL
