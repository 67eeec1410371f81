"""What the verdicts of runs mean to a property-based test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis.errors import UnsatisfiedAssumption

from harness.errors import EnvironmentFault, ScenarioError, UsageError
from harness.model.finding import Word
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing.outcomes import Failed, Inconclusive, Unstable
from harness.testing.plans import Plan, PlannedCall, PlannedFault, Settle
from harness.testing.trials import Budget, Trials
from tests.unit.testing.fake_runs import FakeRunner, Schedule, check, failed, missed, names, passed, result

# Plans are judged here without Hypothesis around them, which it would rather not see.
pytestmark = pytest.mark.filterwarnings("ignore:Using `reject` outside")

ONE, TWO, THREE = (Plan.of([PlannedCall("orders.charge", (n,))]) for n in (1, 2, 3))


def trials(*results: RunResult, **budget: Any) -> Trials:
    """One result after the other, whatever is run."""
    given = iter(results)
    return Trials(FakeRunner(lambda schedule, before: next(given)), Budget(**budget))


def runner_of(made: Trials) -> FakeRunner:
    assert isinstance(made.runner, FakeRunner)
    return made.runner


def test_a_pass_is_a_pass_and_leaves_no_report() -> None:
    made = trials(passed())
    outcome = made.judge(ONE)
    assert outcome is not None
    assert outcome.verdict is Verdict.PASS
    assert runner_of(made).forgotten == ["run-1"]
    made.conclude()


def test_a_failure_is_run_again_before_it_is_reported() -> None:
    made = trials(failed(), failed())
    with pytest.raises(Failed, match="EFFECT") as raised:
        made.judge(ONE)
    assert [again for _, again in runner_of(made).runs] == [False, True]
    assert raised.value.result.run_id == "run-2"
    assert "/project/reports/run-2" in str(raised.value)
    assert runner_of(made).forgotten == ["run-1"]
    with pytest.raises(Failed):
        made.conclude(raised.value)


@pytest.mark.parametrize("second", [passed(), failed(Word.LOST), missed()], ids=["passes", "fails otherwise", "does not bite"])
def test_a_failure_that_does_not_repeat_is_unstable_and_not_hidden(second: RunResult) -> None:
    made = trials(failed(), second)
    assert made.judge(ONE) is None
    with pytest.raises(Unstable) as raised:
        made.conclude()
    assert (raised.value.failed.run_id, raised.value.again.run_id) == ("run-1", "run-2")
    assert "/project/reports/run-1" in str(raised.value)
    assert "/project/reports/run-2" in str(raised.value)
    assert runner_of(made).forgotten == []


def test_a_stable_failure_goes_before_an_unstable_one_and_names_it() -> None:
    made = trials(failed(), passed(), failed(Word.LOST), failed(Word.LOST))
    made.judge(ONE)
    with pytest.raises(Failed) as found:
        made.judge(TWO)
    with pytest.raises(Failed, match=r"LOST[\s\S]*besides: UNSTABLE"):
        made.conclude(found.value)


def test_a_second_finding_does_not_make_it_unstable() -> None:
    both = result(Verdict.FAIL, check(Verdict.FAIL, Word.LOST, Word.EFFECT))
    with pytest.raises(Failed):
        trials(failed(), both).judge(ONE)


def test_each_plan_has_one_answer() -> None:
    made = trials(failed(), failed(), missed(), passed())
    for _ in range(3):
        with pytest.raises(Failed):
            made.judge(ONE)
        with pytest.raises(UnsatisfiedAssumption):
            made.judge(TWO)
        assert made.judge(THREE) is not None
    assert made.ran == 4


def test_a_fault_that_did_not_bite_says_nothing() -> None:
    made = trials(missed(), passed())
    with pytest.raises(UnsatisfiedAssumption):
        made.judge(ONE)
    made.judge(TWO)
    made.conclude()


def test_too_many_plans_that_say_nothing_are_inconclusive_with_counts() -> None:
    made = trials(passed(), missed(), missed("never begun"), missed("never begun"), examples=10)
    made.judge(ONE)
    for plan in (TWO, THREE, Plan.of([PlannedCall("x")])):
        with pytest.raises(UnsatisfiedAssumption):
            made.judge(plan)
    with pytest.raises(Inconclusive) as raised:
        made.conclude()
    assert "INCONCLUSIVE\n3 of 4 plans said nothing (at most 50% may), 1 passed:" in str(raised.value)
    assert "2 x worker.kill: never begun" in str(raised.value)


def test_it_is_given_up_when_the_share_cannot_come_down_any_more() -> None:
    runner = FakeRunner(lambda schedule, before: missed())
    made = Trials(runner, Budget(examples=4, silent=0.2))
    with pytest.raises(UnsatisfiedAssumption):
        made.judge(ONE)
    for plan in (TWO, THREE):
        assert made.judge(plan) is None
    assert made.ran == 2
    with pytest.raises(Inconclusive, match="2 of 2 plans said nothing"):
        made.conclude()


def test_any_other_inconclusive_ends_the_test_as_such() -> None:
    unknown = result(Verdict.INCONCLUSIVE, check(Verdict.INCONCLUSIVE))
    made = trials(passed(), unknown)
    made.judge(ONE)
    assert made.judge(TWO) is None
    assert made.judge(THREE) is None
    assert made.ran == 2
    with pytest.raises(Inconclusive, match="INCONCLUSIVE"):
        made.conclude()


@pytest.mark.parametrize(
    "more",
    [{"deaths": ("pay-1 ended by itself",)}, {"undeclared": ("example.org:80",)}, {"interrupted": "SIGTERM"}],
    ids=lambda more: next(iter(more)),
)
def test_a_run_that_went_wrong_does_not_count_as_one_that_says_nothing(more: dict[str, Any]) -> None:
    made = trials(missed().model_copy(update=more))
    assert made.judge(ONE) is None
    assert isinstance(made.stopped, Inconclusive)


def test_a_check_that_broke_down_does_not_count_as_one_without_an_occasion() -> None:
    made = trials(result(Verdict.INCONCLUSIVE, check(Verdict.PASS), check(Verdict.INCONCLUSIVE, name="idempotent")))
    assert made.judge(ONE) is None
    assert isinstance(made.stopped, Inconclusive)


def idle(name: str, **numbers: float) -> RunResult:
    return result(Verdict.INCONCLUSIVE, check(Verdict.PASS), check(Verdict.INCONCLUSIVE, name=name, numbers=numbers))


def test_a_plan_that_gave_one_check_nothing_to_judge_still_speaks_to_the_others() -> None:
    made = trials(idle("idempotent", exercised=0.0), result(Verdict.PASS, check(Verdict.PASS), check(Verdict.PASS, name="idempotent")))
    assert made.judge(ONE) is not None
    made.judge(TWO)
    made.conclude()


def test_a_check_that_never_judged_is_inconclusive_in_the_end() -> None:
    made = trials(idle("idempotent", exercised=0.0), idle("idempotent", exercised=0.0))
    made.judge(ONE)
    made.judge(TWO)
    with pytest.raises(Inconclusive, match="idempotent had nothing to judge in any of 2 plans"):
        made.conclude()


def test_an_environment_that_fails_ends_the_test_and_is_not_shrunk() -> None:
    made = trials(result(Verdict.ENVIRONMENT, check(Verdict.PASS), error="no port"))
    assert made.judge(ONE) is None
    assert made.judge(TWO) is None
    assert made.ran == 1
    with pytest.raises(EnvironmentFault, match="no port"):
        made.conclude()


def test_a_plan_that_cannot_be_loaded_ends_the_test_and_is_not_shrunk() -> None:
    def refuse(schedule: Schedule, before: int) -> RunResult:
        raise ScenarioError("task orders.charge is not registered")

    made = Trials(FakeRunner(refuse), Budget())
    assert made.judge(ONE) is None
    with pytest.raises(ScenarioError, match="not registered"):
        made.conclude()


def test_no_further_plan_is_run_when_the_budget_for_shrinking_is_spent() -> None:
    made = Trials(FakeRunner(lambda schedule, before: failed()), Budget(shrinking=3))
    for plan in (ONE, TWO):
        with pytest.raises(Failed):
            made.judge(plan)
    assert made.ran == 4
    assert made.judge(THREE) is None
    with pytest.raises(Failed):
        made.judge(TWO)
    assert made.ran == 4


def test_what_hypothesis_leaves_is_taken_apart_step_by_step() -> None:
    crash, pause = PlannedFault("task.crash", 2), PlannedFault("worker.pause", 1)
    plan = Plan((pause, *ONE.steps, crash, *TWO.steps, Settle(), *THREE.steps))
    made = Trials(FakeRunner(lambda schedule, before: failed() if "task.crash" in names(schedule) else passed()), Budget(shrinking=0))
    with pytest.raises(Failed) as raised:
        made.judge(plan)
    with pytest.raises(Failed, match=r"Plan\(task\.crash when call 1 reaches start; orders\.charge\(2\)\) failed twice running"):
        made.conclude(raised.value)
    assert made.ran <= 2 * len(plan.steps) + 2


def test_a_plan_without_calls_is_none() -> None:
    made = trials()
    assert made.judge(Plan()) is None
    with pytest.raises(UsageError, match="no plan was run"):
        made.conclude()


def test_a_failure_of_the_tests_own_is_raised_as_it_is() -> None:
    made = trials(passed())
    made.judge(ONE)
    with pytest.raises(AssertionError, match="mine"):
        made.conclude(AssertionError("mine"))
    with pytest.raises(ZeroDivisionError):
        made.conclude(ZeroDivisionError())


@pytest.mark.parametrize("wrong", [{"examples": 0}, {"seconds": 0}, {"silent": 1.0}, {"silent": -0.1}, {"shrinking": -1}])
def test_budgets_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no such budget"):
        Budget(**wrong)
