"""When a pass may end: nothing recorded, the broker empty, and nobody left who could still act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.ports.fault import NoFault
from harness.run.live import LiveState
from harness.run.quiet import CALM, Quiet
from harness.run.timeline import Timeline
from tests.unit.run.test_live import DELIVER, opened, r
from tests.unit.run.test_timeline import timeline

NO_FAULTS = Timeline([])
A_FAULT = timeline(NoFault, at="0s")  # type: ignore[arg-type]


class Clock:
    """Goes as it is told."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    wall = now

    def sleep(self, seconds: float) -> None:
        self.time += seconds


DONE = (opened(10, "pay-1"), r("publish", 5, msg="m1"), DELIVER, r("start", 10, d="d1", id="t1"))


def seconds_until_quiet(records: Sequence[dict[str, Any]], plan: Timeline = NO_FAULTS, *, died: bool = False, limit: float = 3.0) -> float:
    """From the last record on; infinite where it is not within the limit."""
    clock, live = Clock(), LiveState()
    live.feed(records)
    quiet = Quiet(live, clock, lambda: (0, 0))
    begun = clock.now()
    while clock.now() - begun < limit:
        if quiet.reached(plan, died=died):
            return clock.now() - begun
        clock.sleep(0.01)
    return float("inf")


def end(**more: Any) -> dict[str, Any]:
    return r("end", 10, d="d1", id="t1", s="SUCCESS", **more)


def test_where_the_books_are_closed_it_is_quiet_sooner() -> None:
    assert seconds_until_quiet([*DONE, end()]) < 0.2


@pytest.mark.parametrize(
    ("records", "plan", "died"),
    [
        ([*DONE, end()], A_FAULT, False),
        ([*DONE, end()], NO_FAULTS, True),
        ([*DONE, end(), r("publish", 5, msg="m2")], NO_FAULTS, False),
        ([*DONE, end(apart=1)], NO_FAULTS, False),
        ([*DONE, end(threads=1, apart=1), r("alone", 10)], NO_FAULTS, False),
        ([*DONE, end(), r("load_done", 5, late=0, dropped=0, apart=1)], NO_FAULTS, False),
    ],
)
def test_elsewhere_it_takes_the_longer_wait(records: list[dict[str, Any]], plan: Timeline, died: bool) -> None:
    assert CALM < seconds_until_quiet(records, plan, died=died) < CALM + 0.2


@pytest.mark.parametrize("last", [end(threads=1), r("load_done", 10, late=0, dropped=0, threads=2)])
def test_it_is_not_quiet_while_threads_of_the_apps_live(last: dict[str, Any]) -> None:
    records = [*DONE, end(), last] if last["k"] == "load_done" else [*DONE, last]
    assert seconds_until_quiet(records) == float("inf")
    assert seconds_until_quiet([*records, r("alone", 10)]) < 0.2


def test_threads_die_with_their_process() -> None:
    live = LiveState()
    live.feed([*DONE, end(threads=1)])
    quiet = Quiet(live, Clock(), lambda: (0, 0))
    assert quiet.waited_for(NO_FAULTS) == "threads of the app's own in pay-1"
    live.died({10})
    assert not live.lingering


SETTINGS = r("settings", config={"broker_connection_retry": True}, tasks={})
LOST = (*DONE, end(), SETTINGS, r("connected", queues=[]), r("disconnected"))


@pytest.mark.parametrize("plan", [NO_FAULTS, A_FAULT])
def test_it_is_not_quiet_before_a_worker_that_lives_is_connected_again(plan: Timeline) -> None:
    assert seconds_until_quiet(LOST, plan) == float("inf")
    assert seconds_until_quiet([*LOST, r("connected", queues=[])], plan) < CALM + 0.2


@pytest.mark.parametrize(
    "more",
    [
        [r("settings", config={"broker_connection_retry": False}, tasks={})],  # it does not try
        [r("down")],  # it leaves by itself
    ],
)
def test_nobody_waits_for_a_worker_that_does_not_come_back(more: list[dict[str, Any]]) -> None:
    assert seconds_until_quiet([*LOST, *more]) < 0.2


def test_a_worker_that_has_died_is_not_waited_for_whenever_its_last_words_are_read() -> None:
    live = LiveState()
    live.feed([*LOST])
    assert live.adrift == ["pay-1"]
    live.died({10})
    live.feed([r("disconnected")])
    assert live.adrift == []
    live.feed([opened(10, "pay-1"), r("connected", queues=[]), r("disconnected")])  # another one, under its number
    assert live.adrift == ["pay-1"]


def test_while_a_fault_lasts_nobody_is_waited_for_who_may_be_unable_to_come_back() -> None:
    live = LiveState()
    live.feed(LOST)
    quiet, lasting = Quiet(live, Clock(), lambda: (0, 0)), timeline(NoFault, at="0s")  # type: ignore[arg-type]
    lasting.planned[0].state = "active"
    assert quiet.adrift(lasting) == []
    lasting.planned[0].state = "ended"
    assert quiet.adrift(lasting) == ["pay-1"]
    assert quiet.waited_for(lasting) == "pay-1 without its connection to the broker"
