"""Plans that a plain Hypothesis test draws and hands to its harness: judged one by one, concluded when the test is over.

`@given` belongs to the user here, so what `@chaos` does around all examples is done by the fixture `harness`. See docs/hypothesis.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:  # most tests draw nothing, and need no Hypothesis
    from harness.model.result import RunResult
    from harness.testing.harness import Harness
    from harness.testing.plans import PlannedCall, PlannedChord, PlannedFault
    from harness.testing.trials import Budget, Trials

__all__ = ["BUDGET_ATTRIBUTE", "DrawnPlans"]

#: Where `@budget` states it. No underscore: Hypothesis takes such a one along to what `@given` makes.
BUDGET_ATTRIBUTE = "celery_harness_budget"
_HINT = (
    "state what it may cost, so that Hypothesis is told as well:\n\n"
    "      @given(calls=…, faults=…)\n      @budget(examples=50, seconds=20)\n      def test_…(harness, calls, faults): …\n\n"
    "  where budget is that of harness.testing.chaos"
)


class DrawnPlans:
    """Those of one test function. ``test``: the function as pytest has it, with its budget, if it states one."""

    def __init__(self, harness: Harness, test: object = None) -> None:
        self._harness = harness
        self._budget: Budget | None = getattr(test, BUDGET_ATTRIBUTE, None)
        self._trials: Trials | None = None

    def run(
        self, calls: PlannedCall | PlannedChord | Iterable[PlannedCall | PlannedChord], faults: Iterable[PlannedFault] = ()
    ) -> RunResult | None:
        """Run and judge one plan: Failed with the story, or the result. None: it was not run, see `Trials.judge`.

        UsageError outside of a Hypothesis test, and in one that states no budget.
        """
        __tracebackhide__ = True
        from hypothesis import currently_in_test_context

        from harness.testing.plans import Plan, PlannedCall, PlannedChord

        if not currently_in_test_context():
            raise UsageError("run_plan() is for tests of @given's", hint="harness.run(schedule=[…]) runs one plan, whoever made it")
        several = (calls,) if isinstance(calls, (PlannedCall, PlannedChord)) else calls
        return self._of_this_test().judge(Plan.of(several, faults))

    def conclude(self, failure: BaseException | None = None) -> None:
        """The test is over, with what it raised: see `Trials.conclude`. A no-op where it has drawn nothing."""
        __tracebackhide__ = True
        trials, self._trials = self._trials, None
        if trials is not None:
            trials.conclude(failure)

    def _of_this_test(self) -> Trials:
        if self._trials is None:
            if self._budget is None:
                raise UsageError(f"{self._harness.name} runs plans without a budget", hint=_HINT)
            self._trials = self._new_trials(self._budget)
        return self._trials

    def _new_trials(self, budget: Budget) -> Trials:
        """On the servers that the session keeps, with the checks that this test expects."""
        from harness.testing.plan_runner import PlanRunner
        from harness.testing.trials import Trials

        harness = self._harness
        return Trials(PlanRunner(harness.workshop, harness._judging, harness.name, seconds=budget.seconds), budget)
