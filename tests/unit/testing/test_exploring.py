"""When the system that explores is kept, when it is thrown away, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault, HarnessError, ScenarioError, UsageError
from harness.explore.rules import Question
from harness.model.exploration import Coverage, Exploration
from harness.ports.clock import MonotonicClock
from harness.testing import exploring
from harness.testing.configuration import Configuration
from harness.testing.exploring import Explorations, item_of


class Opened:
    """A system in name. ``judge``: what becomes of a call."""

    opened: list[Opened]
    judge: Callable[[Question], str]

    def __init__(self, loaded: Any, root: Path, run_id: str, folder: Path, clock: Any) -> None:
        self.folder, self.told, self.closed = folder, False, False
        self.ground = self
        Opened.opened.append(self)

    def explore(self, question: Question, *, seed: int) -> Exploration:
        """See `Ground`."""
        verdict = Opened.judge(question)
        return Exploration(question.task, question.args, question.kwargs, verdict, "", Coverage(1, 1, 1, 1))

    def environment(self) -> Mapping[str, str]:
        """Nothing to say."""
        return {}

    def close(self, *, keep: bool) -> None:
        """Noted."""
        self.closed = True


@pytest.fixture
def explorations(monkeypatch: pytest.MonkeyPatch) -> Explorations:
    monkeypatch.setattr(exploring, "_Open", Opened)
    Opened.opened = []
    Opened.judge = staticmethod(lambda question: "certified")  # type: ignore[assignment]
    return Explorations(MonotonicClock(), keep_passed=False)


def configured(root: Path, **system: Any) -> Configuration:
    return Configuration({"system": {"app": "shop:app", **system}, "checks": {"no_loss": {}}}, root, "the test")


def test_one_system_for_all_calls_of_a_configuration(tmp_path: Path, explorations: Explorations) -> None:
    for number in (1, 2):
        explored = explorations.explore(configured(tmp_path), item_of("shop.pay", [number], {}), name="test_pay")
        assert (explored.found.args, explored.found.environment) == ((number,), {"seed": "0"})
        assert not explored.file.exists()
    explorations.explore(configured(tmp_path, redelivery="2s"), item_of("shop.pay", [1], {}), name="test_pay")
    assert [one.closed for one in Opened.opened] == [True, False]
    explorations.close()
    explorations.close()
    assert [one.closed for one in Opened.opened] == [True, True]


def test_what_is_not_certified_leaves_a_scenario_that_asks_for_the_same(tmp_path: Path, explorations: Explorations) -> None:
    Opened.judge = staticmethod(lambda question: "fails")  # type: ignore[assignment]
    item = item_of("shop.pay", [7], {"cents": 5}, worlds=9, time="3s", kills=None, semantics="at_most_once")
    explored = explorations.explore(configured(tmp_path), item, name="test_pay")
    explorations.explore(configured(tmp_path), item_of("shop.pay", [8], {}), name="test_pay")
    assert not Opened.opened[0].told
    text = explored.saved().read_text()
    assert Opened.opened[0].told
    assert all(word in text for word in ("shop:app", "shop.pay", "cents: 5", "worlds: 9", "3s", "at_most_once")) and "no_loss" not in text


@pytest.mark.parametrize(
    ("error", "kept"), [(ScenarioError("it fails by itself"), True), (EnvironmentFault("it contradicts itself"), False)]
)
def test_only_an_error_of_the_task_itself_leaves_the_system_usable(
    tmp_path: Path, explorations: Explorations, error: HarnessError, kept: bool
) -> None:
    def judge(question: Question) -> str:
        raise error

    Opened.judge = staticmethod(judge)  # type: ignore[assignment]
    with pytest.raises(HarnessError, match=error.what):
        explorations.explore(configured(tmp_path), item_of("shop.pay", [7], {}), name="test_pay")
    assert [one.closed for one in Opened.opened] == [not kept]


def test_containers_are_refused(tmp_path: Path, explorations: Explorations) -> None:
    configuration = configured(tmp_path).with_changes({"runtime": "containers"}, "the marker")
    with pytest.raises(UsageError, match="this harness runs containers"):
        explorations.explore(configuration, item_of("shop.pay", [7], {}), name="test_pay")
    assert not Opened.opened
