"""`harness.run_plan` in tests of `@given`'s, with runs that never touch a broker: the same answers as `@chaos` gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reproduce_failure, seed, settings
from hypothesis import strategies as st

from harness.errors import EnvironmentFault, UsageError
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing import plan_runner
from harness.testing.chaos import budget
from harness.testing.configuration import Configuration
from harness.testing.drawn import DrawnPlans
from harness.testing.harness import Harness
from harness.testing.outcomes import Failed, Inconclusive, Unstable
from harness.testing.plans import PlannedCall
from harness.testing.strategies import call_lists, calls, fault_plans
from tests.unit.testing.fake_runs import FakeRunner, Schedule, failed, missed, names, passed, result

CALLS = call_lists(calls("orders.charge", st.integers(1, 500)), max_size=3)
Answers = Callable[[Schedule, int], RunResult]


def bug(schedule: Schedule, before: int) -> RunResult:
    """Charged twice where a crash meets a big order."""
    numbers = [step["args"][0] for step in schedule if "send" in step]
    return failed() if "task.crash" in names(schedule) and max(numbers) >= 20 else passed()


class Made:
    """A test of `@given`'s with the harness of a pytest that runs it. ``below``: the budget stands below `@given`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Answers, *, below: bool = False, examples: int = 60) -> None:
        self.runner = FakeRunner(answers)
        self.built: list[tuple[Any, ...]] = []
        monkeypatch.setattr(plan_runner, "PlanRunner", lambda *args, **more: self.built.append((*args, more)) or self.runner)
        workshop: Any = None
        self.harness = Harness(workshop, Configuration({"system": {"app": "shop:app"}}, Path("/project"), "here"), "test_of_mine")
        stated = budget(examples, 7.0, settings=settings(database=None))
        drawn = given(calls=CALLS, faults=fault_plans())

        def test_of_mine(harness: Harness, calls: Sequence[Any], faults: Sequence[Any]) -> None:
            harness.run_plan(calls, faults)

        self.test: Any = drawn(stated(test_of_mine)) if below else stated(drawn(test_of_mine))
        self.harness.drawn = DrawnPlans(self.harness, self.test)

    def run(self, test: Any = None) -> None:
        """As `Judge` does it."""
        try:
            (test or self.test)(harness=self.harness)
        except BaseException as exc:
            self.harness.drawn.conclude(exc)
            raise
        self.harness.drawn.conclude()


@pytest.mark.parametrize("below", [False, True])
def test_a_bug_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch, below: bool) -> None:
    made = Made(monkeypatch, bug, below=below)
    with pytest.raises(Failed) as raised:
        made.run()
    assert "Plan(task.crash when call 1 reaches start, restart_after 100ms; orders.charge(20)) failed twice running" in str(raised.value)
    assert any("@reproduce_failure" in note for note in raised.value.__notes__)
    for schedule, _ in made.runner.runs:
        assert [again for other, again in made.runner.runs if other == schedule] in ([False], [False, True])


def test_a_right_task_passes_within_the_stated_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: passed(), examples=30)
    made.run()
    (built,) = made.built
    assert built[2:] == ("test_of_mine", {"seconds": 7.0})
    assert set(built[1].document["checks"]) == {"no_loss", "no_duplicates"}
    assert 0 < len(made.runner.runs) <= 30


@pytest.mark.parametrize("how", ["seed", "blob"])
def test_a_failure_is_repeated_by_seed_and_by_blob(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    first = Made(monkeypatch, bug)
    with pytest.raises(Failed) as raised:
        first.run(seed(7)(first.test))
    second = Made(monkeypatch, bug)
    (blob,) = re.findall(r"@reproduce_failure\('[^']+', b'([^']+)'\)", "\n".join(raised.value.__notes__))
    version = __import__("hypothesis").__version__
    with pytest.raises(Failed) as repeated:
        second.run(seed(7)(second.test) if how == "seed" else reproduce_failure(version, blob.encode())(second.test))
    assert str(repeated.value).partition("failed twice")[0] == str(raised.value).partition("failed twice")[0]
    if how == "seed":
        assert second.runner.runs == first.runner.runs


def test_an_unstable_plan_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: failed() if not before and len(names(schedule)) == 2 else passed())
    with pytest.raises(Unstable, match="UNSTABLE: this plan failed"):
        made.run()


def test_faults_that_seldom_bite_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: missed() if names(schedule) else passed(), examples=20)
    with pytest.raises(Inconclusive, match=r"plans said nothing \(at most 50% may\)"):
        made.run()


def test_an_environment_that_fails_ends_the_test_and_is_not_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: result(Verdict.ENVIRONMENT, error="no port"))
    with pytest.raises(EnvironmentFault, match="no port"):
        made.run()
    assert len(made.runner.runs) == 1


def test_a_single_call_is_a_plan_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: passed())

    @budget(3, settings=settings(database=None))
    @given(number=st.integers(1, 9))
    def test(harness: Harness, number: int) -> None:
        harness.run_plan(PlannedCall("orders.charge", (number,)))

    made.run(test)
    assert made.runner.runs[0][0] == [{"send": "orders.charge", "args": [1]}]


def test_without_a_budget_and_outside_of_given_it_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: passed())
    made.harness.drawn = DrawnPlans(made.harness)
    with pytest.raises(UsageError, match="without a budget"):
        made.run()
    with pytest.raises(UsageError, match=r"run_plan\(\) is for tests of @given's"):
        made.harness.run_plan(PlannedCall("orders.charge", (1,)))
    assert not made.runner.runs
