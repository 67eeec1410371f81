from __future__ import annotations

import pytest

from harness.model.finding import Word
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def test_passes_when_all_ended_and_says_how() -> None:
    b = Build()
    for n in range(3):
        b.done(n)
    b.run(b.call(4), state="FAILURE")
    result = b.judge("no_loss")
    assert (result.verdict, result.summary) == (Verdict.PASS, "4 = 3 succeeded + 1 failed")


def test_no_calls_are_no_evidence() -> None:
    assert Build().judge("no_loss").verdict is Verdict.INCONCLUSIVE
    b = Build()
    b.call(publish="failed")
    assert b.judge("no_loss").verdict is Verdict.INCONCLUSIVE


def test_lost_while_running_names_task_call_fault_and_line() -> None:
    b = Build()
    b.fault(file="/app/orders.py", line=41)
    b.done()
    b.killed(b.call(9), 9.6, early=True, last_line="/app/orders.py:41")
    source = [f"line {n}\n" for n in range(1, 60)]
    result = b.judge("no_loss", source=lambda path: source if path == "/app/orders.py" else [])
    (finding,) = result.findings
    assert result.verdict is Verdict.FAIL
    assert (finding.word, finding.cause) == (Word.LOST, "while running")
    assert (finding.task_ids, finding.calls, finding.faults) == (("t2",), (2,), (0,))
    assert (finding.file, finding.line) == ("/app/orders.py", 41)
    assert result.by_fault == ((Verdict.FAIL, "1 lost"),)
    assert finding.story is not None
    assert [s.kind for s in finding.story.steps] == ["publish", "deliver", "ack", "start", "crash", "lost"]
    assert [line.number for line in finding.story.source] == list(range(37, 46)) and finding.story.source[4].code == "line 41"


def test_stranded_fails_and_names_its_timeout() -> None:
    b = Build()
    b.fault()
    message = b.call(9)
    b.killed(message, 9.6)
    b.held(message, timeout="visibility_timeout 3600 s", returns_at=3609.6)
    result = b.judge("no_loss")
    (finding,) = result.findings
    assert (result.verdict, finding.word) == (Verdict.FAIL, Word.STRANDED)
    assert "visibility_timeout 3600 s" in finding.sentence
    assert result.by_fault == ((Verdict.FAIL, "1 stranded"),)


def test_unknown_is_inconclusive_and_never_hides_a_loss() -> None:
    b = Build()
    b.deliver(b.call())
    assert b.judge("no_loss").verdict is Verdict.INCONCLUSIVE
    b.killed(b.call(), 1, early=True)
    assert b.judge("no_loss").verdict is Verdict.FAIL


def test_scheduled_is_listed_and_no_loss() -> None:
    b = Build()
    b.done()
    b.held(b.call(eta=1000.0), "ready")
    result = b.judge("no_loss")
    assert (result.verdict, result.summary) == (Verdict.PASS, "2 = 1 succeeded + 1 scheduled")


def test_what_redis_lost_before_delivery_is_not_laid_to_the_task() -> None:
    b = Build(acks_late={"app.pay": True})
    b.fault(begun=10.0, killed_pids=(3,))
    b.worker("w-3", 3, down=10.1)
    b.call(9.9)
    result = b.judge("no_loss")
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.cause, finding.faults) == (Verdict.FAIL, Word.LOST, "never delivered", (0,))
    assert "Redis" in finding.headline and "not to blame" in finding.sentence
    assert "acks_late" not in finding.fix


def test_what_a_restarted_broker_forgot_says_so() -> None:
    b = Build()
    b.fault("broker.restart", begun=20.0, ended=21.0)
    b.call(19.9)
    (finding,) = b.judge("no_loss", semantics={}).findings
    assert "restarted" in finding.sentence and finding.faults == (0,)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"state": "REJECTED", "ack": None, "reject": 1.0}, "rejected"),
        ({"state": "", "end": None, "start": None, "ack": None, "reject": 1.0, "outcome": "unknown"}, "discarded"),
    ],
)
def test_rejected_and_discarded_are_losses_unless_allowed(fields: dict, kind: str) -> None:  # type: ignore[type-arg]
    b = Build()
    b.run(b.call(), **fields)
    assert b.judge("no_loss").verdict is Verdict.FAIL
    assert b.judge("no_loss", {"allow": [kind]}).verdict is Verdict.PASS


@pytest.mark.parametrize("why", ["revoked", "expired"])
def test_revoked_and_expired_are_allowed_unless_left_out(why: str) -> None:
    b = Build()
    b.deliver(b.call(), revoked=why, ack=0.2)
    assert b.judge("no_loss").verdict is Verdict.PASS
    assert b.judge("no_loss", {"allow": []}).verdict is Verdict.FAIL


def test_at_most_once_allows_a_crash_of_an_early_acked_task_and_nothing_else() -> None:
    b = Build()
    b.fault()
    b.killed(b.call(9), 9.6, early=True)
    assert b.judge("no_loss").verdict is Verdict.FAIL
    assert b.judge_at_most_once().verdict is Verdict.PASS
    b.history.acks_late["app.pay"] = True
    assert b.judge_at_most_once().verdict is Verdict.FAIL
    b.history.acks_late["app.pay"] = False
    b.held(b.call(9), "ready")
    assert b.judge_at_most_once().verdict is Verdict.FAIL


def test_ended_but_not_acknowledged_is_said() -> None:
    b = Build()
    message = b.call()
    b.run(message, ack=None, died=1.0, died_by=0)
    b.held(message)
    result = b.judge("no_loss")
    assert result.verdict is Verdict.PASS and "will run again" in result.summary


@pytest.mark.parametrize(("publish", "said"), [("failed", "1 publish failed"), ("unknown", "of 1 publish it is unknown")])
def test_a_publish_that_failed_or_is_unknown_makes_no_pass(publish: str, said: str) -> None:
    b = Build()
    b.done()
    b.call(publish=publish)
    result = b.judge("no_loss")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert said in result.summary and "1" in result.advice
    assert result.numbers[f"{publish}_publishes"] == 1
    allowed = b.judge("no_loss", {"allow": ["failed_publish"]})
    assert allowed.verdict is (Verdict.PASS if publish == "failed" else Verdict.INCONCLUSIVE)
    assert said in allowed.summary
    b.killed(b.call(), 1, early=True)
    assert b.judge("no_loss").verdict is Verdict.FAIL


def test_arrivals_that_were_dropped_make_no_pass() -> None:
    b = Build(dropped_arrivals=7)
    b.done()
    result = b.judge("no_loss", {"allow": ["failed_publish"]})
    assert (result.verdict, result.numbers["dropped_arrivals"]) == (Verdict.INCONCLUSIVE, 7)
    assert "7 arrivals dropped" in result.summary and "7 never sent" in result.advice


def test_messages_of_others_are_no_load() -> None:
    b = Build()
    b.run(b.message("other"))
    assert b.judge("no_loss", {"allow": ["failed_publish"]}).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("publish", ["failed", "unknown"])
def test_a_publish_whose_message_was_received_was_taken_whatever_the_producer_was_told(publish: str) -> None:
    b = Build()
    b.run(b.call(publish=publish))
    assert b.judge("no_loss").verdict is Verdict.PASS
