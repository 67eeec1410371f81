"""Searches without a run: what is refused, which thresholds count, and what a search comes down to."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.assembly import registry
from harness.cli.load import load
from harness.cli.load_capacity import find_capacity
from harness.cli.load_limits import limits_of
from harness.cli.load_search import Asked, SearchRun
from harness.cli.load_stress import Stairs, recovery_of
from harness.cli.load_trials import loaded_with
from harness.cli.load_verdicts import concluded, of_capacity, of_soak, of_stress
from harness.errors import EnvironmentFault, HarnessError, Interrupted, ScenarioError, UsageError
from harness.load.search_backlog import Answered, Kept
from harness.load.search_streams import constant_load, stepped_load
from harness.model.result import RunResult
from harness.model.searching import Capacity, Drift, Recovery, SearchKind, SearchResult, Trial
from harness.model.verdict import Verdict
from harness.reporting.capacity_console import SearchJson
from harness.scenario import LoadedScenario, load_scenarios
from tests.unit.load.test_search_backlog import queue, steady

SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 7,
    "system": {"app": "shop:app", "broker": "redis", "workers": {"pay": {"replicas": 1}}},
    "load": [{"send": "shop.work", "args": [1], "rate": "10/s", "for": "5s"}],
    "checks": {"no_loss": {}},
    "thresholds": {"end_to_end_latency": ["p(95) < 500ms"]},
}
CALL = {"send": "shop.work", "args": [1]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scenario(folder: Path, **changes: Any) -> Path:
    """``None`` takes a key away."""
    document = {key: value for key, value in {**SCENARIO, **changes}.items() if value is not None}
    path = folder / "s.yaml"
    path.write_text(json.dumps(document))
    return path


def refused(result: Result) -> str:
    assert isinstance(result.exception, HarnessError) and result.exception.exit_code == 2, (result.exception, result.output)
    return str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--find-capacity", "--at-least", "50"], "write a number per unit of time, such as 50/s"),
        (["--find-capacity", "--p95", "500"], "--p95 500ms"),
        (["--find-capacity", "--budget", "5"], "--budget"),
        (["--find-capacity", "--trial", "1s"], "3s is the least"),
        (["--find-capacity", "--precision", "0%"], "--precision"),
        (["--find-capacity", "--precision", "95%"], "cannot be reached"),
        (["--find-capacity", "--start-rate", "50/s", "--max-rate", "10/s"], "above --max-rate"),
        (["--find-capacity", "--max-rate", "1/h"], "the least that a trial of a minute can tell"),
        (["--find-capacity", "--soak", "10m"], "searches of their own"),
        (["--find-capacity", "--stress"], "searches of their own"),
        (["--soak", "10"], "--soak"),
        (["--soak", "0s"], "--soak 0s is nothing"),
        (["--soak", "10m", "--at-least", "5/s"], "--at-least means nothing to --soak"),
        (["--stress", "--rate", "5/s"], "--rate means nothing to --stress"),
        (["--at-least", "5/s"], "add --find-capacity"),
        (["--recover-within", "5s"], "add --stress"),
        (["--find-capacity", "--users", "5"], "--users is for Locust's users"),
        (["--find-capacity", "--set", "nonsense"], "KEY=VALUE"),
        (["--find-capacity", "--set", "workers.pay.concurency=2"], "concurency"),
    ],
)
def test_what_the_command_line_cannot_mean(folder: Path, arguments: list[str], said: str) -> None:
    assert said in refused(CliRunner().invoke(load, [str(scenario(folder)), "--runtime", "processes", *arguments]))
    assert not (folder / "reports").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load": None, "schedule": [CALL]}, "has a `schedule`"),
        ({"load": None, "checks": None, "locust": {"file": "users.py", "for": "5s"}}, "needs an open loop"),
        ({"load": [{**CALL, "count": 4}]}, "its calls come all at once"),
        ({"load": [{**CALL, "rate": "5/s", "count": 4}, {**CALL, "arrival": "burst", "count": 4}]}, "its calls come in bursts"),
        ({"load": [{**CALL, "arrival": "ramp", "rate": "5/s", "for": "4s"}]}, "its rate is a ramp"),
        ({"load": None}, "load"),
        ({"thresholds": None}, "nothing says what a rate has to keep"),
        ({"thresholds": {"throughput": ["mean > 5/s"]}}, "nothing says what a rate has to keep"),
        (
            {"matrix": {"broker": ["redis", "rabbitmq"]}, "system": {**SCENARIO["system"], "broker": "${{ matrix.broker }}"}},
            "--set matrix.broker=redis",
        ),
    ],
)
@pytest.mark.parametrize("search", ["--find-capacity", "--stress"])
def test_a_scenario_that_cannot_be_searched(folder: Path, changes: dict[str, Any], said: str, search: str) -> None:
    (folder / "users.py").write_text("")
    assert said in refused(CliRunner().invoke(load, [str(scenario(folder, **changes)), "--runtime", "processes", search]))
    assert not (folder / "reports").exists()


def test_the_place_of_a_stream_without_a_rate_is_named(folder: Path) -> None:
    told = refused(CliRunner().invoke(load, [str(scenario(folder, load=[{**CALL, "count": 4}])), "--find-capacity"]))
    assert "s.yaml:1:" in told and "write `rate: 10/s`" in told


def test_thresholds_that_a_higher_rate_can_miss_count() -> None:
    limits = limits_of(
        {
            "end_to_end_latency{phase:healthy}": ("p(99) < 2s", "min > 1ms"),
            "queue_wait{task:orders.*}": ("mean < 100ms", "count > 5"),
            "run_time{phase:faulty}": ("p(95) < 1s",),
            "throughput": ("mean > 40/s",),
        },
        "500ms",
    )
    assert limits.thresholds == {"end_to_end_latency": ("p(99) < 2s", "p(95) < 500ms"), "queue_wait{task:orders.*}": ("mean < 100ms",)}
    assert len(limits.notes) == 4 and limits.slowest == 2.0 and limits.calls == 102
    assert limits.end_to_end is not None and (limits.end_to_end.percent, limits.end_to_end.limit) == (95.0, 0.5)
    assert limits_of({}, "", needed=False).end_to_end is None


def test_the_text_that_repeats_a_trial_can_be_loaded(folder: Path) -> None:
    (loaded,) = load_scenarios(scenario(folder, timeline=[{"at": "1s", "fault": "worker.kill"}]), registry())
    for made in (constant_load(loaded.scenario.load, 40.0, 6.0), stepped_load(loaded.scenario.load, [10.0, 40.0], 3.0)):
        changed = loaded_with(loaded, made, drain=3.0, seed=9, thresholds={"end_to_end_latency": ("p(95) < 1s",)})
        assert not changed.scenario.timeline and not changed.faults and changed.scenario.drain.timeout == 3.0
        (folder / "again.yaml").write_text(changed.text)
        (again,) = load_scenarios(folder / "again.yaml", registry())
        assert again.scenario.load == made and again.scenario.seed == 9 and not again.scenario.timeline
        assert again.scenario.thresholds == {"end_to_end_latency": ("p(95) < 1s",)}


def capacity(low: float | None, high: float | None, ended: str = "precise", at_least: float | None = None) -> Capacity:
    estimate = (low + high) / 2 if low is not None and high is not None else None
    bound = "" if ended == "precise" else f"because of {ended}"
    return Capacity(estimate=estimate, low=low, high=high, confidence=0.95, ended=ended, bound=bound, at_least=at_least)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        (capacity(40, 50), Verdict.PASS, "The capacity is 45/s, between 40/s and 50/s (95 %)."),
        (capacity(40, 50, "budget"), Verdict.PASS, "The capacity is 45/s"),
        (capacity(1, 50, "budget"), Verdict.INCONCLUSIVE, "because of budget"),
        (capacity(40, None, "generator"), Verdict.INCONCLUSIVE, "at least 40/s (because of generator)"),
        (capacity(40, None, "highest"), Verdict.PASS, "at least 40/s"),
        (capacity(None, 4, "lowest"), Verdict.FAIL, "No rate is kept"),
        (capacity(None, 4, "budget"), Verdict.INCONCLUSIVE, "below 4/s"),
        (capacity(None, None, "silent"), Verdict.INCONCLUSIVE, "Nothing was found (because of silent)."),
        (capacity(40, 50, at_least=40), Verdict.PASS, "40/s is reached"),
        (capacity(40, 50, at_least=51), Verdict.FAIL, "51/s is not reached"),
        (capacity(40, 50, "budget", at_least=45), Verdict.INCONCLUSIVE, "cannot be told"),
        (capacity(40, None, "generator", at_least=30), Verdict.PASS, "30/s is reached"),
        (capacity(40, None, "generator", at_least=50), Verdict.INCONCLUSIVE, "cannot be told"),
    ],
)
def test_what_a_capacity_comes_down_to(found: Capacity, verdict: Verdict, said: str) -> None:
    got, text = of_capacity(found)
    assert got is verdict and said in text


STAIRS = Stairs(kept=80.0, part=6.0, within=30.0, highest=1_000.0)


def stairs_calls() -> list[float]:
    dues, begin = [], 0.0
    for rate in STAIRS.rates:
        dues += steady(rate, begin, begin + STAIRS.part)
        begin += STAIRS.part
    return dues


def test_the_stairs_go_up_and_down() -> None:
    assert STAIRS.rates == (40.0, 40.0, 80.0, 120.0, 160.0, *(40.0,) * 5)
    assert (STAIRS.raised_at, STAIRS.dropped_at, STAIRS.end) == (12.0, 30.0, 60.0)
    assert Stairs(80.0, 6.0, 30.0, 100.0).up == (80.0, 100.0)


def test_a_queue_that_recovers() -> None:
    found = recovery_of(queue(stairs_calls(), 100.0), STAIRS, 80.0, Kept(95, 0.5))
    # 480 calls too many, and 60 a second to spare.
    assert found.seconds == pytest.approx(8.0, abs=2.5) and found.broke == 120.0 and not found.why
    assert of_stress(found, None)[0] is Verdict.PASS and "recovers in" in of_stress(found, None)[1]


def test_a_system_that_feeds_itself() -> None:
    calls = [Answered(due, due + 0.02 if due < 20 else due + 40) for due in stairs_calls()]
    found = recovery_of(calls, STAIRS, 80.0, None)
    verdict, said = of_stress(found, None)
    assert found.seconds is None and verdict is Verdict.FAIL
    assert said == "STORM: up to 160/s it breaks, and does not recover within 30.0 s: the backlog does not drain and answers stay late."


def test_a_system_that_is_too_slow_to_work_it_off_does_not_feed_itself() -> None:
    found = recovery_of(queue(stairs_calls(), 50.0), STAIRS, 80.0, Kept(95, 0.5))  # 10 a second to spare, of a thousand
    verdict, said = of_stress(found, None)
    assert verdict is Verdict.FAIL and not found.feeds_itself and found.falls == pytest.approx(10.0, rel=0.2)
    assert said.startswith("SLOW: up to 160/s it breaks") and "the backlog is too slow to go, by" in said


def test_an_overload_that_did_not_overload() -> None:
    found = recovery_of(queue(stairs_calls(), 1_000.0), STAIRS, 80.0, Kept(95, 0.5))
    assert found.broke is None and of_stress(found, None)[0] is Verdict.INCONCLUSIVE


def test_a_system_that_was_late_before_says_nothing() -> None:
    found = recovery_of(queue(stairs_calls(), 30.0), STAIRS, 80.0, Kept(95, 0.5))
    assert "before the overload" in found.why and of_stress(found, None)[0] is Verdict.INCONCLUSIVE


def test_a_system_that_was_never_broken() -> None:
    assert of_stress(None, capacity(80, None, "highest"))[0] is Verdict.PASS
    assert of_stress(None, capacity(80, None, "generator"))[0] is Verdict.INCONCLUSIVE


def drifted(outcome: str) -> Drift:
    return Drift(name="memory of w-1", unit="bytes", level=1e8, slope=0.0, low=0.0, high=0.0, outcome=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "checks", "verdict"),
    [
        (["steady", "steady"], None, Verdict.PASS),
        (["steady", "cannot tell"], None, Verdict.INCONCLUSIVE),
        (["grows", "cannot tell"], None, Verdict.FAIL),
        (["steady"], Verdict.FAIL, Verdict.FAIL),
        (["steady"], Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        ([], None, Verdict.INCONCLUSIVE),
    ],
)
def test_what_a_soak_comes_down_to(outcomes: list[str], checks: Verdict | None, verdict: Verdict) -> None:
    assert of_soak([drifted(one) for one in outcomes], checks)[0] is verdict


def test_what_ended_early_keeps_its_code() -> None:
    assert concluded("capacity", {}, Interrupted(2), None)[2] == 130
    assert concluded("capacity", {}, EnvironmentFault("no port"), None)[::2] == (Verdict.ENVIRONMENT, 3)
    assert concluded("capacity", {}, UsageError("500 orders"), None)[::2] == (Verdict.INCONCLUSIVE, 2)


def test_a_recovery_takes_as_long_as_its_slower_part() -> None:
    made = recovery_of(queue(stairs_calls(), 100.0), STAIRS, 80.0, Kept(95, 0.5)).model_dump()
    assert Recovery(**{**made, "backlog_gone": 3.0, "latency_back": 4.0}).seconds == 4.0
    assert Recovery(**{**made, "backlog_gone": 3.0, "latency_back": None}).seconds is None


class FakeTrials:
    """Of a system that keeps up to 100 calls a second, and recovers. ``ends``: what the so-manieth trial raises; ``result``: of a run."""

    lowest = 0.5
    environment: dict[str, str] = {}

    def __init__(self, ends: dict[int, HarnessError] | None = None, result: RunResult | None = None) -> None:
        self.trials: list[Trial] = []
        self._ends, self._result = ends or {}, result

    def lasts(self, rate: float) -> float:
        return 6.0

    def trial(self, rate: float) -> Trial:
        number = len(self.trials) + 1
        if number in self._ends:
            raise self._ends[number]
        made = Trial(
            number=number, rate=rate, seconds=6.0, seed=7, run_id=f"r{number}", outcome="kept" if rate <= 100 else "missed", why="",
            calls=60, p50=0.1, p95=0.1, p99=0.1, served=rate, growth=0.0, took=10.0,
        )  # fmt: skip
        self.trials.append(made)
        return made

    def run(self, loaded: LoadedScenario, checks: list[Any], *_: Any) -> tuple[RunResult, Path]:
        assert self._result is not None
        for check in checks:
            check.seen = recovery_of(queue(stairs_calls(), 100.0), STAIRS, 80.0, Kept(95, 0.5))
        return self._result, Path()


def fake_search(
    folder: Path, trials: FakeTrials, step: Callable[[SearchRun], None] = find_capacity, kind: SearchKind = "capacity", **asked: Any
) -> tuple[int, SearchResult]:
    (loaded,) = load_scenarios(scenario(folder), registry())
    limits = limits_of(loaded.scenario.thresholds, "")
    run = SearchRun(
        loaded,
        Asked(kind=kind, **asked),
        limits,
        trials,
        SearchJson(io.StringIO()),
        folder / "out",
        "processes",
        lambda: None,  # type: ignore[arg-type]
    )
    code = run.go(step)
    return code, SearchResult.model_validate_json((folder / "out" / f"{kind}.json").read_text())


def test_a_search_goes_on_until_it_is_precise(folder: Path) -> None:
    code, found = fake_search(folder, FakeTrials())
    assert code == found.exit_code == 0 and found.capacity is not None and found.capacity.ended == "precise"
    assert found.capacity.low is not None and found.capacity.high is not None and found.capacity.low <= 100 <= found.capacity.high
    assert [trial.rate for trial in found.trials[:5]] == [10.0, 20.0, 40.0, 80.0, 160.0]


def test_the_budget_ends_it_after_one_trial_at_least(folder: Path) -> None:
    code, found = fake_search(folder, FakeTrials(), budget=5.0)
    assert code == 4 and len(found.trials) == 1 and found.capacity is not None and found.capacity.ended == "budget"
    assert "the budget of 5.0 s was used up" in found.headline


@pytest.mark.parametrize(("stop", "code"), [(Interrupted(2), 130), (EnvironmentFault("no port"), 3), (ScenarioError("500 orders"), 2)])
def test_what_ends_it_early_leaves_what_the_trials_say(folder: Path, stop: HarnessError, code: int) -> None:
    got, found = fake_search(folder, FakeTrials({4: stop}))
    assert got == found.exit_code == code and len(found.trials) == 3 and found.interrupted is (code == 130)
    assert found.capacity is not None and found.capacity.low is not None and (folder / "out" / "capacity.html").is_file()


def test_what_ends_the_first_trial_leaves_nothing(folder: Path) -> None:
    with pytest.raises(EnvironmentFault):
        fake_search(folder, FakeTrials({1: EnvironmentFault("no port")}))
    assert not (folder / "out").exists()
