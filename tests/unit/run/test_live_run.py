"""Live runs on real Redis: steered, judged, replayed as a schedule, and gone without a trace whatever happens."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import EnvironmentFault, UsageError
from harness.model.finding import Word
from harness.model.verdict import Verdict
from harness.ports.reporter import NoListener
from harness.testing.configuration import Configuration, merged
from harness.testing.harness import Harness
from harness.testing.outcomes import Failed, Inconclusive, TooLate
from harness.testing.workshop import Workshop

PROJECT = Path(__file__).parents[2] / "e2e" / "projects" / "plain"
DOCUMENT = {
    "seed": 3,
    "system": {
        "app": "shop:app",
        "setup": "shop:create",
        "broker": "redis",
        "redelivery": "2s",
        "services": {"db": "sqlite"},
        "env": {"DATABASE_URL": "${{ db.url }}"},
        "workers": {"pay": {"replicas": 1, "concurrency": 1}},
    },
    "drain": {"timeout": "40s"},
    "checks": {"no_loss": {}},
}
Make = Callable[..., Harness]


@pytest.fixture(scope="module")
def workshop(redis_server_program: str) -> Iterator[Workshop]:
    shop = Workshop(NoListener)
    yield shop
    shop.close()


@pytest.fixture
def make(workshop: Workshop, tmp_path: Path) -> Iterator[Make]:
    """Harnesses that are closed at the end, after which nothing of theirs may be left."""
    made: list[Harness] = []

    def one(**changes: object) -> Harness:
        document = merged(DOCUMENT, changes)
        made.append(Harness(workshop, Configuration(document, PROJECT, "the test", "processes", tmp_path / "reports"), "live"))
        return made[-1]

    yield one
    for harness in made:
        harness.close()


def started(harness: Harness) -> list[int]:
    """Pids of its workers and its producer."""
    return [p.pid for p in harness.live.system.every_process if p.kind in ("worker", "producer")]  # type: ignore[attr-defined]


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    """Also where it ends while it is looked at."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_passes_and_what_it_did_is_a_schedule(make: Make) -> None:
    harness = make()
    call = harness.send("shop.book_once", 1, 900).wait()
    assert (call.number, call.ended) == (1, True)
    assert harness.wait_until_quiet()
    assert [delivery.message.task for delivery in harness.history.deliveries.values()] == ["shop.book_once"]
    pids = started(harness)
    result = harness.check()
    assert result.verdict is Verdict.PASS
    assert result.calls == 1
    assert "schedule:" in result.plan and "shop.book_once" in result.plan
    assert harness.check() is result
    assert all_gone(pids)
    with pytest.raises(UsageError, match="judged"):
        harness.send("shop.book_once", 1, 900)


def test_it_fails_with_the_story_and_the_trigger_bound_to_its_call(make: Make) -> None:
    harness = make(checks={"idempotent": {}})
    harness.send("shop.book_twice", 1, 900).wait()
    fault = harness.crash("shop.book_twice", "before_ack")
    harness.send("shop.book_twice", 2, 900)
    assert fault.wait().struck
    with pytest.raises(Failed) as failed:
        harness.check()
    (finding,) = failed.value.result.findings
    assert (finding.word, finding.calls) == (Word.EFFECT, (2,))
    assert "call: 2" in failed.value.result.plan
    assert "✸ killed before the acknowledgement by task.crash" in str(failed.value)
    assert "Reproduce  " in str(failed.value)
    assert harness.folder is not None and (harness.folder / "report.html").is_file()


def test_a_point_that_is_never_reached_is_inconclusive(make: Make) -> None:
    harness = make()
    fault = harness.crash("shop.book_once", "before_ack", nth=5)
    harness.send("shop.book_once", 1, 900).wait()
    with pytest.raises(TooLate, match=r"was not reached within 0.1 s"):
        fault.wait(0.1)
    with pytest.raises(Inconclusive, match=r"INCONCLUSIVE  task.crash did not bite"):
        harness.check()


def test_without_a_call_nothing_is_known(make: Make) -> None:
    harness = make()
    harness.wait(0.05)
    with pytest.raises(Inconclusive, match="no task was published"):
        harness.check()


@pytest.mark.exhaustive
def test_every_fault_of_the_facade_begins_and_is_healed(make: Make) -> None:
    """One after another on one system, each with a call behind it: the system does its work after all of them."""
    harness = make(system={"backend": "redis", "services": {"cache": "redis"}})
    faults: list[tuple[str, Callable[[], object]]] = [
        ("worker.kill", lambda: harness.worker("pay").kill(restart_after=0.1).heal()),
        ("worker.kill_child", lambda: harness.worker("pay-1").kill_child().heal()),
        ("worker.pause", lambda: harness.worker("pay").pause().heal()),
        ("worker.stop", lambda: harness.worker("pay").stop(restart_after="100ms").heal()),
        ("worker.stop_cold", lambda: harness.worker("pay").stop(cold=True).heal()),
        ("worker.scale", lambda: harness.scale("pay", 2)),
        ("net.partition", lambda: harness.partition("pay", "broker").heal()),
        ("net.partition", lambda: harness.partition("pay", "cache", mode="reset").heal()),
        ("message.duplicate", lambda: harness.duplicate("celery").heal()),
        ("broker.pause", lambda: harness.broker.pause().heal()),
        ("broker.restart", lambda: harness.broker.restart(down="100ms")),
        ("backend.pause", lambda: harness.backend.pause().heal()),
        ("db.pause", lambda: harness.service("cache").pause().heal()),
        ("net.latency", lambda: harness.fault("net.latency", between=["pay", "broker"], latency="5ms", for_="100ms")),
        ("task.crash", lambda: harness.crash("shop.book_once", "start", call=1)),
    ]
    for _, begin in faults:
        begin()
    harness.heal()
    harness.send("shop.book_once", 1, 900).wait(60)
    assert harness.live.abandon("seen enough") is not None
    records = harness.history.faults
    assert [record.name for record in records] == [name for name, _ in faults]
    assert all(record.begun is not None and record.healed for record in records[:-1]), records


def test_what_is_wrong_is_refused_before_anything_is_done(make: Make) -> None:
    harness = make()
    with pytest.raises(UsageError, match=r"did you mean `shop.book_once`"):
        harness.send("shop.book_onse", 1, 900)
    with pytest.raises(UsageError, match="cannot be written into a plan"):
        harness.send("shop.book_once", {1, 2}, 900)
    with pytest.raises(UsageError, match="not registered"):
        harness.crash("shop.nothing")
    with pytest.raises(UsageError, match=r"did you mean `worker.kill`"):
        harness.fault("worker.kil")
    with pytest.raises(UsageError, match=r"shop.book_once cannot be called so: .* missing 1 required positional argument: 'cents'"):
        harness.send("shop.book_once", 1)
    with pytest.raises(UsageError, match=r"unexpected keyword argument 'cent'.*[Dd]id you mean .cents.\?"):
        harness.send("shop.book_once", 1, cent=900)
    with pytest.raises(UsageError, match=r"line 27 of shop.py holds no code\s+nearest: 25 and 30"):
        harness.crash("shop.book_once", "shop.py:27")
    with pytest.raises(UsageError, match=r"there is no file shopp.py"):
        harness.crash("shop.book_once", "shopp.py:31")
    assert (harness.live.calls, harness.live.script, harness.history.faults) == (0, [], [])
    harness.send("shop.book_once", 1, 900).wait()
    assert harness.check().verdict is Verdict.PASS


def test_the_app_is_asked_once_for_what_most_steps_need(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = make()
    asked: list[object] = []
    inner = harness.live.system.examine
    monkeypatch.setattr(harness.live._questions, "_ask", lambda question: asked.append(question) or inner(question))
    for number in range(3):
        harness.send("shop.book_once", number, 900)
    assert not asked
    for number in range(3, 6):
        harness.send("shop.book_once", number, cents=900)
    harness.crash("shop.book_once", "shop.py:31")
    harness.crash("shop.book_once", "shop.py:31", nth=9)
    assert len(asked) == 2


def test_a_worker_that_dies_by_itself_between_two_steps_is_no_pass(make: Make) -> None:
    harness = make()
    harness.send("shop.book_once", 1, 900).wait()
    assert harness.wait_until_quiet(), "its acknowledgement has arrived, or the message would be nobody's"
    (worker,) = harness.live.system.workers("pay")
    os.kill(worker.pid, signal.SIGKILL)
    assert harness.wait_until(lambda: not harness.live.system.workers("pay"), 60)
    with pytest.raises(Inconclusive, match="worker pay-1 ended by itself"):
        harness.check()


def test_a_restarted_worker_outlives_the_thread_that_restarted_it(make: Make) -> None:
    """The kernel's parent-death signal comes with the end of a thread: it must not come before the drain's end."""
    harness = make()
    fault = harness.crash("shop.book_once", "before_ack", restart_after=0.05)
    harness.send("shop.book_once", 1, 900)
    fault.wait()
    live = harness.live
    deadline = time.monotonic() + 30
    while not live.system.workers("pay") and time.monotonic() < deadline:
        time.sleep(0.01)  # nobody steps: the run's own thread brings it back
    result = harness.check()
    assert result.deaths == ()


def test_a_broker_that_dies_is_the_environments_fault(make: Make) -> None:
    harness = make()
    harness.send("shop.book_once", 1, 900).wait()
    os.kill(harness.live.system.broker_server.processes[0].pid, signal.SIGKILL)  # type: ignore[attr-defined]
    pids = started(harness)
    with pytest.raises(EnvironmentFault, match="ended by itself with status -9"):
        harness.wait_until(lambda: False, 20)
    result = harness.judge()
    assert result.verdict is Verdict.ENVIRONMENT
    assert all_gone(pids)


def test_what_is_abandoned_leaves_a_report_and_nothing_else(make: Make) -> None:
    harness = make()
    harness.partition("pay", "broker")
    harness.send("shop.book_once", 1, 900)
    pids, folder = started(harness), harness.live.folder
    harness.abandon(ValueError("mine"))
    assert harness.result is not None and harness.result.verdict is Verdict.INCONCLUSIVE
    assert harness.result.timings[-1].text == "not judged: the test ended with ValueError: mine"
    assert (folder / "report.html").is_file()
    assert all_gone(pids)
    assert not harness.used


def test_a_system_that_does_not_start_leaves_nothing(make: Make, tmp_path: Path) -> None:
    harness = make(system={"app": "shop:nothing"})
    with pytest.raises(Exception, match="nothing"):
        harness.send("shop.book_once", 1, 900)
    assert not list((tmp_path / "reports").glob("[0-9]*"))
    assert not harness.used


@pytest.mark.exhaustive
def test_judged_so_far_it_goes_on(make: Make) -> None:
    harness = make(checks={"no_loss": {}, "idempotent": {}})
    harness.send("shop.book_once", 1, 900)
    run = harness.live
    assert run.judges_so_far and run.judges_at_the_end
    first = run.judge_so_far()
    assert (first.verdict, [check.name for check in first.checks], first.calls) == (Verdict.PASS, ["no_loss"], 1)
    harness.crash("shop.book_once", "before_ack")
    harness.send("shop.book_once", 2, 900)
    second = run.judge_so_far()
    assert (second.verdict, second.calls, len(second.faults)) == (Verdict.PASS, 2, 1)
    last = harness.check()
    assert [check.name for check in last.checks] == ["no_loss", "idempotent"]
