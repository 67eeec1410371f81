"""Which of two processes a delivery gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.explore import two_imports
from harness.explore.two_imports import TwoImports
from harness.model.exploration import Ending, Message, Outcome
from harness.ports.exploring import Decision, Job, Launch


class Process:
    """One that says what is done with it."""

    name, sampled = "effects", ""
    made: list[Process] = []
    fails: Mapping[int, Exception] = {}

    def __init__(self, launch: Launch) -> None:
        self.launch, self.said, self.number = launch, [], len(self.made)
        self.said: list[Any] = []
        self.made.append(self)

    def begin(self) -> None:
        self.said.append("begin")

    def start(self) -> Mapping[str, Any]:
        if self.number in self.fails:
            raise self.fails[self.number]
        return {"tasks": {}}

    def deliver(self, job: Job, at_stop: Any) -> Ending:
        self.said.append("warm" if job.warm else "fresh")
        return Ending(Outcome.SUCCESS, ())

    def end_warm(self) -> None:
        self.said.append("end")

    def close(self) -> None:
        self.said.append("close")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> type[Process]:
    monkeypatch.setattr(Process, "made", [])
    monkeypatch.setattr(Process, "fails", {})
    monkeypatch.setattr(two_imports, "EffectStops", Process)
    return Process


def made(environment: Mapping[str, str]) -> TwoImports:
    return TwoImports(Launch((), environment, Path(), Path(), Path(), {}, {}))


def deliver(both: TwoImports, *, redelivered: bool = False, **options: bool) -> None:
    both.deliver(Job(Message("1", "a", 0, redelivered, 0.0, {}), **options), lambda stop: Decision.GO_ON)


def test_what_comes_back_has_another_import_and_what_is_warm_stays(processes: type[Process]) -> None:
    both = made({})
    assert both.start()["imports_anew"]
    for options in (
        {},
        {"redelivered": True},
        {"redelivered": True, "warm": True},
        {},
        {"warm": True, "redelivered": True},
        {"anew": True},
    ):
        deliver(both, **options)
    first, second = processes.made
    assert first.said == ["begin", "fresh", "end", "fresh", "warm", "end"]
    assert second.said == ["begin", "fresh", "warm", "end", "fresh"]
    assert [one.launch.environment.get("PYTHONHASHSEED") for one in (first, second)] == [None, "3"]


def test_the_users_own_order_of_sets_is_left_to_him(processes: type[Process]) -> None:
    made({"PYTHONHASHSEED": "7"})
    assert [dict(one.launch.environment) for one in processes.made] == [{"PYTHONHASHSEED": "7"}] * 2


def test_without_a_second_import_all_goes_to_the_first(processes: type[Process]) -> None:
    processes.fails = {1: ScenarioError("importing shop failed")}
    both = made({})
    assert not both.start()["imports_anew"]
    deliver(both, redelivered=True)
    assert processes.made[0].said == ["begin", "fresh"] and processes.made[1].said == ["begin", "close"]


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_no_fault_of_the_apps_ends_both(processes: type[Process], number: int) -> None:
    processes.fails = {number: EnvironmentFault("memory is short")}
    with pytest.raises(EnvironmentFault, match="memory"):
        made({}).start()
    assert [one.said[-1] for one in processes.made] == ["close", "close"]
