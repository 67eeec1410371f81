from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.model.finding import Word
from harness.model.gate import GateResult
from harness.model.verdict import Verdict
from harness.reporting import sarif
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import remarks
from harness.reporting.sarif import sarif_text
from tests.unit.reporting import gate_sample
from tests.unit.reporting.gate_sample import cell, finding, gate
from tests.unit.reporting.sarif_subset import SCHEMA

ROOT = Path("/project")


def run_of(result: GateResult, project: Path = ROOT) -> dict[str, Any]:
    places = Places(project, ROOT)
    document = json.loads(sarif_text(result, remarks(result, places), places))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    run: dict[str, Any] = document["runs"][0]
    return run


def locations(run: dict[str, Any]) -> list[tuple[str, int]]:
    physical = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    return [(p["artifactLocation"]["uri"], p["region"]["startLine"]) for p in physical]


@pytest.mark.parametrize("name", sorted(set(gate_sample.ALL) - {"huge"}))
def test_every_gate_is_a_document_that_github_takes(name: str) -> None:
    run = run_of(gate_sample.ALL[name]())
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])


def test_the_schema_refuses_what_is_misspelt_or_has_no_place() -> None:
    result, places = gate_sample.mixed(), Places(ROOT, ROOT)
    document = json.loads(sarif_text(result, remarks(result, places), places))
    document["runs"][0]["results"][0]["locations"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_rules_are_the_words_of_findings_with_their_explanations() -> None:
    driver = run_of(gate())["tool"]["driver"]
    rules = {rule["id"]: rule for rule in driver["rules"]}
    assert driver["name"] == "celery-harness" and set(Word.__members__) < set(rules)
    assert "acks_late=True" in rules["LOST"]["help"]["text"] and "acks\\_late=True" in rules["LOST"]["help"]["markdown"]


def test_a_finding_lands_on_its_line_with_what_happened_and_what_helps() -> None:
    (result,) = run_of(gate(cell(verdict=Verdict.FAIL, findings=(finding(),))))["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert (result["ruleId"], result["level"]) == ("EFFECT", "error")
    assert physical == {"artifactLocation": {"uri": "shop/orders.py", "uriBaseId": "%SRCROOT%"}, "region": {"startLine": 41}}
    lines = result["message"]["text"].splitlines()
    assert lines[0] == "Two orders were charged twice." and 'key=f"order-{order_id}"' in lines[2]


def test_what_is_undecided_is_a_warning_and_a_pass_is_nothing() -> None:
    run = run_of(gate(cell("a", Verdict.INCONCLUSIVE), cell("b")))
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [("INCONCLUSIVE", "warning")]
    assert locations(run) == [("scenarios/a.yaml", 1)]


def test_regressions_are_results_and_suspicions_warnings() -> None:
    suspected = gate_sample.regression(measure="p99", outcome="suspected")
    same = gate_sample.regression(measure="p50", outcome="same")
    run = run_of(gate(cell(comparisons=(gate_sample.regression(), suspected, same))))
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [("REGRESSION", "error"), ("REGRESSION", "warning")]


def test_the_environment_and_what_was_left_out_are_notifications() -> None:
    run = run_of(gate(cell("down", Verdict.ENVIRONMENT, summary="no disk"), left_out=gate_sample.mixed().left_out))
    (invocation,) = run["invocations"]
    assert run["results"] == [] and invocation["executionSuccessful"] is False and invocation["exitCode"] == 3
    assert [n["level"] for n in invocation["toolExecutionNotifications"]] == ["error", "note"]


def test_a_file_outside_of_the_repository_gives_its_place_to_the_scenario() -> None:
    run = run_of(gate(cell(verdict=Verdict.FAIL, findings=(finding(file="/usr/lib/python3/abc.py"),))))
    assert locations(run) == [("scenarios/charge.yaml", 1)]


def test_what_has_no_place_at_all_is_said_and_does_not_spoil_the_file() -> None:
    lost = cell(verdict=Verdict.FAIL, file="/elsewhere/s.yaml", findings=(finding(file="", line=None),))
    run = run_of(gate(lost))
    assert run["results"] == []
    assert "charged twice" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_paths_are_from_the_root_of_the_repository() -> None:
    run = run_of(gate(cell(verdict=Verdict.FAIL, findings=(finding(file="a b.py"),))), ROOT / "services" / "pay")
    assert locations(run) == [("services/pay/a%20b.py", 41)]


def test_too_many_results_are_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_RESULTS", 20)
    run = run_of(gate_sample.huge(27))
    assert len(run["results"]) == 20
    assert "7 more results" in run["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"]


def test_shards_runtimes_and_projects_do_not_replace_one_another() -> None:
    runs = [run_of(gate()), run_of(gate(runtime="containers")), run_of(gate_sample.mixed()), run_of(gate(), ROOT / "services" / "pay")]
    assert [run["automationDetails"]["id"] for run in runs] == [
        "celery-harness/processes/",
        "celery-harness/containers/",
        "celery-harness/processes/shard-1-of-4/",
        "celery-harness/services-pay/processes/",
    ]
