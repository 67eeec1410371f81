from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.gate.baselines import accepted, baseline_lines, changes, with_sample
from harness.gate.results import CellRun
from harness.model.gate import Measures, Shard
from harness.model.verdict import Verdict
from tests.unit.gate.makers import baseline, cell, expected, gate, left_out

_NOW = "2026-02-02T00:00:00Z"
_FIGURES = (Measures(p50=0.1, p95=0.2, throughput=40.0, samples=20),)


def test_what_was_measured_becomes_what_is_expected() -> None:
    new = accepted(gate(cell("b", samples=_FIGURES, took=3.0), cell("a")), None, created=_NOW)
    assert list(new.cells) == ["a", "b"] and new.commit == "abc" and new.created == _NOW
    assert new.cells["b"] == expected(samples=_FIGURES, took=3.0)


def test_a_cell_that_was_left_out_keeps_what_was_expected_of_it() -> None:
    old = baseline(cells={"a": expected(), "gone": expected(), "late": expected(Verdict.FAIL)})
    partial = gate(cell("a"), left_out=(left_out("late"), left_out("new")))
    assert accepted(partial, old, created=_NOW).cells["late"] == old.cells["late"]
    assert set(accepted(partial, old, created=_NOW).cells) == {"a", "late"}
    moved = accepted(partial.model_copy(update={"commit": "def"}), old, created=_NOW)
    assert moved.cells["late"] == expected(Verdict.FAIL, samples=()), "figures of another commit do not count for this one"


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_what_did_not_pass_is_accepted_only_when_asked(verdict: Verdict) -> None:
    failing = gate(cell("a"), cell("b", verdict, summary="it broke", words=("LOST",)))
    with pytest.raises(UsageError, match="with-failures") as caught:
        accepted(failing, None, created=_NOW)
    assert f"{verdict}: b: it broke" in str(caught.value)
    assert accepted(failing, None, created=_NOW, with_failures=True).cells["b"].words == ("LOST",)


def test_what_was_not_judged_is_never_accepted() -> None:
    for broken in (cell("a", Verdict.ENVIRONMENT), cell("a", Verdict.INCONCLUSIVE, exit_code=2)):
        with pytest.raises(UsageError, match="not judged"):
            accepted(gate(broken), None, created=_NOW, with_failures=True)
    with pytest.raises(UsageError, match="nothing ran"):
        accepted(gate(left_out=(left_out("a"),)), None, created=_NOW)
    with pytest.raises(UsageError, match="merge first"):
        accepted(gate(cell("a"), shard=Shard(index=1, count=2)), None, created=_NOW)


def test_the_diff_names_what_changed() -> None:
    slower = (Measures(p50=0.101, p95=0.25, throughput=30.0, p99=0.4, samples=20),)
    old = baseline(cells={"a": expected(samples=_FIGURES), "gone": expected(), "same": expected(), "worse": expected()})
    new = baseline(
        cells={
            "a": expected(samples=slower),
            "new": expected(samples=_FIGURES),
            "same": expected(),
            "worse": expected(Verdict.FAIL, words=("LOST",), digest="e"),
        },
        machine="another",
    )
    assert changes(old, new) == [
        f"machine: {old.machine} → another",
        "~ a: p95 +25%, p99 is new, throughput -25%",
        "- gone: no longer in the plan",
        "+ new: pass, p95 200 ms, 40.0/s, 1 sample, 2.0 s",
        "~ worse: pass → fail, findings none → LOST, the scenario changed",
    ]
    assert changes(old, old) == []


def test_another_sample_moves_the_median_and_a_failure_counts() -> None:
    one = cell("a", samples=(Measures(p50=1.0, samples=5),), measures=Measures(p50=1.0, samples=5))
    grown = with_sample(one, CellRun(Verdict.PASS, 0, 1.0, measures=Measures(p50=2.0, samples=5)))
    assert grown.measures.p50 == 1.5 and len(grown.samples) == 2 and grown.verdict is Verdict.PASS
    failed = with_sample(one, CellRun(Verdict.FAIL, 1, 1.0, "it broke"))
    assert (failed.verdict, failed.exit_code, failed.summary) == (Verdict.FAIL, 1, "it broke")


def test_the_baseline_is_shown_in_full() -> None:
    lines = baseline_lines(baseline(cells={"a": expected(samples=_FIGURES)}))
    assert lines[0].startswith("commit abc, processes") and lines[1] == "  a: pass, p95 200 ms, 40.0/s, 1 sample, 2.0 s"


def test_certificates_are_no_affair_of_a_baseline() -> None:
    """They hold or do not, whatever was before: one that failed keeps nobody from accepting the figures."""
    stale = cell("pay certificate", Verdict.FAIL, kind="certificate", line=9)
    old = baseline(cells={"b": expected()})
    assert set(accepted(gate(stale, cell("b")), old, created=_NOW).cells) == {"b"}
    with pytest.raises(UsageError, match="nothing ran"):
        accepted(gate(stale), old, created=_NOW)
