"""Runs plans and says what their verdicts mean to a property-based test: pass, fail, unstable, or nothing at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hypothesis import reject

from harness.errors import EnvironmentFault, UsageError
from harness.model.finding import CheckResult
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing.outcomes import Failed, Inconclusive, Unstable
from harness.testing.plans import Ground, Plan
from harness.testing.wording import environment_hint, failure_text, inconclusive_text

__all__ = ["Budget", "RunsPlans", "Trials"]

#: Checks that judge nothing where nothing of their kind happened, and the number of theirs that says so.
_OCCASIONS = {"idempotent": "exercised", "retry_policy": "retries"}


@dataclass(frozen=True)
class Budget:
    """What a property-based test may cost.

    ``examples``: plans that are tried. ``seconds``: how long the drain of one may take. ``silent``: at most this share of the plans
    may say nothing (their faults did not bite). ``shrinking``: runs after the first failure, to make it smaller.
    """

    examples: int = 50
    seconds: float = 20.0
    silent: float = 0.5
    shrinking: int = 60

    def __post_init__(self) -> None:
        if self.examples < 1 or self.seconds <= 0 or not 0 <= self.silent < 1 or self.shrinking < 0:
            raise UsageError(f"{self}: no such budget", hint="examples from 1, seconds above 0, silent from 0 to below 1, shrinking from 0")

    @property
    def most_silent(self) -> int:
        """With more plans that said nothing no further ones could bring the share down."""
        return int(self.silent / (1 - self.silent) * self.examples)


class RunsPlans(Protocol):
    """What trials need of the world."""

    ground: Ground
    root: Path  # where the command that replays a plan is given

    def run(self, schedule: Sequence[Mapping[str, Any]], *, again: bool) -> RunResult:
        """Run it to a result. ``again``: to make sure of a failure, so nothing that was remembered may be used."""

    def forget(self, result: RunResult) -> None:
        """Nobody needs its report."""

    def folder(self, result: RunResult) -> Path:
        """Where its report is."""


@dataclass
class _Answer:
    """What is known of one plan."""

    result: RunResult | None = None
    failure: str = ""
    silent: bool = False
    skipped: bool = False  # for want of a budget


@dataclass
class Trials:
    """Those of one test. Each plan has one answer, however often Hypothesis asks, so that what it sees is never flaky."""

    runner: RunsPlans
    budget: Budget
    ran: int = 0
    passed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # why plans said nothing
    unstable: list[Unstable] = field(default_factory=list)
    stopped: BaseException | None = None  # what made further trials useless
    concluded: Counter[str] = field(default_factory=Counter)  # check -> plans that it passed
    _answers: dict[str, _Answer] = field(default_factory=dict)
    _failed_at: int | None = None  # runs before the first failure
    _silent: int = 0
    _last: RunResult | None = None
    _smallest: Plan | None = None  # of those that failed; of several the last that Hypothesis asked for, which is its choice

    def judge(self, plan: Plan) -> RunResult | None:
        """The result of a plan that passed. Failed where it failed twice with the same finding; rejected where it said nothing.

        None for one that was not run: it makes no call, it is unstable, it is larger than one that failed, the budget for shrinking
        is spent, or trials have stopped.
        """
        __tracebackhide__ = True
        if self.stopped is not None or not plan.calls:
            return None
        key = plan.key(self.runner.ground)
        if key not in self._answers:
            self._answers[key] = self._kept(plan) if self._worth_running(plan) else _Answer(skipped=True)
        answer = self._answers[key]
        if answer.failure and answer.result is not None:
            if self._smallest is None or plan.size <= self._smallest.size:
                self._smallest = plan
            raise Failed(answer.result, answer.failure)
        if answer.silent:
            reject()
        return answer.result

    def conclude(self, failure: BaseException | None = None) -> None:
        """The test is over, with what it raised. Raises what there is to say: nothing is hidden, and no evidence is no pass.

        What stopped the trials goes first, then a failed assertion, then instability, then a lack of evidence.
        """
        __tracebackhide__ = True
        if self.stopped is not None:
            raise self.stopped
        if isinstance(failure, AssertionError):
            if isinstance(failure, Failed):
                self._make_small(failure)
            self._mention_unstable(failure)
            raise failure
        if self.unstable:
            raise self.unstable[0]
        if self._last is None:
            raise failure or UsageError("no plan was run: none of them made a call", hint="call_lists(…, min_size=1)")
        if too_little := self._too_little():
            raise Inconclusive(self._last, "\n".join(["INCONCLUSIVE", *too_little])) from None
        if failure is not None:
            raise failure

    def summary(self) -> str:
        """What was done, in one line."""
        parts = [f"{self.ran} runs", f"{self.passed} passed", f"{self._silent} said nothing"]
        return ", ".join([*parts, *([f"{len(self.unstable)} unstable"] if self.unstable else [])])

    def _worth_running(self, plan: Plan) -> bool:
        """Before the first failure each is; from then on what is no larger than the smallest that failed, while the budget lasts."""
        if self._smallest is None or self._failed_at is None:
            return True
        return self.ran - self._failed_at < self.budget.shrinking and plan.size <= self._smallest.size

    # --- one plan -----------------------------------------------------------------------------------------------

    def _kept(self, plan: Plan) -> _Answer:
        try:
            return self._tried(plan)
        except Exception as exc:  # no plan of this test can be judged, so the rest is not tried, nor is this one made smaller
            self.stopped = exc
            return _Answer()

    def _tried(self, plan: Plan) -> _Answer:
        schedule = plan.schedule(self.runner.ground)
        result = self._run(schedule)
        if result.verdict is Verdict.FAIL:
            return self._confirmed(plan, schedule, result)
        reasons = _says_nothing(result)
        if result.verdict is not Verdict.PASS and not reasons:
            raise Inconclusive(
                result, inconclusive_text(result, folder=self.runner.folder(result), root=self.runner.root, note=f"{plan!r}")
            )
        self._last = result
        self.concluded.update(check.name for check in result.checks if check.verdict is Verdict.PASS)
        self.runner.forget(result)
        if result.verdict is Verdict.PASS or _only_wants_occasions(result):
            self.passed += 1
            return _Answer(result)
        self.reasons.update(reasons)
        self._silent += 1
        if self._silent > self.budget.most_silent:
            raise Inconclusive(result, "\n".join(["INCONCLUSIVE", *self._too_little()]))
        return _Answer(result, silent=True)

    def _confirmed(self, plan: Plan, schedule: Sequence[Mapping[str, Any]], first: RunResult) -> _Answer:
        if self._failed_at is None:
            self._failed_at = self.ran
        second = self._run(schedule, again=True)
        if not (_words(first) & _words(second)):
            self.unstable.append(Unstable(first, second, self._unstable_text(plan, first, second)))
            return _Answer()
        self.runner.forget(first)
        return _Answer(second, failure=self._told(second, f"{plan!r} failed twice running; {self.summary()}"))

    def _run(self, schedule: Sequence[Mapping[str, Any]], *, again: bool = False) -> RunResult:
        self.ran += 1
        result = self.runner.run(schedule, again=again)
        if result.verdict is Verdict.ENVIRONMENT:
            raise EnvironmentFault(result.error or "the environment failed", hint=environment_hint(result, self.runner.folder(result)))
        return result

    def _unstable_text(self, plan: Plan, first: RunResult, second: RunResult) -> str:
        """Both results, and where both histories are."""
        lines = [f"UNSTABLE: this plan failed, and the next time it did not fail in the same way\n{plan!r}"]
        for which, result in (("first", first), ("then", second)):
            told = self._told(result) if result.verdict is Verdict.FAIL else str(result.verdict)
            lines.append(f"{which} ({self.runner.folder(result)}): {told}")
        return "\n".join(lines)

    def _told(self, result: RunResult, note: str = "") -> str:
        return failure_text(result, folder=self.runner.folder(result), root=self.runner.root, note=note)

    # --- the whole ----------------------------------------------------------------------------------------------

    def _too_little(self) -> list[str]:
        """Why this is no evidence; [] where it is."""
        tried = self.passed + self._silent
        reasons = [f"  {count} x {reason}" for reason, count in self.reasons.most_common(5)]
        if not self.passed or self._silent > self.budget.silent * tried:
            allowed = f"at most {self.budget.silent:.0%} may"
            return [f"{self._silent} of {tried} plans said nothing ({allowed}), {self.passed} passed:", *reasons]
        assert self._last is not None
        idle = [check.name for check in self._last.checks if not self.concluded[check.name]]
        return [f"{name} had nothing to judge in any of {tried} plans: draw faults or arguments that give it something" for name in idle]

    def _make_small(self, failure: Failed) -> None:
        """Take out step by step what the failure does not need: Hypothesis knows choices, and not what a step is."""
        found = self._smallest
        assert found is not None
        index = 0
        while index < len(found.steps):
            answer = self._answer(found.without(index))
            if answer is not None and answer.failure:
                found = found.without(index)
            else:
                index += 1
        answer = self._answers[found.key(self.runner.ground)]
        assert answer.result is not None
        failure.result, failure.args = answer.result, (answer.failure,)

    def _answer(self, plan: Plan) -> _Answer | None:
        """Of a plan that may have been run before; None where it cannot be run."""
        if not plan.calls or self.stopped is not None:
            return None
        key = plan.key(self.runner.ground)
        if key not in self._answers or self._answers[key].skipped:
            self._answers[key] = self._kept(plan)
        return self._answers[key]

    def _mention_unstable(self, failure: AssertionError) -> None:
        for other in self.unstable:
            failure.args = (f"{failure.args[0] if failure.args else ''}\nbesides: {other}", *failure.args[1:])


def _words(result: RunResult) -> set[str]:
    """Of what failed."""
    return {str(f.word) for check in result.checks if check.verdict is Verdict.FAIL for f in check.findings} | {
        f"{check.name} failed" for check in result.checks if check.verdict is Verdict.FAIL and not check.findings
    }


def _says_nothing(result: RunResult) -> list[str]:
    """Why an inconclusive result is no fault of anybody's: what was planned did not come to pass. [] where something is amiss."""
    wanting = [check for check in result.checks if check.verdict is Verdict.INCONCLUSIVE]
    if any(not _wants_occasion(check, result) for check in wanting) or result.deaths or result.undeclared or result.interrupted:
        return []
    if any(not fault.healed for fault in result.faults if fault.begun is not None):
        return []
    missed = [f"{fault.name}: {fault.evidence}" for fault in result.faults if fault.bit is not True]
    return missed or [f"{check.name}: {check.summary}" for check in wanting]


def _wants_occasion(check: CheckResult, result: RunResult) -> bool:
    """It is inconclusive for nothing but that it had too little to judge. A check that broke down has no numbers."""
    if check.name == "recovery":
        return not result.faults
    number = check.numbers.get(_OCCASIONS.get(check.name, ""))
    return number == 0.0 or (check.name == "retry_policy" and number is not None)  # a few retries do not show jitter


def _only_wants_occasions(result: RunResult) -> bool:
    """Every fault bit and something passed: this plan did say something, if not to every check."""
    return all(fault.bit is True for fault in result.faults) and any(check.verdict is Verdict.PASS for check in result.checks)
