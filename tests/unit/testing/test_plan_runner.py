"""Which clean passes a plan is held against, what it may cost, and where its report is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.model.result import RunResult
from harness.testing.configuration import Configuration
from harness.testing.plan_runner import PlanRunner
from tests.unit.testing.fake_runs import passed


class Workshop:
    """Makes clean passes where it is given none, and remembers what it was asked."""

    def __init__(self) -> None:
        self.made = 0
        self.asked: list[tuple[Configuration, Mapping[str, Any], str]] = []
        self.given: list[tuple[Any, ...]] = []

    def run(self, configuration: Configuration, parts: Mapping[str, Any], *, name: str, clean: list[Any]) -> RunResult:
        self.asked.append((configuration, parts, name))
        if not clean:
            self.made += 1
            clean += [f"one at a time {self.made}", f"all at once {self.made}"]
        self.given.append(tuple(clean))
        return passed()


def runner(folder: Path = Path("/project"), **document: Any) -> tuple[PlanRunner, Workshop]:
    workshop: Any = Workshop()
    configuration = Configuration({"system": {"services": {"db": "sqlite"}}, **document}, folder, "here")
    return PlanRunner(workshop, configuration, "test_charges[redis]", seconds=20.0), workshop


CALL = {"send": "orders.charge", "args": [1]}
CRASH = {"fault": "task.crash", "when": {"task": "orders.charge", "call": 1}}


def test_clean_passes_are_made_once_for_the_same_calls() -> None:
    made, workshop = runner()
    for schedule in ([CALL], [CRASH, CALL], [CALL, {"wait": "quiet"}]):
        made.run(schedule, again=False)
    assert workshop.made == 1
    made.run([CALL, CALL], again=False)
    assert workshop.made == 2


def test_of_two_runs_that_fail_one_has_made_its_own() -> None:
    made, workshop = runner()
    made.run([CALL], again=False)
    made.run([CALL], again=True)
    assert workshop.made == 1
    made.run([CRASH, CALL], again=False)
    made.run([CRASH, CALL], again=True)
    assert workshop.made == 2
    assert workshop.given[2] != workshop.given[3]


@pytest.mark.parametrize(("drain", "used"), [({}, "20s"), ({"timeout": "5s"}, "5s"), ({"timeout": "1m"}, "20s")])
def test_the_drain_is_bounded_by_the_budget(drain: dict[str, str], used: str) -> None:
    made, workshop = runner(drain=drain)
    made.run([CALL], again=False)
    assert workshop.asked[0][0].document["drain"] == {"timeout": used}


def test_the_checks_are_the_configurations_or_the_defaults() -> None:
    for checks, expected in (({"no_loss": {}}, ["no_loss"]), ({}, ["idempotent", "no_duplicates", "no_loss"])):
        made, workshop = runner(checks=checks)
        made.run([CALL], again=False)
        assert sorted(workshop.asked[0][0].document["checks"]) == expected


def test_the_plan_is_named_for_its_test_and_its_report_can_be_removed(tmp_path: Path) -> None:
    made, workshop = runner(tmp_path)
    result = made.run([CALL], again=False)
    assert workshop.asked[0][2] == "test_charges-redis"
    folder = made.folder(result)
    assert folder.parent == tmp_path / "reports"
    folder.mkdir(parents=True)
    made.forget(result)
    made.forget(result)
    assert not folder.exists()
