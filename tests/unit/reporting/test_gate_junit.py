from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.model.gate import GateResult
from harness.model.verdict import Verdict
from harness.reporting.gate_junit import gate_junit_text
from harness.reporting.json_file import JsonWriter
from tests.unit.reporting import gate_sample, sample
from tests.unit.reporting.gate_sample import cell, finding, gate, regression


def root_of(result: GateResult, folder: Path) -> ET.Element:
    root = ET.fromstring(gate_junit_text(result, folder))
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert root.get(key) == str(len(root.findall(f".//{tag}")))
    return root


def outcome(root: ET.Element, path: str) -> tuple[str, str]:
    element = root.find(path)
    assert element is not None
    return element.get("type", ""), element.get("message", "")


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_every_gate_parses_and_is_red_unless_it_passed(name: str, tmp_path: Path) -> None:
    result = gate_sample.ALL[name]()
    root = root_of(result, tmp_path)
    red = int(root.get("failures", "")) + int(root.get("errors", ""))
    assert (red > 0) == (result.verdict is not Verdict.PASS)


def test_a_cell_is_a_suite_and_its_verdict_a_case(tmp_path: Path) -> None:
    root = root_of(gate(cell("a"), cell("b", Verdict.FAIL, findings=(finding(),), words=("EFFECT",))), tmp_path)
    assert [s.get("name") for s in root] == ["scenarios/a.yaml [broker=redis]", "scenarios/b.yaml [broker=redis]"]
    case = root[1].find("testcase")
    assert case is not None and (case.get("file"), case.get("line")) == ("shop/orders.py", "41")
    assert outcome(root, ".//failure") == ("EFFECT", "Two orders were charged twice.")


def test_checks_are_cases_where_the_run_left_its_result(tmp_path: Path) -> None:
    run = sample.failing()
    JsonWriter().write(run, tmp_path / run.run_id)
    known = cell(verdict=Verdict.FAIL, report=f"../{run.run_id}", run_id=run.run_id)
    (tmp_path / "gate").mkdir()
    root = root_of(gate(known), tmp_path / "gate")
    assert [c.get("name") for c in root[0].findall("testcase")][:2] == ["no_loss", "idempotent"]
    assert root[0].get("name") == known.key and outcome(root, ".//failure")[0] == "EFFECT"


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}', None, "of another run"])
def test_a_result_that_cannot_be_read_or_is_another_is_not_believed(text: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    if text == "of another run":
        JsonWriter().write(sample.passing(), folder)
    elif text is not None:
        folder.mkdir()
        (folder / "result.json").write_text(text)
    root = root_of(gate(cell(verdict=Verdict.FAIL, report="run", run_id="mine", summary="lost 3")), tmp_path)
    assert outcome(root, ".//failure") == ("FAIL", "lost 3")


def test_a_cell_that_is_no_pass_is_red_although_all_its_checks_passed(tmp_path: Path) -> None:
    run = sample.passing()
    JsonWriter().write(run, tmp_path / "run")
    worse = cell(verdict=Verdict.INCONCLUSIVE, report="run", run_id=run.run_id, summary="one of three runs was not decided")
    assert outcome(root_of(gate(worse), tmp_path), ".//failure") == ("INCONCLUSIVE", "one of three runs was not decided")


def test_inconclusive_fails_and_the_environment_and_a_wrong_scenario_are_errors(tmp_path: Path) -> None:
    refused = cell("c", Verdict.INCONCLUSIVE, exit_code=2, summary="no such task")
    root = root_of(
        gate(cell("a", Verdict.INCONCLUSIVE, summary="idle"), cell("b", Verdict.ENVIRONMENT, summary="no disk"), refused), tmp_path
    )
    assert outcome(root, "testsuite[1]//failure") == ("INCONCLUSIVE", "idle")
    assert outcome(root, "testsuite[2]//error") == ("ENVIRONMENT", "no disk")
    assert outcome(root, "testsuite[3]//error") == ("REFUSED", "no such task")


def test_comparisons_are_cases_but_for_those_that_were_not_made(tmp_path: Path) -> None:
    made = (regression(), regression(measure="p99", outcome="suspected", why="no git"), regression(measure="p50", outcome="better"))
    root = root_of(gate(cell(comparisons=(*made, regression(measure="throughput", outcome="not compared")))), tmp_path)
    cases = {c.get("name"): [e.get("type") for e in c] for c in root[0].findall("testcase")}
    assert cases == {
        "verdict": [],
        "p95 against the baseline": ["REGRESSION"],
        "p99 against the baseline": ["INCONCLUSIVE"],
        "p50 against the baseline": [],
    }


def test_left_out_cells_are_skipped_and_do_not_make_a_gate_green(tmp_path: Path) -> None:
    root = root_of(gate_sample.ALL["nothing"](), tmp_path)
    assert [s.get("name") for s in root] == ["left out", "gate"]
    skipped = root.find("testsuite[@name='left out']/testcase/skipped")
    assert skipped is not None and "21 s of the budget" in skipped.get("message", "")
    assert outcome(root, "testsuite[2]//failure")[0] == "INCONCLUSIVE"


def test_ten_thousand_findings_are_one_case(tmp_path: Path) -> None:
    root = root_of(gate_sample.huge(), tmp_path)
    failure = root.find(".//failure")
    assert root.get("tests") == "1" and failure is not None and "Order 9999 was charged twice." in (failure.text or "")


def test_text_stays_text(tmp_path: Path) -> None:
    text = gate_junit_text(gate_sample.hostile(), tmp_path)
    assert "<script>" not in text and "]]>" not in text and not set("\x00\x1b\r\u202e") & set(text)
