"""From runs to cells, and from cells to verdict and exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from harness.gate.results import CellRun, decide, gate_cell, refused_run, run_of
from harness.model.finding import CheckResult, Finding, Story, Word
from harness.model.gate import Comparison, Measures
from harness.model.verdict import Verdict
from tests.unit.gate.makers import cell, left_out, planned, run_result

_Outcome = Literal["same", "better", "regression", "suspected", "not compared"]


def _compared(outcome: _Outcome) -> tuple[Comparison, ...]:
    return (Comparison(measure="p95", outcome=outcome),)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.PASS, Verdict.PASS], (Verdict.PASS, 0)),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], (Verdict.INCONCLUSIVE, 4)),
        ([Verdict.INCONCLUSIVE, Verdict.ENVIRONMENT], (Verdict.ENVIRONMENT, 3)),
        ([Verdict.ENVIRONMENT, Verdict.FAIL], (Verdict.FAIL, 1)),
        ([], (Verdict.INCONCLUSIVE, 4)),
    ],
)
def test_the_worst_cell_decides(verdicts: list[Verdict], expected: tuple[Verdict, int]) -> None:
    assert decide([cell(str(n), verdict) for n, verdict in enumerate(verdicts)]) == expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("same", (Verdict.PASS, 0)),
        ("better", (Verdict.PASS, 0)),
        ("not compared", (Verdict.PASS, 0)),
        ("suspected", (Verdict.INCONCLUSIVE, 4)),
        ("regression", (Verdict.FAIL, 1)),
    ],
)
def test_a_regression_fails_and_a_suspicion_is_inconclusive(outcome: _Outcome, expected: tuple[Verdict, int]) -> None:
    assert decide([cell("a", comparisons=_compared(outcome))]) == expected


def test_a_failure_that_the_baseline_has_too_is_a_failure() -> None:
    assert decide([cell("a", Verdict.FAIL, before=Verdict.FAIL)]) == (Verdict.FAIL, 1)


def test_what_was_left_out_counts_only_where_all_are_required() -> None:
    assert decide([cell("a")], [left_out("b")]) == (Verdict.PASS, 0)
    assert decide([cell("a")], [left_out("b")], require_all=True) == (Verdict.INCONCLUSIVE, 4)
    assert decide([cell("a")], [], require_all=True) == (Verdict.PASS, 0)
    assert decide([], [left_out("b")]) == (Verdict.INCONCLUSIVE, 4)


def test_a_refused_cell_exits_with_2_but_hides_no_failure() -> None:
    refused = cell("a", Verdict.INCONCLUSIVE, exit_code=2)
    assert decide([refused, cell("b")]) == (Verdict.INCONCLUSIVE, 2)
    assert decide([refused, cell("b", Verdict.FAIL)]) == (Verdict.FAIL, 1)


def test_an_interruption_is_no_pass_and_hides_no_failure() -> None:
    assert decide([cell("a")], interrupted=2) == (Verdict.INCONCLUSIVE, 130)
    assert decide([cell("a", Verdict.FAIL)], interrupted=15) == (Verdict.FAIL, 143)


def _run(verdict: Verdict = Verdict.PASS, took: float = 1.0, **changes: Any) -> CellRun:
    return CellRun(**{"verdict": verdict, "exit_code": 0, "took": took, "measures": Measures(p50=took, samples=5), **changes})


def test_several_runs_are_one_cell_with_the_worst_verdict(tmp_path: Path) -> None:
    bad = _run(Verdict.FAIL, 3.0, summary="it broke", folder=tmp_path / "r2", findings=(Finding(word=Word.LOST, headline="One was lost."),))
    found = gate_cell(planned("a"), [_run(), bad, _run(took=2.0)], folder=tmp_path / "gate", replay="again")
    assert (found.verdict, found.summary, found.words, found.report) == (Verdict.FAIL, "it broke", ("LOST",), "../r2")
    assert (found.took, found.measures.p50, len(found.samples)) == (2.0, 2.0, 3)


def test_of_repetitions_only_a_failure_counts(tmp_path: Path) -> None:
    def verdict(*repetitions: CellRun) -> tuple[Verdict, float | None, int]:
        found = gate_cell(planned("a"), [_run()], folder=tmp_path, replay="", repetitions=repetitions)
        return found.verdict, found.measures.p50, len(found.samples)

    assert verdict(_run(took=9.0), _run(Verdict.INCONCLUSIVE)) == (Verdict.PASS, 1.0, 1)
    assert verdict(_run(Verdict.FAIL, took=9.0)) == (Verdict.FAIL, 1.0, 1)


def test_runs_that_measured_nothing_are_no_samples(tmp_path: Path) -> None:
    runs = [refused_run("no such task", 0.1), _run(Verdict.ENVIRONMENT)]
    found = gate_cell(planned("a"), runs, folder=tmp_path, replay="")
    assert found.samples == () and found.report == "" and found.measures == Measures()


def test_findings_of_failing_checks_without_their_stories() -> None:
    story = Story(title="t", task_id="1", task="t", steps=())

    def check(verdict: Verdict) -> CheckResult:
        found = Finding(word=Word.LOST, headline=verdict.value, story=story)
        return CheckResult(name=verdict.value, question="", verdict=verdict, summary="", findings=(found,))

    result = run_result([], [], checks=(check(Verdict.INCONCLUSIVE), check(Verdict.FAIL)), verdict=Verdict.FAIL)
    run = run_of(result, None, "why")
    assert [(f.headline, f.story) for f in run.findings] == [("fail", None)]
