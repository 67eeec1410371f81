from __future__ import annotations

from typing import Any

import pytest

from harness.model.finding import Word
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def agreeing(number: int = 40, **history: Any) -> Build:
    b = Build(results_read=True, **history)
    for n in range(number):
        message = b.done(float(n))
        b.history.results[message.task_id] = {"status": "SUCCESS"}
    return b


def test_agreement_passes_and_every_one_counts() -> None:
    assert agreeing().judge("state_agrees").verdict is Verdict.PASS
    b = agreeing()
    b.history.results["t7"]["status"] = "FAILURE"
    result = b.judge("state_agrees")
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.task_ids, finding.calls) == (Verdict.FAIL, Word.STATE, ("t7",), (7,))


def test_results_that_were_not_read_or_are_not_stored_are_no_evidence() -> None:
    b = agreeing()
    b.history.results_read = False
    assert b.judge("state_agrees").verdict is Verdict.INCONCLUSIVE
    b = agreeing(task_policies={"app.pay": {"ignore_result": True}})
    assert b.judge("state_agrees").verdict is Verdict.INCONCLUSIVE


def test_a_missing_result_is_a_disagreement_unless_it_may_have_expired() -> None:
    b = agreeing(config={"result_expires": 3600})
    del b.history.results["t7"]
    assert b.judge("state_agrees").verdict is Verdict.FAIL
    b.history.config["result_expires"] = 3  # read at 100 s
    assert b.judge("state_agrees", {"samples": 39}).verdict is Verdict.PASS


def test_a_result_that_never_expires_must_be_there() -> None:
    b = agreeing(config={"result_expires": None})
    del b.history.results["t7"]
    assert b.judge("state_agrees").verdict is Verdict.FAIL


def test_too_few_names_the_expiry() -> None:
    b = agreeing(config={"result_expires": 3})
    for n in range(1, 18):
        del b.history.results[f"t{n}"]
    result = b.judge("state_agrees")
    assert (result.verdict, result.summary) == (Verdict.INCONCLUSIVE, "23 results to compare, 30 needed")
    assert "result_expires is 3 s" in result.advice


def test_fewer_tasks_than_samples_are_compared_all() -> None:
    assert agreeing(5).judge("state_agrees").verdict is Verdict.PASS
    b = agreeing(5, config={"result_expires": 3})
    del b.history.results["t2"]
    assert b.judge("state_agrees").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("status", "agrees"), [("FAILURE", True), ("SUCCESS", False), ("RETRY", False)])
def test_failures(status: str, agrees: bool) -> None:
    b = agreeing()
    message = b.call(50)
    b.run(message, state="FAILURE")
    b.history.results[message.task_id] = {"status": status}
    assert b.judge("state_agrees").verdict is (Verdict.PASS if agrees else Verdict.FAIL)


def test_attempts_beside_each_other_may_write_in_either_order() -> None:
    b = agreeing()
    message = b.call(50)
    b.run(message, 50)
    b.run(message, 50.05, pid=2, state="FAILURE", copy=1)
    for status, verdict in (("SUCCESS", Verdict.PASS), ("FAILURE", Verdict.PASS), ("STARTED", Verdict.FAIL)):
        b.history.results[message.task_id] = {"status": status}
        assert b.judge("state_agrees").verdict is verdict


def test_ignored_and_lost_tasks_are_not_compared() -> None:
    b = agreeing()
    b.run(b.call(50), state="IGNORED")
    b.killed(b.call(51), 51.0, early=True)
    result = b.judge("state_agrees")
    assert result.verdict is Verdict.PASS and result.numbers["comparable"] == 40


def test_the_fault_that_lasted_meanwhile_is_marked() -> None:
    b = agreeing()
    b.fault("broker.pause", 6.0, 6.5)
    b.fault("broker.pause", 30.0, 31.0)
    del b.history.results["t7"]
    assert [cell[0] for cell in b.judge("state_agrees").by_fault] == [Verdict.FAIL, Verdict.PASS]


def test_a_result_that_could_not_be_decoded_is_not_compared() -> None:
    b = agreeing(config={"result_serializer": "pickle"})
    b.history.results["t7"] = {"status": None}
    result = b.judge("state_agrees")
    assert (result.verdict, result.numbers["comparable"], result.numbers["undecoded"]) == (Verdict.PASS, 39, 1)
    assert "1 stored result could not be decoded" in result.summary
    for document in b.history.results.values():
        document["status"] = None
    result = b.judge("state_agrees")
    assert (result.verdict, result.findings) == (Verdict.INCONCLUSIVE, ())
    assert "result_serializer" in result.advice and "pickle" in result.advice and "result_expires" not in result.advice
