"""`schedule:` taken apart: load, timeline and steps, and every mistake at its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import ScenarioError
from harness.scenario import LoadedScenario, load_scenarios

HEAD = """version: 1
system:
  app: shop:app
  workers: {pay: {concurrency: 1}}
checks: {no_loss: {}}
schedule:
"""
Load = Callable[[str], LoadedScenario]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(steps: str, head: str = HEAD) -> LoadedScenario:
        file = tmp_path / "plan.yaml"
        file.write_text(head + "".join(f"  {line}\n" for line in steps.splitlines()))
        (one,) = load_scenarios(file, registry())
        return one

    return loaded


def test_calls_become_the_load_faults_the_timeline_and_steps_keep_the_order(load: Load) -> None:
    scenario = load(
        """- {send: shop.book, args: [1], queue: pay}
- {fault: worker.pause, target: pay, as: frozen}
- {wait: 2s}
- {heal: frozen}
- {fault: task.crash, when: {task: shop.book, reaches: start, call: 2}}
- {chain: [{send: shop.book}, {send: shop.mail}]}
- {send: shop.book, count: 3}
- {wait: quiet}
- {heal: all}"""
    ).scenario
    assert [item.send or "chain" for item in scenario.load] == ["shop.book", "chain", "shop.book"]
    assert [item.count for item in scenario.load] == [1, 1, 3]
    assert [(item.fault, item.at) for item in scenario.timeline] == [("worker.pause", 0.0), ("task.crash", None)]
    done = [{key: value for key, value in step.model_dump().items() if value is not None} for step in scenario.schedule]
    assert done == [
        {"send": 0},
        {"fault": 0},
        {"wait": 2.0},
        {"heal": (0,)},
        {"fault": 1},
        {"send": 1},
        {"send": 2},
        {"wait": "quiet"},
        {"heal": (0, 1)},
    ]


def test_its_text_is_a_schedule_again(load: Load) -> None:
    one = load("- {send: shop.book}\n- {wait: quiet}")
    assert "schedule:" in one.text
    assert "load:" not in one.text
    assert load(one.text.partition("schedule:\n")[2]).scenario == one.scenario


WRONG = {
    "- {sned: shop.book}": (7, "did you mean `send`?"),
    "- {send: shop.book, fault: worker.kill}": (7, "not send and fault together"),
    "- 5": (7, "a step is a mapping"),
    "- {send: shop.book, rate: 5/s}": (7, "a call of a schedule has no `rate`"),
    "- {send: shop.book}\n- {fault: worker.kill, at: 2s}": (8, "not `at` a time"),
    "- {send: shop.book}\n- {fault: worker.kil}": (8, "did you mean `worker.kill`?"),
    "- {send: shop.book}\n- {fault: worker.kill, target: pai}": (8, "did you mean `pay`?"),
    "- {send: shop.book}\n- {heal: cut}": (8, "no fault before this step is called"),
    "- {send: shop.book}\n- {fault: worker.kill, as: all}": (8, "`all` means every fault"),
    "- {fault: worker.kill, as: k}\n- {fault: worker.kill, as: k}\n- {send: shop.book}": (8, "two faults are called `k`"),
    "- {send: shop.book}\n- {heal: all, wait: 2s}": (8, "not heal and wait together"),
    "- {send: shop.book}\n- {wait: quiet, target: pay}": (8, "a step `wait` has no `target`"),
    "- {send: shop.book}\n- {wait: soon}": (8, ""),
    "- {wait: quiet}": (6, "the schedule sends nothing"),
}


@pytest.mark.parametrize("steps", WRONG)
def test_what_is_wrong_is_told_where_it_is_written(load: Load, steps: str) -> None:
    line, words = WRONG[steps]
    with pytest.raises(ScenarioError) as refused:
        load(steps)
    assert f"plan.yaml:{line}:" in str(refused.value), refused.value
    assert words in str(refused.value)


@pytest.mark.parametrize("other", ["load: [{send: shop.book, count: 1}]", "timeline: [{at: 1s, fault: worker.kill}]"])
def test_load_or_timeline_beside_it_are_refused(tmp_path: Path, other: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(f"{HEAD}  - {{send: shop.book}}\n{other}\n")
    with pytest.raises(ScenarioError, match="both say what happens"):
        load_scenarios(file, registry())


@pytest.mark.parametrize("value", ["[]", "5", "{send: shop.book}"])
def test_it_is_a_list_with_something_in_it(tmp_path: Path, value: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(HEAD.rstrip() + f" {value}\n")
    with pytest.raises(ScenarioError, match="a list of steps"):
        load_scenarios(file, registry())
