"""What is said of a loss: facts as facts, and what may have been as no more than possible."""

from __future__ import annotations

import pytest

from harness.model.finding import Finding, Word
from harness.model.history import ProcessLife
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def lost(b: Build) -> Finding:
    (finding,) = b.judge("no_loss").findings
    assert finding.word is Word.LOST
    return finding


def mailers() -> tuple[Build, ProcessLife, ProcessLife]:
    """Two groups of workers; a mail published at 9.9 s that nobody received."""
    b = Build()
    pay, mail = b.history.processes
    pay.queues, mail.queues = ("payments",), ("emails",)
    b.call(9.9, "app.mail", queue="emails")
    return b, pay, mail


def test_a_worker_of_the_queue_that_was_killed_then_is_named() -> None:
    b, _, mail = mailers()
    b.fault(begun=10.0, killed_pids=(2,))
    mail.down, mail.how = 10.0, "SIGKILL by worker.kill"
    finding = lost(b)
    assert "w-2, which consumes 'emails', was killed by worker.kill at 10.0 s" in finding.sentence
    assert finding.faults == (0,) and finding.headline.endswith("lost by Redis before delivery.")


def test_a_worker_of_another_queue_did_not_take_it() -> None:
    b, pay, _ = mailers()
    b.fault(begun=10.0)
    pay.down, pay.how = 10.0, "SIGKILL by worker.kill"
    finding = lost(b)
    assert "killed" not in finding.sentence and "not known" in finding.sentence and finding.faults == ()
    b.done(10.5, "app.mail")
    assert b.judge("no_loss").by_fault[0][0] is not Verdict.FAIL


def test_one_that_left_in_order_was_not_between_two_commands() -> None:
    b, _, mail = mailers()
    mail.down, mail.how = 10.0, "exit 1"
    assert "killed" not in lost(b).sentence


def test_what_came_after_it_in_its_queue_and_was_delivered_tells_when_it_left() -> None:
    b, _, mail = mailers()
    b.run(b.call(10.0, "app.mail", queue="emails"), pid=2)
    b.fault(begun=30.0, killed_pids=(2,))
    mail.down, mail.how = 30.0, "SIGKILL by worker.kill"
    assert "killed" not in lost(b).sentence
    mail.down = 10.5
    assert "w-2" in lost(b).sentence


def test_a_publish_into_a_restart_that_had_begun_says_what_is_possible() -> None:
    b, pay, _ = mailers()
    b.fault(begun=2.0)
    b.fault("broker.restart", begun=9.893, ended=23.0)
    pay.down, pay.how = 2.0, "SIGKILL by worker.kill"
    finding = lost(b)
    assert "broker.restart, 9.9 s to 23.0 s" in finding.sentence and "possibly" in finding.sentence
    assert "killed" not in finding.sentence and finding.faults == (1,)


def test_a_restart_after_it_had_left_the_queue_is_not_the_cause() -> None:
    b, _, _ = mailers()
    b.run(b.call(10.0, "app.mail", queue="emails"), pid=2)
    b.fault("broker.restart", begun=20.0, ended=21.0)
    finding = lost(b)
    assert "restarted" not in finding.sentence and finding.faults == ()


def test_a_cut_connection_of_its_queue_may_have_been_it() -> None:
    b, _, mail = mailers()
    mail.disconnected.append(10.4)
    assert "Possibly w-2 took it along" in lost(b).sentence


@pytest.mark.parametrize("word", ["worker.kill", "broker.restart"])
def test_nothing_internal_is_told(word: str) -> None:
    b, _, mail = mailers()
    b.fault(word, begun=10.0, killed_pids=(2,))
    mail.down = 10.0 if "kill" in word else 96.0
    assert "(F" not in lost(b).sentence


# --- stranded -------------------------------------------------------------------------------------------------------------


def waiting(b: Build, queue: str = "invoices") -> None:
    b.history.quiet_at = None
    b.done()
    b.held(b.call(1.0, queue=queue), "ready", queue=queue)


def test_a_queue_that_no_worker_consumes_strands_also_before_it_is_quiet() -> None:
    b = Build()
    for life in b.history.processes:
        life.queues = ("orders", "emails")
    waiting(b)
    result = b.judge("no_loss")
    (finding,) = result.findings
    assert (result.verdict, finding.word) == (Verdict.FAIL, Word.STRANDED)
    assert "queue 'invoices', from which nobody has consumed" in finding.sentence
    assert "-Q invoices" in finding.fix and "visibility_timeout" not in finding.fix


def test_one_that_a_worker_consumes_may_only_need_more_time() -> None:
    b = Build()
    for life in b.history.processes:
        life.queues = ("orders", "invoices")
    waiting(b)
    assert b.judge("no_loss").verdict is Verdict.INCONCLUSIVE
    for life in b.history.processes:
        life.queues = ()  # not recorded: any of them may consume it
    assert b.judge("no_loss").verdict is Verdict.INCONCLUSIVE


def test_workers_that_are_gone_are_named() -> None:
    b = Build()
    pay, mail = b.history.processes
    pay.queues, mail.queues = ("orders",), ("invoices",)
    mail.down, mail.how = 20.0, "exit 1"
    waiting(b)
    (finding,) = b.judge("no_loss").findings
    assert "the workers that consumed it are gone: w-2 ended at 20.0 s (exit 1)" in finding.sentence
    assert "supervisor" in finding.fix


def test_one_that_they_should_have_taken_names_them() -> None:
    b = Build()
    waiting(b)
    b.history.quiet_at = 90.0
    (finding,) = b.judge("no_loss").findings
    assert "although w-1, w-2 should" in finding.sentence and "logs" in finding.fix


def test_what_a_dead_worker_holds_is_about_the_timeout() -> None:
    b = Build()
    message = b.call()
    b.killed(message, 1.0)
    b.held(message, timeout="visibility_timeout 3600 s")
    assert "visibility_timeout" in b.judge("no_loss").findings[0].fix
