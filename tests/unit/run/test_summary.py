from __future__ import annotations

from typing import Any

import pytest

from harness.model.finding import CheckResult, Finding, Word
from harness.model.history import Call, Delivery, Depth, Evidence, FaultRecord, History, Message, ProcessLife, SideEvent
from harness.model.result import FaultResult, RunResult
from harness.model.scenario import Scenario
from harness.model.verdict import Verdict
from harness.reporting.words import doubts, headline
from harness.run.summary import overall, summarise

SCENARIO = Scenario.model_validate(
    {"version": 1, "description": "d", "system": {"app": "shop:app"}, "load": [{"send": "pay", "rate": "10/s", "for": "2s"}]}
)


def check(verdict: Verdict, *findings: Finding) -> CheckResult:
    return CheckResult(name="c", question="q", verdict=verdict, summary="s", findings=findings)


def fault(bit: bool | None) -> FaultResult:
    return FaultResult(index=0, name="worker.kill", planned="at 1 s", bit=bit, evidence="e")


class Recording:
    """A history by hand: one call, one message, its deliveries."""

    def __init__(self) -> None:
        self.history = History(load_ended=2.0, healed_at=2.0, quiet_at=3.0, stopped_at=3.0, ended=3.2)
        self.history.acks_late["pay"] = True

    def task(self, number: int, due: float, args: str = "[[7],{}]", **message: Any) -> Message:
        call = Call(number=number, task="pay", args=args, due=due, sent=due, publish="ok", root_task_id=f"t{number}")
        made = Message(id=f"m{number}", task_id=f"t{number}", task="pay", retries=0, call=number, begun=due, ok=due + 0.001)
        for key, value in message.items():
            setattr(made, key, value)
        call.messages.append(made)
        self.history.calls[number] = call
        self.history.messages[made.id] = made
        return made

    def delivery(self, message: Message, at: float, **fields: Any) -> Delivery:
        made = Delivery(
            id=f"{message.id}/{len(message.deliveries)}", message=message, worker="pay-1", pid=1, at=at, tag="t", redelivered=False
        )
        for key, value in fields.items():
            setattr(made, key, value)
        message.deliveries.append(made)
        self.history.deliveries[made.id] = made
        return made

    def done(self, number: int, due: float, took: float = 0.1) -> Message:
        message = self.task(number, due)
        self.delivery(message, due, start=due, end=due + took, state="SUCCESS", ack=due + took)
        return message


def summary(history: History | None, checks: list[CheckResult] | None = None, **changes: Any) -> RunResult:
    given: dict[str, Any] = {
        "run_id": "r",
        "scenario": SCENARIO,
        "name": "n",
        "file": "a b.yaml",
        "cell": {},
        "plan": "version: 1",
        "seed": 7,
        "started": "2024-06-11T14:22:31Z",
        "took": 4.0,
        "runtime": "processes",
        "environment": {"Broker": "Redis 7"},
        "overrides": {},
        "timings": [],
        "history": history,
        "checks": [check(Verdict.PASS)] if checks is None else checks,
    }
    return summarise(**given | changes)


@pytest.mark.parametrize("bit", [False, None])
def test_a_fault_without_evidence_demotes_a_pass(bit: bool | None) -> None:
    assert overall([check(Verdict.PASS)], [fault(True)]) is Verdict.PASS
    assert overall([check(Verdict.PASS)], [fault(True), fault(bit)]) is Verdict.INCONCLUSIVE


def test_a_fault_without_evidence_never_hides_a_failure() -> None:
    assert overall([check(Verdict.PASS), check(Verdict.FAIL)], [fault(False)]) is Verdict.FAIL


def test_nothing_else_hides_a_failure_or_makes_a_pass() -> None:
    assert overall([check(Verdict.FAIL)], [], interrupted=True, error=True) is Verdict.FAIL
    assert overall([check(Verdict.PASS)], [], error=True) is Verdict.ENVIRONMENT
    assert overall([check(Verdict.PASS)], [], interrupted=True) is Verdict.INCONCLUSIVE
    assert overall([check(Verdict.PASS)], [], ["10.0.0.7:5432"]) is Verdict.INCONCLUSIVE
    assert overall([], []) is Verdict.INCONCLUSIVE


def test_a_generator_that_measured_itself_demotes_a_pass_and_hides_no_failure() -> None:
    assert overall([check(Verdict.PASS)], [], bottleneck="busy") is Verdict.INCONCLUSIVE
    assert overall([check(Verdict.FAIL)], [], bottleneck="busy") is Verdict.FAIL
    run = Recording()
    for number in range(1, 101):
        run.done(number, number / 10)
        run.history.calls[number].free = (number - 1) / 10
        run.history.calls[number].sent = number / 10 + (0.08 if number > 80 else 0.0)
    result = summary(run.history, measured=True)
    assert (result.verdict, result.exit_code) == (Verdict.INCONCLUSIVE, 4)
    assert result.generator is not None and result.generator.bottleneck.startswith("20 of 100 calls were sent more than 50 ms late")
    assert headline(result) == "The load generator was the bottleneck, so this is not a pass."
    assert doubts(result) == [result.generator.bottleneck]
    assert summary(run.history, [check(Verdict.FAIL)], measured=True).exit_code == 1
    nobody_asked = summary(run.history)
    assert nobody_asked.verdict is Verdict.PASS and not doubts(nobody_asked)
    assert nobody_asked.generator is not None and nobody_asked.generator.bottleneck == result.generator.bottleneck
    asked = SCENARIO.model_copy(update={"thresholds": {"end_to_end_latency": ("p(95) < 2s",)}})
    assert summary(run.history, scenario=asked).verdict is Verdict.INCONCLUSIVE


def test_calls_that_were_never_made_undo_a_pass_whatever_it_was_for() -> None:
    run = Recording()
    for number in range(1, 23):
        run.done(number, number / 10)
    run.history.dropped_arrivals = 3
    assert summary(run.history, planned=25).verdict is summary(run.history).verdict is Verdict.PASS
    result = summary(run.history, planned=40)
    assert (result.verdict, result.exit_code) == (Verdict.INCONCLUSIVE, 4)
    assert headline(result) == "Not all calls of the load were made, so this is not a pass."
    words = "40 calls were to be made, and the producer recorded 22, and 3 that it dropped: see logs/producer.log"
    assert doubts(result) == [words] == [result.unmade]
    assert summary(run.history, [check(Verdict.FAIL)], planned=40).exit_code == 1


def test_exit_codes() -> None:
    history = History()
    assert summary(history).exit_code == 0
    assert summary(history, [check(Verdict.FAIL)]).exit_code == 1
    assert summary(None, [], error="no redis").exit_code == 3
    assert summary(history, []).exit_code == 4
    assert summary(history, [check(Verdict.FAIL)], interrupted="stop", signal_number=15).exit_code == 143
    assert summary(None, [], interrupted="stop").exit_code == 130


def test_a_run_that_never_began_has_a_reason_and_no_charts() -> None:
    result = summary(None, [], error="redis-server did not answer")
    assert result.verdict is Verdict.ENVIRONMENT and result.error == "redis-server did not answer"
    assert result.series is None and result.tasks is None and result.calls == 0
    assert result.reproduce[0].command == "celery-harness run 'a b.yaml' --seed 7"


def test_latency_counts_from_the_moment_a_task_was_due() -> None:
    run = Recording()
    late = run.task(1, 0.2, begun=1.4)
    run.delivery(late, 1.5, start=1.5, end=1.7, state="SUCCESS")
    result = summary(run.history)
    assert result.tasks is not None and result.series is not None
    assert result.tasks.latency == (1.5,)
    assert result.series.p50[0] == result.series.p99[0] == 1.5
    assert set(result.series.p50[1:]) == {None}


def test_a_task_that_a_kill_interrupted() -> None:
    run = Recording()
    message = run.task(1, 0.0)
    run.delivery(message, 0.1, start=0.1, died=0.5, died_by=0)
    run.delivery(message, 1.6, start=1.6, end=1.8, state="SUCCESS", ack=1.8, worker="pay-2", redelivered=True)
    run.history.faults.append(FaultRecord(0, "worker.kill", "at 0.5 s", begun=0.5, ended=0.5, evidence=Evidence(True, "1 died")))
    finding = Finding(word=Word.EFFECT, headline="h", task_ids=("t1",))
    result = summary(run.history, [check(Verdict.FAIL, finding)])
    tasks = result.tasks
    assert tasks is not None
    assert tasks.attempts == (((0, 0.1, 0.5, "pay-1", 3), (2, 1.6, 1.8, "pay-2", 0)),)
    assert (tasks.fate, tasks.finding, tasks.label, tasks.error) == (("succeeded",), ("EFFECT",), ("7",), ("",))
    assert result.faults[0].bit is True and result.faults[0].evidence == "1 died"
    assert result.series is not None and sum(result.series.redelivered) == 1 and result.fates == {"succeeded": 1}


def test_a_lost_task_has_no_latency() -> None:
    run = Recording()
    message = run.task(1, 0.0)
    run.delivery(message, 0.1, start=0.2, ack=0.15, died=0.5, died_by=0)
    run.history.acks_late["pay"] = False
    result = summary(run.history)
    assert result.tasks is not None
    assert (result.tasks.fate, result.tasks.latency) == (("lost",), (None,))


def test_retries_copies_and_failures() -> None:
    run = Recording()
    message = run.task(1, 0.0)
    first = run.delivery(message, 0.0, start=0.0, end=0.1, state="RETRY", exception="shop.Down", text="503", ack=0.1)
    again = Message(id="m1b", task_id="t1", task="pay", retries=1, call=1, begun=0.1, ok=0.1, cause=first.id, is_retry=True)
    run.history.messages["m1b"] = again
    run.delivery(again, 1.1, start=1.1, end=1.2, state="FAILURE", exception="shop.Down", text="503", ack=1.2)
    run.delivery(again, 1.4, start=1.4, end=1.5, state="FAILURE", exception="shop.Down", text="503", ack=1.5, copy=1)
    result = summary(run.history)
    tasks = result.tasks
    assert tasks is not None and result.series is not None
    assert [a[0] for a in tasks.attempts[0]] == [0, 1, 3] and [a[4] for a in tasks.attempts[0]] == [1, 2, 2]
    assert (tasks.fate, tasks.error) == (("failed",), ("shop.Down: 503",))
    assert (sum(result.series.retried), sum(result.series.duplicated)) == (1, 1)
    assert sum(result.series.finished) * result.series.step == 2


def test_series_are_rates_per_second_whatever_the_step() -> None:
    run = Recording()
    for number in range(1, 41):
        run.done(number, number * 0.05)
    run.history.depths = [Depth(0.1, 5, 2, 0.3), Depth(0.2, 9, 1, 0.4), Depth(2.2, 0, 0, 0.0)]
    series = summary(run.history).series
    assert series is not None
    assert (series.start, series.step, len(series.finished)) == (0.0, 0.25, 12)
    assert series.published[1] == 20.0 and sum(series.published) * 0.25 == 40
    assert series.ready == (9.0,) * 8 + (0.0,) * 4 and series.unacked[0] == 2.0
    assert {len(getattr(series, name)) for name in type(series).model_fields if name not in ("start", "step")} == {12}


def test_a_long_run_stays_drawable() -> None:
    run = Recording()
    run.done(1, 5000.0)
    series = summary(run.history).series
    assert series is not None and len(series.finished) <= 600 and series.step == 10.0


def test_lanes_over_two_lives_and_a_lost_connection() -> None:
    run = Recording()
    run.done(1, 2.5)
    run.history.processes = [
        ProcessLife("pay-1", "worker", 1, -1.0, ready=-0.5, down=0.5, connected=[-0.6]),
        ProcessLife("pay-1", "worker", 2, 1.0, ready=1.5, connected=[1.4, 2.4], disconnected=[2.0]),
        ProcessLife("pay-1/child", "child", 3, -1.0),
    ]
    lanes = summary(run.history).lanes
    assert [lane.name for lane in lanes] == ["pay-1"]
    assert lanes[0].spans == ((-0.5, 0.5, "up"), (0.5, 1.5, "down"), (1.5, 2.0, "up"), (2.0, 2.4, "cut"), (2.4, 3.0, "up"))


def test_refused_connections_are_named_once_with_their_line() -> None:
    run = Recording()
    run.done(1, 0.0)
    event = SideEvent("undeclared", 0.1, "pay-1", "10.0.0.7:5432", {"stack": ["db.py:9 connect", "shop.py:3 call"]})
    run.history.events += [event, event]
    result = summary(run.history)
    assert result.undeclared == ("10.0.0.7:5432 (db.py:9 connect)",)
    assert result.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("args", ['[["\\ud800bad"],{}]', "[[1", "[[],{}]", '{"a": 1}', '[[],{"order": 5}]', "null"])
def test_no_argument_breaks_the_report(args: str) -> None:
    run = Recording()
    run.delivery(run.task(1, 0.0, args), 0.0, start=0.0, end=0.1, state="SUCCESS", worker="pay-\udcff")
    result = summary(run.history)
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_publishes_are_counted_by_outcome() -> None:
    run = Recording()
    run.done(1, 0.0)
    run.history.calls[2] = Call(number=2, task="pay", args="[[],{}]", due=0.5, publish="failed", error="refused")
    run.history.late_arrivals = 3
    assert summary(run.history).publishes == {"ok": 1, "failed": 1, "late": 3}


def test_why_calls_could_not_be_published_is_told() -> None:
    made = Recording()
    for number in (1, 2, 3):
        made.task(number, 0.1)
        made.history.calls[number].publish = "failed"
        made.history.calls[number].error = "builtins.TypeError: pay() missing 1 required positional argument: 'cents'"
    made.done(4, 0.2)
    (log,) = summary(made.history).logs
    assert log.process == "producer"
    assert log.lines == ("3 of 4 calls could not be published: builtins.TypeError: pay() missing 1 required positional argument: 'cents'",)
    assert not summary(Recording().history).logs
