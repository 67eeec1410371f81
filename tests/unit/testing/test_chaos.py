"""`@chaos` with runs that never touch a broker: finds, shrinks, saves nothing twice, repeats by seed and by blob."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, reproduce_failure, seed, settings
from hypothesis import strategies as st

from harness.errors import EnvironmentFault, UsageError
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing import chaos as module
from harness.testing.chaos import Trial, chaos
from harness.testing.configuration import Configuration
from harness.testing.outcomes import Failed, Inconclusive, Unstable
from harness.testing.strategies import call_lists, calls, fault_plans
from tests.unit.testing.fake_runs import FakeRunner, Schedule, failed, missed, names, passed, result

CALLS = call_lists(calls("orders.charge", st.integers(1, 500)), max_size=3)
SOMEWHERE = Configuration({}, Path("/project"), "here")
NO_DATABASE = settings(database=None)
Answers = Callable[[Schedule, int], RunResult]


def bug(schedule: Schedule, before: int) -> RunResult:
    """Charged twice where a crash meets a big order."""
    numbers = [step["args"][0] for step in schedule if "send" in step]
    return failed() if "task.crash" in names(schedule) and max(numbers) >= 20 else passed()


class Made:
    """A decorated test, its runner, and the trials that it got."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answers: Answers, body: Callable[[Trial], object] = lambda trial: None, **more: Any
    ):
        self.runner = FakeRunner(answers)
        self.seen: list[Trial] = []
        monkeypatch.setattr(module, "PlanRunner", lambda *args, **kwargs: self.runner)

        def test_of_mine(trial: Trial) -> None:
            self.seen.append(trial)
            body(trial)

        self.test = chaos(CALLS, fault_plans(), configuration=SOMEWHERE, settings=NO_DATABASE, **{"examples": 60, **more})(test_of_mine)


def blob_of(error: BaseException) -> str:
    found = re.search(r"@reproduce_failure\('[^']+', b'([^']+)'\)", "\n".join(error.__notes__))
    assert found, error.__notes__
    return found[1]


def test_a_bug_is_found_and_shrunk_to_one_fault_one_call_and_its_smallest_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, bug)
    with pytest.raises(Failed) as raised:
        made.test()
    assert "Plan(task.crash when call 1 reaches start, restart_after 100ms; orders.charge(20)) failed twice running" in str(raised.value)
    (example,) = [note for note in raised.value.__notes__ if "Failing test case" in note]
    assert "trial=Plan(task.crash when call 1 reaches start, restart_after 100ms; orders.charge(20))" in example
    assert inspect.unwrap(made.test).__code__.co_filename == __file__


@settings(max_examples=1, database=None, phases=[Phase.generate])
@given(calls=CALLS, faults=fault_plans(["worker.pause"], min_faults=1, max_faults=1))
def _drawn(calls: Any, faults: Any) -> None:
    raise ValueError


def test_what_was_drawn_is_shown_as_what_it_is() -> None:
    with pytest.raises(ValueError) as raised:
        _drawn()
    example = "".join(raised.value.__notes__)
    assert "calls=(orders.charge(" in example and "faults=(worker.pause when call" in example


def test_no_plan_is_run_more_than_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, bug)
    with pytest.raises(Failed):
        made.test()
    for schedule, _ in made.runner.runs:
        times = [again for other, again in made.runner.runs if other == schedule]
        assert times in ([False], [False, True])


def test_a_right_task_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: passed())
    made.test()
    assert len(made.seen) == 60


@pytest.mark.parametrize("how", ["seed", "blob"])
def test_a_failure_is_repeated_by_seed_and_by_blob(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    first, second = Made(monkeypatch, bug), None
    with pytest.raises(Failed) as raised:
        seed(7)(first.test)()
    second = Made(monkeypatch, bug)
    version = __import__("hypothesis").__version__
    again = seed(7)(second.test) if how == "seed" else reproduce_failure(version, blob_of(raised.value).encode())(second.test)
    with pytest.raises(Failed) as repeated:
        again()
    assert str(repeated.value).partition("failed twice")[0] == str(raised.value).partition("failed twice")[0]
    if how == "seed":
        assert second.runner.runs == first.runner.runs
    else:
        assert len(second.runner.runs) == 3, "the one plan, once more to make sure, and without its fault"


def test_an_unstable_plan_is_not_shrunk_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: failed() if not before and len(names(schedule)) == 2 else passed())
    with pytest.raises(Unstable, match="UNSTABLE: this plan failed"):
        made.test()


def test_faults_that_seldom_bite_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: missed() if names(schedule) else passed(), examples=20)
    with pytest.raises(Inconclusive, match=r"plans said nothing \(at most 50% may\)"):
        made.test()
    assert len(made.runner.runs) <= 2 * 20 + 1


def test_an_environment_that_fails_is_no_failing_example(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: result(Verdict.ENVIRONMENT, error="no port"))
    with pytest.raises(EnvironmentFault, match="no port") as raised:
        made.test()
    assert len(made.runner.runs) == 1
    assert not getattr(raised.value, "__notes__", [])


def test_the_test_may_look_at_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(trial: Trial) -> None:
        outcome = trial.run()
        assert outcome is None or len(trial.calls) < 3, "three are too many"

    made = Made(monkeypatch, lambda schedule, before: passed(), body)
    with pytest.raises(AssertionError, match="three are too many"):
        made.test()
    assert len(made.seen[-1].calls) == 3
    assert made.seen[-1].faults == ()


def test_a_trial_that_is_not_asked_for_is_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, lambda schedule, before: failed())
    with pytest.raises(Failed):
        made.test()


def test_it_asks_pytest_for_the_harness_and_for_fixtures_of_its_own() -> None:
    def test_of_mine(trial: Trial, tmp_path: Path) -> None: ...

    assert list(inspect.signature(chaos(CALLS)(test_of_mine)).parameters) == ["tmp_path", "harness"]
    assert list(inspect.signature(chaos(CALLS, configuration=SOMEWHERE)(test_of_mine)).parameters) == ["tmp_path"]


def test_a_test_without_a_trial_is_refused() -> None:
    with pytest.raises(UsageError, match="takes no argument"):
        chaos(CALLS)(lambda: None)


def test_hypothesis_sees_one_of_its_own() -> None:
    def test_of_mine(trial: Trial) -> None: ...

    made = chaos(CALLS, examples=7)(test_of_mine)
    used = made._hypothesis_internal_use_settings  # type: ignore[attr-defined]
    assert made.is_hypothesis_test  # type: ignore[attr-defined]
    assert (used.max_examples, used.deadline, used.print_blob) == (7, None, True)
