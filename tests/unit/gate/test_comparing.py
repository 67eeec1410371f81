"""From results to rows: what is compared, what counts, what is said where nothing can be."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.gate.comparable import left_out, order_of_pairs, refusal, remarks
from harness.gate.comparing import bounded, compare, regressions, source_of, undecided
from harness.gate.figures import Figures, Key, Part
from harness.model.comparing import Row
from harness.model.measures import Generator, Little
from harness.model.result import FaultResult, RunResult
from harness.model.sampling import NEVER
from harness.model.verdict import Verdict
from tests.unit.gate.compared import result
from tests.unit.gate.makers import fault, run_result


def _rows(before: list[RunResult], after: list[RunResult], *, paired: bool = False, confidence: float = 0.99) -> list[Row]:
    return compare([Figures(r) for r in before], [Figures(r) for r in after], confidence=confidence, paired=paired)


def _row(rows: list[Row], metric: str, statistic: str = "mean", **part: str) -> Row:
    wanted = {"task": "", "phase": "", **part}
    (found,) = [r for r in rows if (r.metric, r.statistic, r.task, r.phase) == (metric, statistic, wanted["task"], wanted["phase"])]
    return found


def test_within_two_runs_a_slowdown_is_found_and_what_is_alike_is_not() -> None:
    chance = random.Random(1)
    rows = _rows([result(chance)], [result(chance, slower=2.0)])
    for metric in ("end_to_end_latency", "run_time"):
        row = _row(rows, metric, "p50")
        assert row.outcome == "worse" and row.low is not None and row.low > 1 and row.ratio == pytest.approx(2.0, rel=0.3)
    assert _row(rows, "throughput").outcome == "open" and _row(rows, "retries").outcome == "open"
    assert _row(rows, "retries").before == pytest.approx(0.1)
    assert regressions(rows, 0.1) and not regressions(rows, 3.0)
    assert not [row for row in rows if row.task or row.phase]


def test_faster_is_better_and_more_throughput_too() -> None:
    chance = random.Random(1)
    assert _row(_rows([result(chance, slower=2.0)], [result(chance)]), "end_to_end_latency", "p50").outcome == "better"
    one, other = (run_result([i / rate for i in range(rate * 40)], [0.01] * rate * 40) for rate in (10, 20))
    row = _row(_rows([one], [other]), "throughput")
    assert row.outcome == "better" and row.ratio == pytest.approx(2.0, rel=0.05)
    assert regressions(_rows([other], [one]), 0.1)


def test_phases_and_tasks_have_rows_of_their_own_where_there_are_several() -> None:
    chance = random.Random(2)
    made = result(chance, faults=(fault(20.0, 30.0, 5.0),))
    rows = _rows([made], [made])
    assert {row.phase for row in rows} == {"", "healthy", "faulty", "recovery"}
    figures = Figures(made)
    assert [figures.phase(at) for at in (10, 25, 30, 33, 40)] == ["healthy", "faulty", "faulty", "recovery", "healthy"]
    assert figures.values[Key("end_to_end_latency", "p50", Part(phase="faulty"))][1] == 81
    assert made.tasks is not None
    half = made.tasks.model_copy(update={"task": tuple("ab"[i % 2] for i in range(len(made.tasks.task)))})
    assert {row.task for row in _rows([made.model_copy(update={"tasks": half})], [made])} >= {"", "a", "b"}


def test_a_fault_that_did_not_bite_makes_no_phase() -> None:
    missed = FaultResult(index=0, name="x", planned="", begun=20.0, ended=30.0, bit=False, evidence="")
    assert Figures(result(random.Random(2), faults=(missed,))).parts == (Part(),)


def test_calls_that_never_ended_are_infinite() -> None:
    chance = random.Random(6)
    gone = [chance.random() < 0.25 for _ in range(400)]
    made = run_result([i / 10 for i in range(400)], [None if never else 0.1 for never in gone])
    assert made.tasks is not None
    fates = tuple(chance.choice(sorted(NEVER)).value if never else "succeeded" for never in gone)
    lost = made.model_copy(update={"tasks": made.tasks.model_copy(update={"fate": fates})})
    calm = run_result([i / 10 for i in range(400)], [0.1] * 400)
    rows = _rows([calm], [lost])
    worst = _row(rows, "end_to_end_latency", "p95")
    assert (worst.never, worst.after, worst.ratio, worst.outcome) == ("B", None, None, "worse")
    assert _row(_rows([lost], [lost]), "end_to_end_latency", "p95").why == "both never"


@pytest.mark.parametrize(("paired", "enough", "source"), [(True, 8, "pairs"), (False, 5, "runs")])
def test_from_several_runs_the_interval_comes_from_the_runs(paired: bool, enough: int, source: str) -> None:
    chance = random.Random(3)
    sides = [[result(chance, 30, slower=by) for _ in range(enough)] for by in (1.0, 1.6)]
    rows = _rows(*sides, paired=paired)
    row = _row(rows, "end_to_end_latency", "p50")
    assert source_of(enough, enough, paired=paired) == source
    assert row.outcome == "worse" and row.low is not None and row.low < 1.6 < (row.high or 0) and row.samples_before == enough
    short = _row(_rows(sides[0][:-1], sides[1][:-1], paired=paired), "end_to_end_latency", "p50")
    assert short.outcome == "open" and short.low is None and short.ratio is not None and f"{enough} needed" in short.why
    assert not bounded(_rows(sides[0][:2], sides[1][:2], paired=paired))


def test_what_had_none_has_no_ratio() -> None:
    calm = run_result([i / 10 for i in range(400)], [0.1] * 400)
    row = _row(_rows([calm], [result(random.Random(1))]), "retries")
    assert (row.ratio, row.before, row.why) == (None, 0.0, "A had none")


def test_what_only_b_has_or_lacks_is_no_pass() -> None:
    """No ratio speaks of it: `--fail-on` must not, for that, be silent."""
    calm, retried = run_result([i / 10 for i in range(400)], [0.1] * 400), result(random.Random(1))
    rows = _rows([calm], [retried])
    assert [rows[i].metric for i in undecided(rows)] == ["retries"]
    rows = _rows([retried], [calm])
    assert {rows[i].metric for i in undecided(rows)} == {"run_time"}, "the second run has none; that it has no retries is fine"
    few = run_result([0.0, 0.1], [0.1] * 2)
    rows = _rows([calm], [few])
    assert {rows[i].metric for i in undecided(rows)} == {"end_to_end_latency", "throughput"}
    assert undecided(_rows([few], [calm])) == [] and undecided(_rows([calm], [calm])) == []


def _generator(bottleneck: str) -> Generator:
    return Generator(
        kind="open", calls=1, late=0, dropped=0, intended=1, achieved=1, lag_p99=0, lag_max=0, worst_gap=0, busy=0, bottleneck=bottleneck
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"verdict": Verdict.FAIL}, ""),
        ({"interrupted": "SIGINT"}, "it is partial: SIGINT"),
        ({"verdict": Verdict.ENVIRONMENT, "error": "no port\nmore"}, "the environment failed: no port"),
        ({"generator": _generator("too slow")}, "its generator was the bottleneck: too slow"),
        ({"tasks": None}, "it has no tasks"),
    ],
)
def test_which_runs_count(changes: dict[str, Any], said: str) -> None:
    assert left_out(run_result([0.0], [0.1]).model_copy(update=changes)) == said


def test_what_cannot_be_compared_is_refused_and_what_differs_is_said() -> None:
    one = run_result([0.0], [0.1], plan="seed: 1\nload: []", environment={"Machine": "m1"}, calls=100)
    assert refusal([one], [one.model_copy(update={"scenario": "other"})]).startswith("A ran s, B ran other")
    assert refusal([one, one.model_copy(update={"plan": "seed: 2\nload: []"})], [one]) == ""
    assert "not of one kind" in refusal([one, one.model_copy(update={"plan": "load: [1]"})], [one])
    law = Little(counted=1, computed=2, error=0.1, samples=20, holds=False)
    other = one.model_copy(
        update={"runtime": "containers", "environment": {"Machine": "m2"}, "calls": 200, "little": law, "verdict": Verdict.INCONCLUSIVE}
    )
    told = "\n".join(remarks([one], [other]))
    for text in ("another runtime", "another machine: A m1, B m2", "another load", "Little", "B is inconclusive"):
        assert text in told
    assert remarks([one], [one]) == []
    more = one.model_copy(update={"plan": "seed: 9\nload: []\n  concurrency: 4"})
    assert remarks([one], [more]) == ["another text of the scenario: A has nothing more; B has concurrency: 4"]
    assert remarks([one], [more], meant=True) == []


def test_runs_in_turn_are_known_by_when_they_began() -> None:
    def at(*minutes: int) -> list[RunResult]:
        return [run_result([0.0], [0.1], started=f"2026-01-01T00:{m:02}:00Z") for m in minutes]

    assert order_of_pairs(at(0, 3, 4), at(1, 2, 5)) == [(0, 0), (1, 1), (2, 2)]
    assert order_of_pairs(at(3, 0), at(1, 2)) == [(1, 0), (0, 1)]
    assert order_of_pairs(at(0, 1, 2), at(3, 4, 5)) == []
    assert order_of_pairs(at(0, 1), at(0, 1)) == []
    assert order_of_pairs(at(0), at(1)) == []
