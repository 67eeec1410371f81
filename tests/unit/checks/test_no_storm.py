from __future__ import annotations

import random
from typing import Any

import pytest

from harness.model.finding import Word
from harness.model.history import Evidence
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build

JITTERED = {"app.pay": {"max_retries": 3, "retry_backoff": 32, "retry_backoff_max": 600, "retry_jitter": True}}


def test_passes_below_the_bound_and_is_inconclusive_without_deliveries() -> None:
    b = Build()
    assert b.judge("no_storm").verdict is Verdict.INCONCLUSIVE
    message = b.call()
    for n in range(4):
        b.deliver(message, n, start=n + 0.1, reject=n + 0.2, requeue=True)
    b.run(message, 5)
    assert b.judge("no_storm").verdict is Verdict.PASS
    b.deliver(message, 9)
    result = b.judge("no_storm")
    assert (result.verdict, result.findings[0].cause) == (Verdict.FAIL, "delivered without bound")
    assert b.judge("no_storm", {"max_deliveries": 6}).verdict is Verdict.PASS


def test_a_message_that_keeps_coming_back_makes_no_pass_until_it_has_ended() -> None:
    b = Build()
    b.history.ended = 60.0
    message = b.call()
    for n in range(4):
        b.deliver(message, n, start=n + 0.1, reject=n + 0.2, requeue=True)
    b.held(message, "ready")
    result = b.judge("no_storm")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "had not ended" in result.summary


def test_a_task_that_kills_its_worker_each_time_is_named_so() -> None:
    b = Build()
    message = b.call()
    for n in range(43):
        b.deliver(message, n / 5, start=n / 5, died=n / 5 + 0.1, reject=n / 5 + 0.15, requeue=True, outcome="failed:WorkerLostError")
    (finding,) = b.judge("no_storm").findings
    assert (finding.word, finding.cause, finding.task_ids) == (Word.STORM, "kills its worker each time", ("t1",))
    assert "43" in finding.headline


def test_what_our_own_faults_send_back_is_no_storm() -> None:
    b = Build()
    message = b.call()
    for n in range(10):
        b.fault(begun=n + 0.4)
        b.killed(message, n, fault=n)
    b.run(message, 20)
    assert b.judge("no_storm").verdict is Verdict.PASS
    for delivery in message.deliveries:
        delivery.died_by = None
    for fault in b.history.faults:
        fault.begun = 50.0
    assert b.judge("no_storm").verdict is Verdict.FAIL


def test_injected_copies_do_not_count() -> None:
    b = Build()
    message = b.done()
    for n in range(20):
        b.run(message, 1 + n, copy=n + 1)
    assert b.judge("no_storm").verdict is Verdict.PASS


def sent_again(fault: str, **publish: Any) -> Build:
    """Nine copies of one message, none of them flagged as delivered again, of a publish during a fault on its way."""
    b = Build(config={"task_publish_retry_policy": {"max_retries": None}})
    b.fault(fault, 1.02, 30.0, target="producer and broker")
    message = b.call(1.0, **publish)
    for n in range(9):
        b.run(message, 31.0 + n, redelivered=False)
    return b


def test_what_the_client_itself_sent_again_is_no_storm() -> None:
    flags = {"flags_redelivered": True}
    b = sent_again("net.partition", publish="failed", ok=None, failed="kombu.exceptions.OperationalError")
    assert b.judge("no_storm", semantics=flags).verdict is Verdict.PASS
    assert b.judge("no_storm", {"max_starts": 1}, semantics=flags).numbers["most_starts"] == 1.0
    b.history.faults[0].evidence = Evidence(False, "it did not bite")
    assert b.judge("no_storm", semantics=flags).verdict is Verdict.FAIL
    assert sent_again("net.latency", ok=1.05).judge("no_storm").verdict is Verdict.FAIL, "a broker that flags nothing shows nothing"


def test_what_it_perhaps_sent_again_is_inconclusive() -> None:
    b = sent_again("net.latency", ok=1.05)
    result = b.judge("no_storm", semantics={"flags_redelivered": True})
    assert result.verdict is Verdict.INCONCLUSIVE and "unless their clients sent them again" in result.summary
    b.history.config["task_publish_retry_policy"] = {"max_retries": 2}
    assert b.judge("no_storm", semantics={"flags_redelivered": True}).verdict is Verdict.FAIL, "no client sends so many"


def test_a_rejected_one_that_comes_another_way_was_not_sent_again() -> None:
    b = sent_again("net.partition", publish="failed", ok=None, failed="kombu.exceptions.OperationalError")
    for delivery in b.history.deliveries.values():
        delivery.reject = delivery.at + 0.05
    assert b.judge("no_storm", semantics={"flags_redelivered": True}).verdict is Verdict.FAIL


def test_retries_beyond_the_tasks_own_bound() -> None:
    b = Build(task_policies={"app.pay": {"max_retries": 2}})
    message = b.call()
    for _ in range(7):
        message = b.retry(message, 1)
    assert b.judge("no_storm").verdict is Verdict.PASS
    message = b.retry(message, 1)
    (finding,) = b.judge("no_storm").findings
    assert (finding.cause, finding.task_ids) == ("retried without bound", ("t1",))
    b.history.task_policies["app.pay"]["max_retries"] = None
    assert b.judge("no_storm").verdict is Verdict.PASS
    assert b.judge("no_storm", {"max_starts": 3}).verdict is Verdict.FAIL


def wave(delays: list[int]) -> Build:
    b = Build(task_policies=JITTERED)
    for delay in delays:
        b.retry(b.call(10.0), delay)
    return b


def test_a_wave_that_the_jitter_should_have_spread() -> None:
    (finding,) = wave([32] * 60).judge("no_storm").findings
    assert (finding.word, finding.cause, len(finding.task_ids)) == (Word.STORM, "synchronised", 60)


def test_spread_retries_and_retries_without_promised_jitter_are_no_wave() -> None:
    rng = random.Random(1)
    for _ in range(20):
        assert wave([rng.randrange(33) for _ in range(60)]).judge("no_storm").verdict is Verdict.PASS
    plain = wave([32] * 60)
    plain.history.task_policies["app.pay"]["retry_jitter"] = False
    try:
        assert plain.judge("no_storm").verdict is Verdict.PASS
        assert plain.judge("no_storm", {"max_wave": "50%"}).verdict is Verdict.FAIL
    finally:
        JITTERED["app.pay"]["retry_jitter"] = True
    assert wave([32] * 19).judge("no_storm").verdict is Verdict.PASS


def coming_back(pid: int = 2, **fields: Any) -> Build:
    """One message, received ten times by one worker, a second apart from 10 s; then it ends."""
    b = Build()
    message = b.call(9.0)
    for n in range(10):
        b.deliver(message, 10.0 + n, pid, **fields)
    b.run(message, 20.0, pid)
    return b


def storm(b: Build) -> Verdict:
    return b.judge("no_storm").verdict


@pytest.mark.parametrize("name", ["worker.kill", "worker.pause", "task.crash"])
def test_a_fault_of_another_worker_excuses_nothing(name: str) -> None:
    b = coming_back()
    fault = b.fault(name, 5.0, 30.0, target="w-1", killed_pids=(1,))
    assert storm(b) is Verdict.FAIL
    fault.target = "w-2"
    assert storm(b) is Verdict.PASS
    fault.target, fault.killed_pids = "", (2,)
    assert storm(b) is Verdict.PASS


@pytest.mark.parametrize("name", ["broker.pause", "broker.restart"])
def test_a_broker_fault_excuses_only_what_a_lost_connection_shows(name: str) -> None:
    b = coming_back()
    b.fault(name, 9.5, 17.0)
    assert storm(b) is Verdict.FAIL
    first, second = (p for p in b.history.processes if p.kind == "worker")
    first.disconnected += [10.5 + n for n in range(10)]
    assert storm(b) is Verdict.FAIL
    second.disconnected.append(30.0)
    assert storm(b) is Verdict.FAIL
    second.disconnected[:] = [10.5 + n for n in range(10)]
    assert storm(b) is Verdict.PASS


def test_other_faults_excuse_nothing() -> None:
    b = coming_back()
    b.fault("backend.pause", 5.0, 30.0)
    b.fault("service.slow", 5.0, 30.0, target="w-2")
    assert storm(b) is Verdict.FAIL


def test_what_a_living_worker_requeued_itself_is_never_excused() -> None:
    b = coming_back(start=1.0, reject=19.9, requeue=True)
    b.fault("worker.pause", 5.0, 30.0, target="w-2")
    b.fault("broker.restart", 5.0, 30.0)
    b.history.processes[1].disconnected += [10.5 + n for n in range(10)]
    assert storm(b) is Verdict.FAIL


def test_what_a_stopped_or_removed_worker_gave_back_is_excused() -> None:
    b = coming_back(reject=25.0, requeue=True)
    fault = b.fault("worker.stop", 5.0, 30.0, target="w-2", killed_pids=(2,))
    assert storm(b) is Verdict.PASS
    fault.begun = 26.0
    assert storm(b) is Verdict.FAIL
    b.fault("worker.scale", 5.0, 24.0, target="w")
    assert storm(b) is Verdict.FAIL
    b.history.processes[1].down = 26.0
    assert storm(b) is Verdict.PASS
