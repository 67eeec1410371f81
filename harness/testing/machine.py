"""A state machine of calls and faults. Its rules write a schedule; the schedule is run and judged at the end of each example.

Nothing happens while the rules are drawn, so an example means the same each time Hypothesis asks for it: the order of the steps is
exact, and what the system makes of it is seen once, by the checks.
"""

from __future__ import annotations

import inspect
import json
import sys
import unittest
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from harness.errors import UsageError
from harness.testing.chaos import budget_settings, concluding
from harness.testing.configuration import Configuration
from harness.testing.plan_runner import PlanRunner, configuration_near, shared_workshop
from harness.testing.plans import Heal, Plan, PlannedCall, PlannedChord, PlannedFault, PlanStep, Settle
from harness.testing.trials import Budget, Trials

__all__ = ["HarnessMachine"]

_STEPS = 8
_BACK_AFTER = "100ms"


def _drawn(attribute: str) -> SearchStrategy[Any]:
    """One of what the subclass says there."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, attribute)))


def _fault(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule that the subclass must want.

    No rule asks what was drawn before it: one that did could not be left without the other when an example is made small. What means
    nothing where it stands is not in the plan.
    """
    return precondition(lambda self: name in self.faults)


class _TestCaseOf:
    """`Machine.TestCase`, for pytest and unittest."""

    def __get__(self, machine: HarnessMachine | None, cls: type[HarnessMachine]) -> type[unittest.TestCase]:
        return _test_case(cls)


class HarnessMachine(RuleBasedStateMachine):
    """Subclass it, say what the `calls` are, and let a test runner find its `TestCase`.

    A fault strikes when the next call reaches a point; where no call follows, the last one.
    """

    #: What is sent: a strategy such as `calls(charge)`.
    calls: ClassVar[SearchStrategy[Any]]
    #: Calls that are the same in this are sent once: such as ``lambda call: call.args[0]``. Made by `staticmethod` or a function.
    distinct: ClassVar[Callable[[Any], Any] | None] = None
    #: The rules beside send and settle: crash, kill, pause, partition, heal, duplicate, scale, restart.
    faults: ClassVar[Sequence[str]] = ("crash", "kill", "pause", "partition", "heal", "duplicate", "scale", "restart")
    max_faults: ClassVar[int] = 2
    #: Where a crash strikes: start, end, before_ack, after_ack, or lines (orders.py:41).
    points: ClassVar[Sequence[str]] = ("start", "end", "before_ack", "after_ack")
    #: Groups of workers and queues that may be hit; none: the only one there is.
    groups: ClassVar[Sequence[str]] = ("",)
    queues: ClassVar[Sequence[str]] = ("",)
    #: What workers may be cut off from, and how; for how long, where it is not healed before.
    parts: ClassVar[Sequence[str]] = ("broker",)
    modes: ClassVar[Sequence[str]] = ("stall", "refuse")
    lengths: ClassVar[Sequence[str]] = ("300ms", "1s")
    #: What it may cost, and how many steps an example has.
    budget: ClassVar[Budget] = Budget()
    step_count: ClassVar[int] = _STEPS
    #: The system: none: `[tool.celery-harness]` of the project that the subclass is in; then `changes` on top (system, checks, …).
    configuration: ClassVar[Configuration | None] = None
    changes: ClassVar[Mapping[str, Any]] = {}

    TestCase = _TestCaseOf()  # type: ignore[assignment]
    trials: ClassVar[Trials | None] = None  # those of the test that runs

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[PlanStep] = []
        self._sent: set[str] = set()
        self._raised_before = sys.exc_info()[1]

    # --- rules --------------------------------------------------------------------------------------------------

    @initialize(call=st.runner().flatmap(lambda machine: machine.calls))
    def begin(self, call: PlannedCall | PlannedChord) -> None:
        """Make the first call: Hypothesis leaves out rules at random, and without a call there is nothing to see."""
        self.send(call)

    @rule(call=st.runner().flatmap(lambda machine: machine.calls))
    def send(self, call: PlannedCall | PlannedChord) -> None:
        """Make a call."""
        if self.distinct is not None:
            key = json.dumps(type(self).distinct(call), default=repr)  # type: ignore[misc]
            if key in self._sent:
                return
            self._sent.add(key)
        self.steps.append(call)

    @_fault("crash")
    @rule(point=_drawn("points"), task=st.integers(0, 1))
    def crash(self, point: str, task: int) -> None:
        """The worker dies where the next call gets to a point. ``task``: of a chord, which."""
        self._strike("task.crash", {"restart_after": _BACK_AFTER}, point, task)

    @_fault("kill")
    @rule()
    def kill(self) -> None:
        """The worker dies when it begins the next call, and stays away until it is healed."""
        self._strike("worker.kill", {})

    @_fault("pause")
    @rule(length=_drawn("lengths"))
    def pause(self, length: str) -> None:
        """The worker freezes when it begins the next call."""
        self._strike("worker.pause", {"for": length})

    @_fault("partition")
    @rule(part=_drawn("parts"), group=_drawn("groups"), mode=_drawn("modes"), length=_drawn("lengths"))
    def partition(self, part: str, group: str, mode: str, length: str) -> None:
        """Workers are cut off when the next call begins."""
        self._strike("net.partition", {"between": [group, part], "mode": mode, "for": length})

    @_fault("duplicate")
    @rule(queue=_drawn("queues"))
    def duplicate(self, queue: str) -> None:
        """The next call's message is delivered twice."""
        self._strike("message.duplicate", {**({"queue": queue} if queue else {}), "count": 1, "deliver": "next"})

    @_fault("scale")
    @rule(group=_drawn("groups"), replicas=st.integers(2, 3))
    def scale(self, group: str, replicas: int) -> None:
        """More workers, from the moment at which the next call begins."""
        self._strike("worker.scale", {**({"target": group} if group else {}), "replicas": replicas})

    @_fault("restart")
    @rule()
    def restart(self) -> None:
        """The broker restarts when the next call begins."""
        self._strike("broker.restart", {"down": "300ms"})

    @_fault("heal")
    @rule()
    def heal(self) -> None:
        """What is still on ends."""
        self.steps.append(Heal())

    @rule()
    def settle(self) -> None:
        """Nothing is sent before everything is done."""
        self.steps.append(Settle())

    # --- the plan -----------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """What the steps come to: no more faults than are allowed, each with a call to strike; healing where something is on, settling
        after a call while nothing is on that would keep it from its end.
        """
        total = sum(isinstance(step, (PlannedCall, PlannedChord)) for step in self.steps)
        kept: list[PlanStep] = []
        sent = 0
        for drawn in self.steps:
            step = replace(drawn, call=min(drawn.call, total)) if isinstance(drawn, PlannedFault) else drawn
            on = any(isinstance(other, PlannedFault) and other.lasts and other.call <= sent for other in _since_healing(kept))
            if isinstance(step, PlannedFault):
                few = sum(isinstance(other, PlannedFault) for other in kept) < self.max_faults
                wanted = few and total > 0 and step not in kept
            elif isinstance(step, Heal):
                wanted = on
            elif isinstance(step, Settle):
                wanted = bool(kept) and isinstance(kept[-1], (PlannedCall, PlannedChord)) and not on
            else:
                wanted, sent = True, sent + 1
            if wanted:
                kept.append(step)
        last = max((n for n, step in enumerate(kept) if isinstance(step, (PlannedCall, PlannedChord))), default=-1)
        # Every run ends by healing and waiting.
        return Plan(tuple(step for n, step in enumerate(kept) if n < last or not isinstance(step, (Heal, Settle))))

    def _strike(self, name: str, parameters: Mapping[str, Any], reaches: str = "start", task: int = 0) -> None:
        number = 1 + sum(isinstance(step, (PlannedCall, PlannedChord)) for step in self.steps)
        self.steps.append(PlannedFault(name, number, reaches, task, parameters))

    def teardown(self) -> None:
        """The steps are run and judged; see `Trials.judge`. An example that was broken off while it was drawn is none."""
        if sys.exc_info()[1] is not self._raised_before:
            return
        trials = type(self).trials
        assert trials is not None
        result = trials.judge(self.plan)
        if result is not None:
            self.judged(result)

    def judged(self, result: Any) -> None:
        """A subclass's own assertions on the result (`harness.model.result.RunResult`) of an example that passed."""

    # --- the test -----------------------------------------------------------------------------------------------

    @classmethod
    def new_trials(cls) -> Trials:
        """For one run of the test."""
        if not isinstance(getattr(cls, "calls", None), SearchStrategy):
            raise UsageError(f"{cls.__name__} says no calls", hint="calls = calls(my_task)")
        found = cls.configuration or configuration_near(Path(inspect.getfile(cls)).resolve().parent)
        changed = found.with_changes(cls.changes, cls.__name__) if cls.changes else found
        return Trials(PlanRunner(shared_workshop(), changed, cls.__name__, seconds=cls.budget.seconds), cls.budget)


def _since_healing(steps: Sequence[PlanStep]) -> Sequence[PlanStep]:
    healed = [index for index, step in enumerate(steps) if isinstance(step, Heal)]
    return steps[healed[-1] + 1 :] if healed else steps


@cache
def _test_case(cls: type[HarnessMachine]) -> type[unittest.TestCase]:
    class MachineTestCase(unittest.TestCase):
        settings: ClassVar[settings] = budget_settings(cls.budget, stateful_step_count=cls.step_count)

        def runTest(self) -> None:
            with concluding(cls.new_trials()) as cls.trials:
                run_state_machine_as_test(cls, settings=type(self).settings)

        runTest.is_hypothesis_test = True  # type: ignore[attr-defined]
        runTest._hypothesis_state_machine_class = cls  # type: ignore[attr-defined]

    MachineTestCase.__name__ = f"{cls.__name__}.TestCase"
    MachineTestCase.__qualname__ = f"{cls.__qualname__}.TestCase"
    MachineTestCase.__module__ = cls.__module__
    return MachineTestCase
