from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.finding import Word
from harness.model.gate import GateResult
from harness.model.verdict import Verdict
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import Remark, remarks
from tests.unit.reporting.gate_sample import cell, finding, gate, huge, mixed

ROOT = Path("/project")


def said(result: GateResult) -> list[Remark]:
    return remarks(result, Places(ROOT, ROOT))


def failing(*findings: object, name: str = "charge") -> GateResult:
    return gate(cell(name, Verdict.FAIL, findings=findings))


def test_a_pass_says_nothing() -> None:
    assert said(gate(cell())) == []


def test_errors_come_before_warnings() -> None:
    levels = [remark.level for remark in said(mixed())]
    assert levels == sorted(levels) and set(levels) == {"error", "warning"}


def test_the_same_of_one_line_in_two_cells_is_said_once() -> None:
    both = gate(*(cell(name, Verdict.FAIL, findings=(finding(),)) for name in ("one", "two")))
    (remark,) = said(both)
    assert remark.cells == ("one [broker=redis]", "two [broker=redis]")
    assert remark.text.endswith("Seen in 2 cells: one [broker=redis], two [broker=redis].")


def test_the_gravest_level_of_what_is_merged_wins() -> None:
    open_, failed = cell("a", Verdict.INCONCLUSIVE, findings=(finding(),)), cell("b", Verdict.FAIL, findings=(finding(),))
    assert [r.level for r in said(gate(open_, failed)) if r.rule == "EFFECT"] == ["error"]


def test_the_identity_stays_when_lines_move_and_headlines_count_otherwise() -> None:
    (before,) = said(failing(finding()))
    (after,) = said(failing(finding(line=97, headline="Three orders were charged twice."), name="charge"))
    assert before.identity == after.identity


@pytest.mark.parametrize("change", [{"word": Word.LOST}, {"task": "other"}, {"cause": "other"}, {"file": "other.py"}])
def test_another_word_task_cause_or_file_is_another_identity(change: dict[str, object]) -> None:
    (before,), (after,) = said(failing(finding())), said(failing(finding(**change)))
    assert before.identity != after.identity


def test_identities_are_unique_and_numbered_in_the_order_of_lines() -> None:
    first, second = said(failing(finding(line=80), finding(line=12)))
    assert (first.place, second.place) and (first.identity[-2:], second.identity[-2:]) == (":2", ":1")
    many = said(huge(500))
    assert len({remark.identity for remark in many}) == len(many) == 500


def test_a_failure_without_a_finding_points_at_its_scenario() -> None:
    (remark,) = said(gate(cell(verdict=Verdict.FAIL, summary="p(95) < 2s missed")))
    assert (remark.rule, str(remark.place)) == ("FAIL", "scenarios/charge.yaml:1") and remark.details[0] == "p(95) < 2s missed"


def test_a_refused_scenario_is_an_error_of_its_own() -> None:
    (remark,) = said(gate(cell(verdict=Verdict.INCONCLUSIVE, exit_code=2, summary="no such task")))
    assert (remark.rule, remark.level) == ("REFUSED", "error")
