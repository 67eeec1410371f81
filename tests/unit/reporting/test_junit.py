from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from harness.model.result import RunResult
from harness.reporting.junit import junit_text
from tests.unit.reporting import sample


def suite_of(result: RunResult) -> ET.Element:
    root = ET.fromstring(junit_text([result]))
    assert root.tag == "testsuites"
    return root[0]


@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_every_result_is_a_document_that_parses(name: str) -> None:
    suite = suite_of(sample.ALL[name]())
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))


def test_a_failed_check_carries_its_story_and_place() -> None:
    case = suite_of(sample.failing()).find("testcase[@name='idempotent']")
    assert case is not None
    assert (case.get("file"), case.get("line")) == ("sample_tasks/orders.py", "41")
    failure = case.find("failure")
    assert failure is not None and failure.get("type") == "EFFECT" and failure.get("message") == "Two orders were charged twice."
    assert "sample_tasks/orders.py:41" in (failure.text or "") and "card charged a second time" in (failure.text or "")


def test_inconclusive_is_a_failure_of_its_own_type() -> None:
    failure = suite_of(sample.failing()).find("testcase[@name='state_agrees']/failure")
    assert failure is not None and failure.get("type") == "INCONCLUSIVE"


def test_passing_checks_stay_bare_and_a_pass_has_no_failure() -> None:
    suite = suite_of(sample.passing())
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "0", "0")


@pytest.mark.parametrize("name", ["inconclusive", "environment", "interrupted"])
def test_what_is_not_a_pass_is_never_green(name: str) -> None:
    suite = suite_of(sample.ALL[name]())
    assert int(suite.get("failures", "0")) + int(suite.get("errors", "0")) > 0


def test_the_environment_is_an_error_with_its_reason() -> None:
    error = suite_of(sample.environment()).find("testcase[@name='environment']/error")
    assert error is not None and "redis-server did not answer" in (error.text or "")


def test_a_run_without_checks_is_not_green() -> None:
    suite = suite_of(sample.passing(checks=()))
    assert suite.get("failures") == "1"


def test_matrix_cells_are_suites_of_their_own() -> None:
    other = sample.passing(cell={"broker": "rabbitmq"})
    root = ET.fromstring(junit_text([sample.passing(), other]))
    assert [s.get("name") for s in root] == ["charge-survives-worker-kill [broker=redis]", "charge-survives-worker-kill [broker=rabbitmq]"]
    assert root.get("tests") == "12"


def test_text_stays_text() -> None:
    text = junit_text([sample.hostile()])
    assert "<script>" not in text and "\x00" not in text and "\x1b" not in text
