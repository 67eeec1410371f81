"""Same, better, suspected, regression, not compared: by the baseline's samples, then by pairs."""

from __future__ import annotations

import pytest

from harness.gate.compare import FEWEST_PAIRS, MOST_PAIRS, against_samples, from_pairs, not_compared, shown, undecided
from harness.model.gate import Comparison, Measures
from harness.model.verdict import Verdict
from tests.unit.gate.makers import MACHINE, baseline, expected

_SAMPLES = [Measures(p50=1.0, throughput=50.0), Measures(p50=1.2, throughput=40.0), Measures(p50=1.1, throughput=45.0)]


def _outcomes(now: Measures, tolerance: float = 0.10) -> dict[str, str]:
    return {one.measure: one.outcome for one in against_samples(now, _SAMPLES, tolerance)}


@pytest.mark.parametrize(("p50", "outcome"), [(1.0, "same"), (1.31, "same"), (1.33, "suspected"), (0.92, "same"), (0.90, "better")])
def test_latency_against_the_worst_and_the_best_sample(p50: float, outcome: str) -> None:
    assert _outcomes(Measures(p50=p50))["p50"] == outcome


@pytest.mark.parametrize(("rate", "outcome"), [(45.0, "same"), (36.5, "same"), (35.9, "suspected"), (55.0, "same"), (56.0, "better")])
def test_less_throughput_is_worse(rate: float, outcome: str) -> None:
    assert _outcomes(Measures(throughput=rate))["throughput"] == outcome


def test_what_either_side_does_not_know_is_not_compared() -> None:
    samples = [*_SAMPLES, Measures(p50=1.1)]
    found = {one.measure: one for one in against_samples(Measures(p50=1.0, p95=2.0), samples, 0.1)}
    assert found["p95"].outcome == "not compared" and "the baseline" in found["p95"].why
    assert found["throughput"].outcome == "not compared" and "this run" in found["throughput"].why


def test_a_figure_that_every_sample_has_and_this_run_lacks_is_suspected() -> None:
    """A task that takes seconds longer leaves too few beyond the recovery for any figure: that must not pass without a word."""
    found = {one.measure: one for one in against_samples(Measures(), _SAMPLES, 0.1)}
    assert {name: one.outcome for name, one in found.items()} == {
        "p50": "suspected",
        "p95": "not compared",
        "p99": "not compared",
        "throughput": "suspected",
    }
    assert found["p50"].before == 1.1 and "too few tasks" in found["p50"].why
    assert shown(found["p50"]) == "p50 1.1 s → unknown"


def test_the_comparison_says_before_after_and_ratio() -> None:
    found = next(one for one in against_samples(Measures(p50=2.2), _SAMPLES, 0.1) if one.measure == "p50")
    assert (found.before, found.after, found.ratio, found.pairs) == (1.1, 2.2, 2.0, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runtime": "containers"}, "with the runtime processes"),
        ({"machine": "another"}, "on another machine"),
        ({"digest": "e"}, "the scenario has changed"),
        ({"verdict": Verdict.FAIL}, "did not pass"),
        ({}, ""),
    ],
)
def test_other_circumstances_are_not_compared(changes: dict[str, str], words: str) -> None:
    now = {"runtime": "processes", "machine": MACHINE, "digest": "d", "verdict": Verdict.PASS, **changes}
    found = not_compared(baseline(), expected(), **now)  # type: ignore[arg-type]
    assert words in found and bool(found) == bool(words)


def test_a_baseline_without_figures_is_not_compared() -> None:
    assert "no figures" in not_compared(
        baseline(), expected(samples=()), runtime="processes", machine=MACHINE, digest="d", verdict=Verdict.PASS
    )


def _pairs(ratio: float, spread: float, count: int) -> list[tuple[float, float]]:
    """Ratios between ratio/(1+spread) and ratio*(1+spread)."""
    return [(1.0, ratio * (1 + spread) ** (2 * n / (count - 1) - 1)) for n in range(count)]


def test_wholly_beyond_the_tolerance_is_a_regression_with_ratio_and_interval() -> None:
    found = from_pairs("p95", _pairs(1.5, 0.1, FEWEST_PAIRS), 0.10)
    assert found is not None and found.outcome == "regression"
    assert found.ratio == pytest.approx(1.5) and found.low == pytest.approx(1.5 / 1.1) and found.high == pytest.approx(1.5 * 1.1)
    assert (found.pairs, found.confidence, found.before) == (FEWEST_PAIRS, 0.99, 1.0)
    assert "×1.50, between 1.36 and 1.65 with 99% confidence, by 8 runs in turn" in found.why
    assert shown(found) == "p95 1.0 s → 1.5 s, ×1.50 (1.36 to 1.65 with 99%, 8 pairs)"


def test_wholly_within_the_tolerance_is_the_same() -> None:
    found = from_pairs("p95", _pairs(1.0, 0.05, FEWEST_PAIRS), 0.10)
    assert found is not None and found.outcome == "same" and found.why.startswith("not more than 10% higher")


def test_an_interval_on_both_sides_of_the_tolerance_decides_nothing() -> None:
    pairs = _pairs(1.1, 0.2, MOST_PAIRS)
    assert from_pairs("p95", pairs, 0.10) is None
    found = undecided("p95", pairs, "too much noise", Comparison(measure="p95", outcome="suspected"))
    assert found.outcome == "suspected" and found.why == "too much noise" and found.low is not None and found.low < 1.1 < (found.high or 0)


def test_fewer_pairs_than_the_confidence_needs_decide_nothing() -> None:
    pairs = _pairs(3.0, 0.01, FEWEST_PAIRS - 1)
    assert from_pairs("p95", pairs, 0.10) is None
    found = undecided("p95", pairs, "the budget was used up", Comparison(measure="p95", outcome="suspected"))
    assert (found.low, found.high, found.confidence) == (None, None, None) and found.ratio == pytest.approx(3.0)


def test_without_a_single_pair_the_first_suspicion_stays() -> None:
    first = Comparison(measure="p95", outcome="suspected", before=1.0, after=2.0)
    assert undecided("p95", [], "no time", first) == first.model_copy(update={"why": "no time"})


@pytest.mark.parametrize(("ratio", "outcome"), [(0.5, "regression"), (1.0, "same"), (2.0, "same")])
def test_throughput_is_worse_below(ratio: float, outcome: str) -> None:
    found = from_pairs("throughput", _pairs(ratio, 0.05, FEWEST_PAIRS), 0.10)
    assert found is not None and found.outcome == outcome


def test_pairs_without_a_figure_above_zero_do_not_count() -> None:
    assert from_pairs("p50", [(0.0, 1.0)] * 20, 0.10) is None
