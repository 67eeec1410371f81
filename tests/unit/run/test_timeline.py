from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.history import Evidence, FaultRecord, History
from harness.model.scenario import TimelineItem
from harness.ports.fault import Begun, FaultParameters, Meanwhile, NoFault
from harness.run.live import LiveState
from harness.run.timeline import Timeline, describe


class Recording(NoFault):
    """Remembers what the timeline did with it."""

    name: ClassVar[str] = "recording"

    def __init__(self, lasts: float | None = None, strike: str = "", heals_after: int = 1) -> None:
        super().__init__(FaultParameters(), random.Random(0))
        self.lasts, self.log, self.heals_after = lasts, list[str](), heals_after
        self.strike = strike  # type: ignore[misc]

    def begin(self, system: Any) -> Begun:
        self.log.append("begin")
        return Begun("pay-1", (10,))

    def adopt(self, system: Any, worker: str) -> None:
        self.log.append(f"adopt {worker}")

    def end(self, system: Any) -> None:
        self.log.append("end")

    def healed(self, system: Any) -> bool:
        return self.log.count("end") >= self.heals_after


class FakeSystem:
    def __init__(self) -> None:
        self.released: list[int] = []
        self.running: list[SimpleNamespace] = []

    def workers(self, target: str = "") -> list[SimpleNamespace]:
        return [worker for worker in self.running if worker.name.startswith(target)]

    def release(self, fault: int) -> None:
        self.released.append(fault)


def timeline(fault: NoFault, **item: Any) -> Timeline:
    return Timeline.of([TimelineItem.model_validate({"fault": "x", **item})], [fault])


def test_a_fault_begins_at_its_time_and_heals_after_its_duration() -> None:
    fault = Recording()
    plan, system = timeline(fault, at="1s", **{"for": "2s"}), FakeSystem()
    for now in (0.5, 1.0, 2.9, 3.1):
        plan.advance(now, system, LiveState())  # type: ignore[arg-type]
    assert fault.log == ["begin", "end"]
    assert (plan.planned[0].record.begun, plan.planned[0].record.ended) == (1.0, 3.1)
    assert plan.all_healed


def test_what_happens_once_does_not_go_on_until_it_is_healed() -> None:
    """A flush threw away what came after it, too."""
    ticks = []

    class Once(Recording):
        def tick(self, system: Any) -> None:
            ticks.append("tick")

    once, lasting, system = Once(lasts=0.0), Once(lasts=0.0), FakeSystem()
    for plan in (timeline(once, at="1s"), timeline(lasting, at="1s", **{"for": "2s"})):
        for now in (1.0, 1.1, 3.1):
            plan.advance(now, system, LiveState())  # type: ignore[arg-type]
    assert once.log == lasting.log == ["begin", "end"]
    assert len(ticks) == 3, "all of the one that lasts"


def test_a_fault_without_a_duration_heals_at_the_end_of_the_load() -> None:
    fault = Recording()
    plan, system = timeline(fault, at="1s"), FakeSystem()
    plan.advance(1.0, system, LiveState())  # type: ignore[arg-type]
    plan.advance(50.0, system, LiveState())  # type: ignore[arg-type]
    assert fault.log == ["begin"]
    plan.heal_all(60.0, system)  # type: ignore[arg-type]
    plan.advance(60.0, system, LiveState())  # type: ignore[arg-type]
    assert fault.log == ["begin", "end"]


def test_healing_is_tried_until_it_takes() -> None:
    fault = Recording(lasts=1.0, heals_after=3)
    plan, system = timeline(fault, at="1s"), FakeSystem()
    for now in (1.0, 2.0, 2.1, 2.2):
        assert plan.planned[0].state != "ended"
        plan.advance(now, system, LiveState())  # type: ignore[arg-type]
    assert fault.log == ["begin", "end", "end", "end"]
    assert plan.planned[0].record.ended == 2.2


def test_a_strike_of_the_agent_is_adopted_with_its_line_and_its_process_group() -> None:
    fault = Recording(lasts=1.0, strike="kill_group")
    plan, system, live = timeline(fault, when={"task": "t"}), FakeSystem(), LiveState()
    plan.t0 = 100.0
    live.feed(
        [
            {"k": "open", "m": 1, "pid": 10, "ppid": 1, "name": "pay-1", "role": "worker"},
            {"k": "open", "m": 1, "pid": 11, "ppid": 10, "name": "pay-1", "role": "worker"},
            {"k": "strike", "m": 101_500_000_000, "fault": 0, "id": "task-1", "file": "a.py", "line": 7, "_pid": 11},
        ]
    )
    plan.advance(1.6, system, live)  # type: ignore[arg-type]
    record = plan.planned[0].record
    assert record.begun == pytest.approx(1.5)
    assert (record.file, record.line, record.task_id, record.target) == ("a.py", 7, "task-1", "pay-1")
    assert set(record.killed_pids) == {10, 11}
    assert fault.log == ["adopt pay-1"]


def test_a_task_held_at_a_point_is_released_after_the_fault_has_begun() -> None:
    fault = Recording()
    plan, system, live = timeline(fault, when={"task": "t"}), FakeSystem(), LiveState()
    live.feed([{"k": "waiting", "m": 1, "fault": 0, "id": "task-1", "_pid": 11}])
    plan.advance(0.5, system, live)  # type: ignore[arg-type]
    assert fault.log == ["adopt ", "begin"]
    assert (system.released, fault.struck_task) == ([0], "task-1")


def test_what_begins_after_the_load_is_healed_soon() -> None:
    fault = Recording(strike="kill_group")
    plan, system, live = timeline(fault, when={"task": "t"}), FakeSystem(), LiveState()
    plan.heal_all(5.0, system)  # type: ignore[arg-type]
    live.feed([{"k": "strike", "m": 5_500_000_000, "fault": 0, "id": "x", "file": "", "line": None, "_pid": 11}])
    plan.advance(5.6, system, live)  # type: ignore[arg-type]
    plan.advance(5.7, system, live)  # type: ignore[arg-type]
    assert fault.log == ["adopt ", "end"]


def test_a_fault_that_cannot_begin_is_noted_and_never_counts_as_begun() -> None:
    class Broken(Recording):
        def begin(self, system: Any) -> Begun:
            raise ScenarioError("no such thing")

    plan = timeline(Broken(), at="0s")
    plan.advance(0.1, FakeSystem(), LiveState())  # type: ignore[arg-type]
    assert plan.planned[0].record.begun is None
    assert plan.planned[0].record.note == "no such thing"
    assert plan.all_healed


def test_a_part_that_does_not_obey_ends_the_run() -> None:
    class Hanging(Recording):
        def begin(self, system: Any) -> Begun:
            raise EnvironmentFault("the proxy does not answer")

    with pytest.raises(EnvironmentFault, match="does not answer"):
        timeline(Hanging(), at="0s").advance(0.1, FakeSystem(), LiveState())  # type: ignore[arg-type]


def test_evidence_that_crashes_cannot_be_told() -> None:
    class Broken(Recording):
        def evidence(self, record: FaultRecord, history: History) -> Evidence:
            raise ZeroDivisionError

    plan = timeline(Broken(), at="0s")
    plan.settle(History())
    assert plan.planned[0].record.evidence.bit is None


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"at": "5s"}, "at 5.0 s"),
        ({"at": "5s", "for": "200ms"}, "at 5.0 s for 200 ms"),
        ({"when": {"task": "t", "nth": 3}}, "when t reaches start, the 3rd time"),
        ({"when": {"task": "t", "reaches": "a.py:4", "call": 2}}, "when t reaches a.py:4, of call 2"),
    ],
)
def test_the_plan_in_words(item: dict[str, Any], text: str) -> None:
    assert describe(TimelineItem.model_validate({"fault": "x", **item})) == text


def test_a_fault_waits_for_the_workers_that_it_took_away_and_for_no_others() -> None:
    fault, system = Recording(lasts=1.0), FakeSystem()
    system.running = [SimpleNamespace(name="pay-1", pid=20), SimpleNamespace(name="mail-1", pid=30)]
    for takes_away, healed in (("", True), ("pay-1", False), ("mail-1", True)):
        fault.takes_away = takes_away  # type: ignore[misc]
        plan, live = timeline(fault, at="1s"), LiveState(ready={"mail-1": 30})
        for now in (1.0, 2.0):
            plan.advance(now, system, live)  # type: ignore[arg-type]
        assert (plan.planned[0].record.ended == 2.0) is plan.all_healed is healed


def test_a_task_is_held_until_its_fault_need_not_hold_it_any_more() -> None:
    """Or until the fault is over."""
    fault = Recording()
    seen: list[Meanwhile] = []
    fault.holds = lambda meanwhile: seen.append(meanwhile) or not meanwhile.copies_begun  # type: ignore[method-assign,func-returns-value]
    for copy_runs in (True, False):
        plan, system, live = timeline(fault, when={"task": "t"}, **{"for": "1s"}), FakeSystem(), LiveState(copies_begun=7)
        live.feed([{"k": "waiting", "m": 1, "fault": 0, "id": "task-1", "_pid": 11}])
        plan.advance(0.5, system, live)  # type: ignore[arg-type]
        assert (system.released, seen[-1]) == ([], Meanwhile(0.0, 0))
        if copy_runs:
            copy = {"d": "d2", "id": "task-1", "msg": "m1", "_pid": 12}
            live.feed([{"k": "start", **copy}, {"k": "deliver", "copy": 1, **copy}, {"k": "end", **copy}])
        for now in (1.4, 1.6, 1.7):
            plan.advance(now, system, live)  # type: ignore[arg-type]
            assert system.released == ([0] if copy_runs or now > 1.6 else [])


def test_a_worker_that_was_started_heals_nothing_before_it_is_ready() -> None:
    fault = Recording(lasts=1.0)
    fault.takes_away = "pay"  # type: ignore[misc]
    plan, system, live = timeline(fault, at="1s"), FakeSystem(), LiveState()
    system.running = [SimpleNamespace(name="pay-1", pid=20)]
    plan.advance(1.0, system, live)  # type: ignore[arg-type]
    plan.advance(2.0, system, live)  # type: ignore[arg-type]
    assert not plan.all_healed
    live.ready["pay-1"] = 10  # its life before
    plan.advance(2.1, system, live)  # type: ignore[arg-type]
    assert not plan.all_healed
    live.ready["pay-1"] = 20
    plan.advance(2.2, system, live)  # type: ignore[arg-type]
    assert plan.all_healed
    assert plan.planned[0].record.healed


def test_a_tick_that_finds_the_broker_away_is_skipped_and_noted() -> None:
    class Away(Recording):
        def tick(self, system: Any) -> None:
            raise EnvironmentFault("connection refused")

    plan = timeline(Away(), at="1s", **{"for": "5s"})
    plan.advance(1.0, FakeSystem(), LiveState())  # type: ignore[arg-type]
    assert "connection refused" in plan.planned[0].record.note
    assert plan.planned[0].state == "active"


@pytest.mark.parametrize(
    ("begins", "ends", "note"),
    [
        (1.05, 3.1, ""),
        (2.5, 4.6, "began 1.5 s late"),
        (1.0, 14.2, "lasted 13.2 s in place of 2.0 s"),
        (3.0, 7.0, "began 2.0 s late; lasted 4.0 s in place of 2.0 s"),
    ],
)
def test_what_came_or_went_late_says_so(begins: float, ends: float, note: str) -> None:
    plan, system = timeline(Recording(), at="1s", **{"for": "2s"}), FakeSystem()
    plan.advance(begins, system, LiveState())
    plan.advance(ends, system, LiveState())
    assert plan.planned[0].record.note == note


def test_time_that_other_faults_took_counts() -> None:
    """`now` is what it was before the first of them began."""
    items = [TimelineItem.model_validate({"fault": "x", "at": "1s"}) for _ in range(2)]
    plan, times = Timeline.of(items, [Recording(), Recording()]), iter([1.0, 4.0])
    plan.clock = lambda: next(times)
    plan.advance(1.0, FakeSystem(), LiveState())
    assert [p.record.begun for p in plan.planned] == [1.0, 4.0]
    assert plan.planned[1].record.note == "began 3.0 s late"
