from __future__ import annotations

import pytest

from harness.model.finding import Word
from harness.model.recovering import recoveries
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def steady(b: Build, until: float = 60.0) -> None:
    """One call a second, and a broker that holds 2 messages at most."""
    for n in range(int(until)):
        b.done(float(n))
    for n in range(int(until) * 2):
        b.depth(n / 2, 1, 1)


def test_no_fault_and_no_samples_are_no_evidence() -> None:
    b = Build()
    assert b.judge("recovery").verdict is Verdict.INCONCLUSIVE
    b.fault()
    b.done()
    assert b.judge("recovery").verdict is Verdict.INCONCLUSIVE


def test_counts_from_the_healing_until_the_backlog_is_gone() -> None:
    b = Build()
    steady(b)
    b.fault("net.partition", 20.0, 25.0)
    b.history.depths[:] = [d for d in b.history.depths if not 20 <= d.at < 31]
    for n in range(20, 31):
        b.depth(float(n), 40, 8)
    b.history.depths.sort(key=lambda d: d.at)
    result = b.judge("recovery", {"within": "10s"})
    assert (result.verdict, result.by_fault) == (Verdict.PASS, ((Verdict.PASS, "in 6.0 s"),))
    assert result.numbers["slowest"] == pytest.approx(6.0)
    late = b.judge("recovery", {"within": "5s"})
    assert (late.verdict, late.findings[0].word, late.findings[0].faults) == (Verdict.FAIL, Word.SLOW, (0,))


def test_one_calm_sample_in_a_backlog_is_no_recovery() -> None:
    b = Build()
    steady(b, 20)
    b.fault("broker.pause", 20.0, 21.0)
    for at, ready in ((22.0, 50), (23.0, 0), (24.0, 50), (30.0, 0), (31.0, 0)):
        b.depth(at, ready)
    b.done(22.0)
    assert recoveries(b.history)[0].seconds == pytest.approx(9.0)


def test_what_the_fault_interrupted_must_have_ended() -> None:
    """The queue looks empty while a dead worker holds messages."""
    b = Build()
    steady(b)
    b.fault(begun=10.5)
    message = b.call(10)
    b.killed(message, 10.0)
    b.run(message, 16.0, pid=2, took=0.5)
    assert recoveries(b.history)[0].seconds == pytest.approx(6.01)


def test_where_a_fault_strikes_at_once_the_load_itself_shows_the_usual_level() -> None:
    b = Build()
    for n in range(60):
        b.done(float(n))
        b.depth(float(n), 2, 8)
    b.depth(61.0), b.depth(62.0)
    b.fault(begun=0.5, ended=0.5)
    seconds = recoveries(b.history)[0].seconds
    assert seconds is not None and seconds < 2
    b.history.load_ended = 2.0  # too few samples: only an empty broker counts
    assert recoveries(b.history)[0].seconds == pytest.approx(60.5)


def test_never_recovered_is_stuck_and_watched_too_briefly_is_inconclusive() -> None:
    b = Build()
    steady(b, 20)
    b.fault("broker.restart", 20.0, 21.0)
    for n in range(22, 90):
        b.depth(float(n), 30, 0)
    result = b.judge("recovery", {"within": "20s"})
    assert (result.verdict, result.findings[0].word) == (Verdict.FAIL, Word.STUCK)
    assert b.judge("recovery", {"within": "80s"}).verdict is Verdict.INCONCLUSIVE


def test_a_message_that_the_broker_still_holds_is_no_recovery() -> None:
    b = Build()
    steady(b)
    b.fault(begun=10.5)
    message = b.call(10)
    b.killed(message, 10.0)
    b.held(message)
    assert b.judge("recovery").verdict is Verdict.FAIL


def test_a_fault_that_did_not_bite_or_left_no_work_is_not_measured() -> None:
    b = Build()
    steady(b, 20)
    b.fault("net.partition", 5.0, 6.0, bit=False)
    b.fault("broker.pause", 40.0, 41.0)
    result = b.judge("recovery")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert [cell[0] for cell in result.by_fault] == [None, None]


# --- faults that cannot be measured, and workers that never come back -------------------------------------------------


def measured_and_not(b: Build) -> None:
    """A kill whose recovery is measured, and a restart after which no work was left."""
    steady(b, 20)
    b.fault(begun=5.5, killed_pids=())
    b.fault("broker.restart", 40.0, 41.0)


def test_one_fault_that_was_measured_does_not_stand_for_one_that_was_not() -> None:
    b = Build()
    measured_and_not(b)
    result = b.judge("recovery")
    assert (result.verdict, result.numbers["measured"]) == (Verdict.INCONCLUSIVE, 1)
    assert result.summary.endswith("not measured: broker.restart: no work was left when it was healed")
    b.done(42.0)
    assert b.judge("recovery").verdict is Verdict.PASS


def test_one_that_was_not_measured_hides_no_failure() -> None:
    b = Build()
    measured_and_not(b)
    b.fault("broker.pause", 50.0, 51.0)
    for n in range(52, 90):
        b.depth(float(n), 30, 0)
    assert b.judge("recovery", {"within": "20s"}).verdict is Verdict.FAIL


def test_workers_that_ended_by_themselves_after_a_fault_are_no_recovery_although_no_work_was_left() -> None:
    b = Build()
    measured_and_not(b)
    for life in b.history.processes:
        life.down, life.how, life.unexpected = 41.5, "exit 1", True
        life.disconnected.append(40.1)
    result = b.judge("recovery", {"within": "80s"})
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.faults) == (Verdict.FAIL, Word.STUCK, (1,))
    assert finding.headline == "No recovery from broker.restart: 2 workers ended by themselves."
    assert "w-1 ended by itself at 41.5 s (exit 1)" in finding.sentence
    assert "supervisor" in finding.fix and "lease" not in finding.fix
    assert [cell[0] for cell in result.by_fault] == [Verdict.PASS, Verdict.FAIL]


def test_a_worker_that_a_fault_took_away_for_good_is_none_of_them() -> None:
    b = Build()
    steady(b)
    b.fault(begun=5.5)
    b.history.processes[0].down, b.history.processes[0].how = 5.5, "SIGKILL by worker.kill"
    assert b.judge("recovery").verdict is Verdict.PASS


def test_one_that_was_started_again_is_there() -> None:
    b = Build()
    steady(b)
    b.fault(begun=5.5)
    b.history.processes[0].down, b.history.processes[0].unexpected = 5.6, True
    b.worker("w-1", 3).up = 7.0
    assert b.judge("recovery").verdict is Verdict.PASS


@pytest.mark.parametrize(("back", "within", "verdict"), [(None, "30s", "fail"), (None, "80s", "inconclusive"), (43.0, "30s", "pass")])
def test_a_worker_that_lost_its_connection_for_good(back: float | None, within: str, verdict: str) -> None:
    b = Build()
    steady(b)
    b.fault("net.partition", 40.0, 41.0)
    b.history.processes[0].disconnected.append(40.2)
    if back is not None:
        b.history.processes[0].connected.append(back)
    result = b.judge("recovery", {"within": within})
    assert result.verdict.value == verdict
    if verdict == "fail":
        assert "w-1 lost its connection to the broker at 40.2 s and did not get it back" in result.findings[0].sentence
        assert "connect again" in result.findings[0].fix


def test_one_that_does_not_try_to_connect_again_is_gone_at_once() -> None:
    b = Build()
    steady(b)
    b.fault("broker.restart", 40.0, 41.0)
    b.history.processes[0].disconnected.append(40.2)
    assert b.judge("recovery", {"within": "80s"}).verdict is Verdict.INCONCLUSIVE
    b.history.config["broker_connection_retry"] = False
    result = b.judge("recovery", {"within": "80s"})
    assert result.verdict is Verdict.FAIL
    assert "w-1 lost its connection to the broker at 40.2 s and does not try again" in result.summary


def test_a_death_without_any_fault_before_it_is_no_faults_doing() -> None:
    b = Build()
    steady(b)
    b.history.processes[0].down, b.history.processes[0].unexpected = 3.0, True
    b.fault("broker.pause", 40.0, 41.0)
    assert b.judge("recovery").verdict is Verdict.PASS


def test_the_fix_follows_what_is_left() -> None:
    b = Build()
    steady(b, 20)
    b.fault("broker.restart", 20.0, 21.0)
    for n in range(22, 90):
        b.depth(float(n), 0, 30)
    assert "visibility timeout" in b.judge("recovery", {"within": "20s"}).findings[0].fix
    b.depth(90.0, 30, 0)
    assert "logs" in b.judge("recovery", {"within": "20s"}).findings[0].fix
