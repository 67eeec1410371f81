from __future__ import annotations

from harness.model.finding import Word
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def causes(b: Build) -> list[str]:
    return [f.cause for f in b.judge("no_duplicates").findings]


def test_one_delivery_each_passes_and_none_is_no_evidence() -> None:
    b = Build()
    assert b.judge("no_duplicates").verdict is Verdict.INCONCLUSIVE
    b.done()
    assert b.judge("no_duplicates").verdict is Verdict.PASS


def test_a_crash_explains_one_redelivery_and_not_two() -> None:
    b = Build()
    b.fault(begun=1.5)
    message = b.call()
    b.killed(message, 1)
    b.run(message, 7, pid=2)
    result = b.judge("no_duplicates")
    assert result.verdict is Verdict.PASS and result.by_fault == ((Verdict.PASS, "1 delivered again"),)
    b.run(message, 9, pid=2)
    assert causes(b) == ["although acknowledged"]


def test_a_crash_after_the_ack_explains_nothing() -> None:
    b = Build()
    message = b.call()
    b.killed(message, 1, early=True)
    b.run(message, 7, pid=2)
    assert causes(b) == ["although acknowledged"]


def test_beside_one_that_is_running() -> None:
    b = Build(config={"broker_transport_options": {"visibility_timeout": 3}})
    message = b.call()
    b.run(message, 1, took=8)
    b.run(message, 4.1, pid=2, took=8)
    result = b.judge("no_duplicates")
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.cause, finding.task_ids) == (
        Verdict.FAIL,
        Word.DUPLICATED,
        "beside one that is running",
        ("t1",),
    )
    assert "visibility timeout is 3 s" in finding.sentence and finding.story is not None


def test_beside_one_that_is_held() -> None:
    b = Build()
    message = b.call()
    b.deliver(message, 1)
    b.run(message, 4, pid=2)
    assert causes(b) == ["beside one that is held"]


def test_requeue_explains_and_a_rejection_without_requeue_does_not() -> None:
    b = Build()
    message = b.call()
    first = b.deliver(message, 1, reject=1.1, requeue=True)
    b.run(message, 2, pid=2)
    assert causes(b) == []
    first.requeue = False
    assert causes(b) == ["beside one that is held"]


def test_a_lost_connection_of_that_worker_explains() -> None:
    b = Build()
    message = b.call()
    b.run(message, 1, took=1.5, ack=None)
    b.run(message, 3, pid=2)
    assert causes(b) == ["beside one that is held"]
    b.history.processes[1].disconnected.append(2.0)  # the other worker's
    assert causes(b) == ["beside one that is held"]
    b.history.processes[0].disconnected.append(0.5)  # before the delivery
    assert causes(b) == ["beside one that is held"]
    b.history.processes[0].disconnected.append(2.0)
    assert causes(b) == []


def test_a_lost_connection_does_not_excuse_a_task_that_runs_beside_itself() -> None:
    b = Build()
    message = b.call()
    b.run(message, 1, took=5)
    b.run(message, 3, pid=2)
    b.history.processes[0].disconnected.append(2.0)
    (finding,) = b.judge("no_duplicates").findings
    assert (finding.word, finding.cause) == (Word.DUPLICATED, "beside one that went on without its connection")
    assert "lost its connection" in finding.sentence and "cancel_long_running_tasks" in finding.fix
    message.deliveries[0].state = "RAISED"  # cancelled, by that setting
    assert causes(b) == []


def test_injected_copies_explain_themselves_once_each() -> None:
    b = Build()
    b.fault("message.duplicate", begun=0.5, ended=2.0)
    message = b.call()
    b.run(message, 1, took=5)
    b.run(message, 1.5, pid=2, copy=1)
    b.run(message, 1.6, pid=2, copy=2)
    result = b.judge("no_duplicates")
    assert result.verdict is Verdict.PASS and result.by_fault == ((Verdict.PASS, "2 injected"),)
    b.run(message, 1.7, pid=2, copy=2)
    result = b.judge("no_duplicates")
    assert [f.cause for f in result.findings] == ["beside one that is running"]
    assert result.by_fault[0][0] is Verdict.FAIL


def test_retries_published_twice_are_each_explained_by_their_publish() -> None:
    b = Build()
    first = b.call()
    for at in (1.0, 5.0):
        b.run(b.retry(first, 1, at), at + 2)
    first.deliveries[0].ack, first.deliveries[0].died = None, 1.2
    assert causes(b) == []


def test_what_lived_until_the_harness_stopped_it_did_not_give_its_message_back() -> None:
    b = Build()
    message = b.call()
    earlier = b.deliver(message, 80, died=95.5)
    b.run(message, 85, pid=2)
    assert causes(b) == ["beside one that is held"]
    earlier.died_by = 0
    assert causes(b) == []
    earlier.died_by, message.deliveries[1].at = None, 95.6  # given to the other as the first was stopped
    assert causes(b) == []
