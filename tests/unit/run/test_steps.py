"""Steps of a live pass against a driver that only counts: what each waits for, and when it gives up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.model.scenario import Step, TimelineItem
from harness.ports.fault import FaultParameters, NoFault
from harness.run.live import LiveState
from harness.run.steps import Steps
from harness.run.timeline import Timeline


class Fault(NoFault):
    """Heals when it is told to; never, where ``stubborn``."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__(FaultParameters(), None)
        self.stubborn = stubborn

    def healed(self, system: Any) -> bool:
        return not self.stubborn


class Driver:
    """Every tick takes 10 ms of a clock that nobody else moves; what the producer is told happens at once, if it is willing."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.live, self.told, self.deaf, self.at = LiveState(), list[str](), deaf, 0.0
        self.outcome: Any = None
        self.ended = False
        self.system: Any = SimpleNamespace(
            tell_producer=self.tell, workers=lambda target="": [], arm=lambda triggers: self.told.append("arm")
        )

    def go(self) -> None:
        self.outcome = SimpleNamespace(t0=5.0)

    def now(self) -> float:
        return self.at

    def tell(self, line: str) -> None:
        self.told.append(line)
        words = line.split()
        if not self.deaf and words[0] == "send":
            self.live.calls_sent.add(int(words[1]))
        elif not self.deaf and words[0] == "done":
            self.live.load_done = True

    def tick(self, timeline: Timeline, wait: float) -> None:
        self.at += 0.01
        timeline.advance(self.at, self.system, self.live)

    def until_quiet(self, timeline: Timeline, seconds: float) -> bool:
        self.told.append(f"quiet {seconds:g}")
        return True

    def end(self, timeline: Timeline) -> None:
        self.ended = True


def steps_of(driver: Driver, *faults: Fault) -> Steps:
    items = [TimelineItem(fault="none", at=0.0)] * len(faults)
    return Steps(driver, Timeline.of(items, faults, by_hand=True), drain=1.0)  # type: ignore[arg-type]


def test_a_schedule_is_followed_step_by_step() -> None:
    driver = Driver()
    steps = steps_of(driver, Fault())
    steps.begin()
    assert steps.timeline.t0 == 5.0
    order = [Step(send=1), Step(fault=0), Step(wait="500ms"), Step(send=0), Step(heal=(0,)), Step(wait="quiet")]
    steps.run(order, [[3], [1, 2]])
    assert driver.told == ["send 1", "send 2", "send 3", "quiet 1"]
    assert driver.at >= 0.5
    record = steps.timeline.planned[0].record
    assert (record.begun is not None, record.healed) == (True, True)
    steps.finish()
    assert driver.ended


def test_a_call_that_was_not_planned_carries_its_item() -> None:
    driver = Driver()
    steps = steps_of(driver)
    steps.send(4, {"send": "app.pay", "args": [1]})
    assert driver.told == ['send 4 {"send": "app.pay", "args": [1]}']
    assert steps.unsent == set()


def test_a_publish_that_is_held_up_is_not_waited_for_long() -> None:
    driver = Driver(deaf=True)
    steps = steps_of(driver)
    steps.send(1)
    assert steps.unsent == {1}
    assert 2.0 <= driver.at < 2.2


def test_a_call_that_failed_to_be_published_is_over() -> None:
    driver = Driver(deaf=True)
    driver.live.calls_failed.add(1)
    steps = steps_of(driver)
    steps.send(1)
    assert steps.unsent == set()


def test_a_fault_may_come_unplanned() -> None:
    driver = Driver()
    steps = steps_of(driver)
    planned = steps.fault(TimelineItem(fault="none", at=0.0), Fault())
    assert planned.state == "active"
    steps.heal([planned.record.index])
    assert planned.record.healed


def test_an_armed_one_waits_for_its_point() -> None:
    driver = Driver()
    steps = steps_of(driver)
    planned = steps.fault(TimelineItem.model_validate({"fault": "none", "when": {"task": "app.pay"}}), Fault())
    assert (planned.state, driver.told) == ("waiting", ["arm"])
    steps.heal([planned.record.index])  # never struck: nothing to heal
    assert planned.state == "waiting"


def test_what_does_not_heal_is_the_environments_fault() -> None:
    driver = Driver()
    steps = steps_of(driver, Fault(stubborn=True))
    steps.run([Step(fault=0)], [])
    with pytest.raises(EnvironmentFault, match="none: not healed within 1 s"):
        steps.heal([0])


def test_a_producer_that_does_not_finish_is_the_environments_fault() -> None:
    driver = Driver(deaf=True)
    with pytest.raises(EnvironmentFault, match="the producer did not finish"):
        steps_of(driver).finish()
    assert not driver.ended


def test_waiting_ends_with_what_is_waited_for() -> None:
    driver = Driver()
    steps = steps_of(driver)
    assert steps.until(lambda: driver.at > 0.05, 1.0)
    assert driver.at < 0.1
    assert not steps.until(lambda: False, 0.2)
