"""`@chaos`: a test of drawn calls under drawn faults, on real brokers, within a stated budget. See docs/hypothesis.md."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as Settings
from hypothesis.strategies import SearchStrategy

from harness.errors import UsageError
from harness.model.result import RunResult
from harness.testing.configuration import Configuration
from harness.testing.drawn import BUDGET_ATTRIBUTE
from harness.testing.harness import Harness
from harness.testing.plan_runner import PlanRunner, shared_workshop
from harness.testing.plans import Plan, PlannedCall, PlannedChord, PlannedFault
from harness.testing.strategies import plans
from harness.testing.trials import Budget, Trials

__all__ = ["Trial", "budget", "budget_settings", "chaos", "concluding"]

#: What `@seed`, `@reproduce_failure`, `@settings` and `--hypothesis-seed` leave on a test that `@given` made.
_HYPOTHESIS_ATTRIBUTES = "_hypothesis_internal_use_"


class Trial:
    """One plan, as the test function gets it."""

    def __init__(self, plan: Plan, trials: Trials) -> None:
        self.plan, self._trials = plan, trials
        self._judged = False

    @property
    def calls(self) -> tuple[PlannedCall | PlannedChord, ...]:
        """What is sent, in this order."""
        return self.plan.calls

    @property
    def faults(self) -> tuple[PlannedFault, ...]:
        """What goes wrong meanwhile."""
        return self.plan.faults

    def run(self) -> RunResult | None:
        """Run and judge it: Failed with the story, or the result. None: it was not run, see `Trials.judge`."""
        __tracebackhide__ = True
        self._judged = True
        return self._trials.judge(self.plan)

    def settle(self) -> None:
        """`run`, where the test function did not."""
        __tracebackhide__ = True
        if not self._judged:
            self.run()

    def __repr__(self) -> str:
        return repr(self.plan)


def chaos(
    calls: SearchStrategy[Any],
    faults: SearchStrategy[tuple[PlannedFault, ...]] | None = None,
    *,
    examples: int = 50,
    seconds: float = 20.0,
    silent: float = 0.5,
    shrinking: int = 60,
    configuration: Configuration | None = None,
    settings: Settings | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a test function whose first argument is a `Trial` into a test over so many plans; it takes fixtures after that.

    The trial is run and judged when the function asks for it, at the latest when it has returned. ``seconds``: for the drain of one
    plan. ``silent``: the share of plans that may say nothing. ``shrinking``: runs after the first failure. ``configuration``: none:
    that of pytest's fixture `harness`. ``settings``: Hypothesis's own, for what the budget does not say (its database, verbosity).
    """
    stated = Budget(examples, seconds, silent, shrinking)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        first = 1 if parameters and parameters[0].name == "self" else 0
        if len(parameters) <= first:
            raise UsageError(f"{test.__qualname__} takes no argument: its first one is the trial")
        return _Chaos(test, parameters, first, plans(calls, faults), stated, configuration, settings).wrapped()

    return decorate


def budget(
    examples: int = 50,
    seconds: float = 20.0,
    *,
    silent: float = 0.5,
    shrinking: int = 60,
    settings: Settings | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a test of `@given`'s that hands its plans to `harness.run_plan`, above or below it: what it may cost, for us and for Hypothesis.

    The same words as those of `chaos`. It takes the place of `@settings`.
    """
    stated = Budget(examples, seconds, silent, shrinking)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        made: Callable[..., None] = budget_settings(stated, settings)(test)
        setattr(made, BUDGET_ATTRIBUTE, stated)
        return made

    return decorate


class _Chaos:
    """One decorated test."""

    def __init__(
        self,
        test: Callable[..., None],
        parameters: list[inspect.Parameter],
        first: int,
        drawn: SearchStrategy[Plan],
        budget: Budget,
        configuration: Configuration | None,
        parent: Settings | None,
    ) -> None:
        self.test, self.drawn, self.budget, self.configuration, self.parent = test, drawn, budget, configuration, parent
        self.name = parameters[first].name
        others = [parameter for parameter in parameters if parameter.name != self.name]
        self.borrowed = configuration is None and all(parameter.name != "harness" for parameter in others)
        borrowed = [inspect.Parameter("harness", inspect.Parameter.KEYWORD_ONLY)] if self.borrowed else []
        self.signature = inspect.Signature([*others, *borrowed])
        self.trials: Trials | None = None

    def wrapped(self) -> Callable[..., None]:
        """The test that a runner calls; it looks like one of `@given`'s, so that Hypothesis's decorators work on it."""
        inner = self._given()

        @functools.wraps(inner)
        def whole(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            vars(inner).update({key: value for key, value in vars(whole).items() if key.startswith(_HYPOTHESIS_ATTRIBUTES)})
            harness: Harness | None = kwargs.pop("harness", None) if self.borrowed else kwargs.get("harness")
            with concluding(self._trials(harness)) as self.trials:
                inner(*args, **kwargs)

        whole.__signature__ = self.signature  # type: ignore[attr-defined]
        whole.__wrapped__ = self.test  # where pytest takes file and line from
        return whole

    def _given(self) -> Callable[..., None]:
        test, name = self.test, self.name
        signature = inspect.signature(test)

        @functools.wraps(test)
        def body(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            assert self.trials is not None
            bound = signature.bind(*args, **kwargs)
            trial = bound.arguments[name] = Trial(bound.arguments[name], self.trials)
            test(*bound.args, **bound.kwargs)
            trial.settle()

        made: Callable[..., None] = budget_settings(self.budget, self.parent)(given(**{name: self.drawn})(body))
        return made

    def _trials(self, harness: Harness | None) -> Trials:
        if harness is not None:
            configuration, workshop = self.configuration or harness.configuration, harness.workshop
        else:
            assert self.configuration is not None
            configuration, workshop = self.configuration, shared_workshop()
        return Trials(PlanRunner(workshop, configuration, self.test.__name__, seconds=self.budget.seconds), self.budget)


@contextmanager
def concluding(trials: Trials) -> Iterator[Trials]:
    """Around all examples of one test: what it raises at the end is what its trials have to say."""
    __tracebackhide__ = True
    try:
        yield trials
    except Exception as exc:
        trials.conclude(exc)
    else:
        trials.conclude()


def budget_settings(budget: Budget, parent: Settings | None = None, **more: Any) -> Settings:
    """Hypothesis's settings for examples that take seconds: no deadline of its own, and no phases that run them for curiosity.

    One failure is shrunk and reported: every further one would cost as much again.
    """
    return Settings(
        parent=parent or Settings(),
        max_examples=budget.examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        print_blob=True,
        report_multiple_bugs=False,
        **more,
    )
