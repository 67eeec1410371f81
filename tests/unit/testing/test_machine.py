"""The state machine with runs that never touch a broker: what its rules write, and what becomes of a failure."""

from __future__ import annotations

import re
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import reproduce_failure, seed, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model.result import RunResult
from harness.testing import machine as module
from harness.testing.configuration import Configuration
from harness.testing.machine import HarnessMachine
from harness.testing.outcomes import Failed
from harness.testing.plans import Ground, PlannedCall
from harness.testing.strategies import calls
from harness.testing.trials import Budget
from tests.unit.testing.fake_runs import FakeRunner, Schedule, failed, names, passed

SOMEWHERE = Configuration({}, Path("/project"), "here")
GROUND = Ground(("pay",), ("payments",))


def new(
    monkeypatch: pytest.MonkeyPatch, answers: Callable[[Schedule, int], RunResult], **more: Any
) -> tuple[type[HarnessMachine], FakeRunner]:
    runner = FakeRunner(answers)
    monkeypatch.setattr(module, "PlanRunner", lambda *args, **kwargs: runner)
    own = {"calls": calls("orders.charge", st.integers(1, 500)), "configuration": SOMEWHERE, "budget": Budget(examples=60), **more}
    cls = type("Shop", (HarnessMachine,), own)
    cls.TestCase.settings = settings(cls.TestCase.settings, database=None)  # type: ignore[attr-defined]
    return cls, runner


def run(cls: type[HarnessMachine]) -> None:
    case: Any = cls.TestCase("runTest")
    case.runTest()


def bug(schedule: Schedule, before: int) -> RunResult:
    """A copy is charged again."""
    return failed() if "message.duplicate" in names(schedule) else passed()


def by_hand() -> HarnessMachine:
    return type("ByHand", (HarnessMachine,), {"calls": calls("orders.charge")})()


def test_a_bug_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    cls, _ = new(monkeypatch, bug)
    with pytest.raises(Failed) as raised:
        run(seed(1)(cls))
    assert "Plan(orders.charge(1); message.duplicate when call 1 reaches start, count 1, deliver next) failed" in str(raised.value)
    assert any(note.startswith("state.duplicate(") for note in raised.value.__notes__)


def test_a_right_app_passes_and_its_results_can_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    cls, runner = new(monkeypatch, lambda schedule, before: passed(), judged=lambda self, result: seen.append(result))
    run(cls)
    assert len(seen) >= len(runner.runs) > 10
    assert not any(again for _, again in runner.runs)


def test_every_rule_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cls, runner = new(monkeypatch, lambda schedule, before: passed(), budget=Budget(examples=150))
    run(seed(2)(cls))
    used = {name for schedule, _ in runner.runs for name in names(schedule)}
    wanted = {"task.crash", "worker.kill", "worker.pause", "net.partition", "message.duplicate", "worker.scale", "broker.restart"}
    assert used == wanted
    kinds = {next(iter(step)) for schedule, _ in runner.runs for step in schedule}
    assert {"send", "fault", "wait"} <= kinds


def test_only_the_rules_that_are_wanted_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cls, runner = new(monkeypatch, lambda schedule, before: passed(), faults=("pause",), max_faults=1, lengths=("2s",))
    run(cls)
    faults = [step for schedule, _ in runner.runs for step in schedule if "fault" in step]
    assert {(step["fault"], step["for"]) for step in faults} == {("worker.pause", "2s")}
    assert max(len(names(schedule)) for schedule, _ in runner.runs) == 1


def test_the_same_call_is_sent_once_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = calls("orders.charge", st.integers(1, 2), st.integers())
    cls, runner = new(monkeypatch, lambda schedule, before: passed(), calls=drawn, distinct=staticmethod(lambda call: call.args[0]))
    run(cls)
    for schedule, _ in runner.runs:
        numbers = [step["args"][0] for step in schedule if "send" in step]
        assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("how", ["seed", "blob"])
def test_a_failure_is_repeated_by_seed_and_by_blob(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    first, runner = new(monkeypatch, bug)
    with pytest.raises(Failed) as raised:
        run(seed(3)(first))
    second, again = new(monkeypatch, bug)
    if how == "seed":
        second = seed(3)(second)
    else:
        found = re.search(r"@reproduce_failure\('([^']+)', b'([^']+)'\)", "\n".join(raised.value.__notes__))
        assert found
        second = reproduce_failure(found[1], found[2].encode())(second)
    with pytest.raises(Failed) as repeated:
        run(second)
    assert str(repeated.value).partition("failed twice")[0] == str(raised.value).partition("failed twice")[0]
    if how == "seed":
        assert again.runs == runner.runs
    else:
        assert len(again.runs) == 3, "the one plan, once more to make sure, and without its fault"


def test_unittest_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = seed(1)(new(monkeypatch, bug)[0])
    outcome = unittest.TestResult()
    cls.TestCase("runTest").run(outcome)
    assert len(outcome.failures) == 1, "a failure, and no error"
    assert "Failed" in outcome.failures[0][1]


def test_a_fault_strikes_when_the_next_call_reaches_its_point() -> None:
    machine = by_hand()
    machine.send(PlannedCall("a"))
    machine.crash(point="end", task=0)
    machine.send(PlannedCall("b"))
    (crash,) = [step for step in machine.plan.schedule(GROUND) if "fault" in step]
    assert crash["when"] == {"task": "b", "reaches": "end", "call": 2}


def test_what_means_nothing_is_left_out() -> None:
    machine = by_hand()
    machine.duplicate(queue="")
    machine.duplicate(queue="")
    machine.send(PlannedCall("a"))
    machine.settle()
    assert [next(iter(step)) for step in machine.plan.schedule(GROUND)] == ["fault", "send"]


def test_a_fault_that_no_call_follows_strikes_the_last_one() -> None:
    machine = by_hand()
    machine.begin(PlannedCall("a"))
    machine.restart()
    (restart,) = [step for step in machine.plan.schedule(GROUND) if "fault" in step]
    assert restart["when"]["call"] == 1


def test_nothing_is_waited_for_while_nobody_could_do_it() -> None:
    machine = by_hand()
    machine.heal()
    machine.settle()
    machine.kill()
    machine.send(PlannedCall("a"))
    machine.settle()
    machine.heal()
    machine.settle()
    machine.send(PlannedCall("b"))
    machine.settle()
    machine.send(PlannedCall("c"))
    kinds = [next(iter(step)) for step in machine.plan.schedule(GROUND)]
    assert kinds == ["fault", "send", "wait", "heal", "send", "wait", "send"]


def test_an_example_that_is_broken_off_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cls, runner = new(monkeypatch, lambda schedule, before: failed())
    cls.trials = cls.new_trials()
    machine = cls()
    machine.send(PlannedCall("a"))
    with pytest.raises(ZeroDivisionError):
        try:
            raise ZeroDivisionError
        finally:
            assert sys.exc_info()[0] is ZeroDivisionError
            machine.teardown()
    assert runner.runs == []
    with pytest.raises(Failed):
        machine.teardown()


def test_a_machine_without_calls_is_refused() -> None:
    with pytest.raises(UsageError, match="Empty says no calls"):
        run(type("Empty", (HarnessMachine,), {"configuration": SOMEWHERE}))


def test_a_machine_without_a_system_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pyproject\.toml above") as raised:
        module.configuration_near(tmp_path)
    assert "[tool.celery-harness.system]" in str(raised.value)


def test_its_settings_are_a_stated_budget() -> None:
    used = by_hand().TestCase.settings  # type: ignore[attr-defined]
    assert (used.stateful_step_count, used.deadline, used.max_examples) == (8, None, 50)
