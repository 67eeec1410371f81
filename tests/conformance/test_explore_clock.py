"""The task's own clock: ahead of ours where the explorer wants it, and on by what the task sleeps."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.exploration import Ending, Outcome
from tests.conformance.explore_points import points, pytest_generate_tests  # noqa: F401 (a fixture, and a hook)
from tests.conformance.explore_support import Mill, mill

DAY = 86400.0


@pytest.fixture(scope="module")
def one(points: str, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str) -> Iterator[Mill]:  # noqa: F811
    with mill(tmp_path_factory.mktemp("mill"), points=points) as found:
        assert found.stops.no_clock == ""
        yield found


def result(ending: Ending) -> Any:
    assert ending.outcome is Outcome.SUCCESS, ending
    return ast.literal_eval(ending.result)


@pytest.mark.parametrize("later", [0.0, DAY, 0.75, 400 * DAY])
def test_every_way_to_ask_for_the_time_of_day_is_ahead(one: Mill, later: float) -> None:
    before, running = time.time(), time.monotonic()
    by_time, by_datetime, by_sqlite, monotonic, by_program = result(one.run("tell_time", later=later))
    took = time.time() - before + 1.1
    for told in (by_time, by_datetime, by_sqlite):
        assert later - 1 <= told - before <= later + took
    assert 0 <= monotonic - running <= took, "what only runs is not ahead"
    assert -1 <= by_program - before <= took, "another program has the true time"


def test_a_program_that_would_see_the_true_time_is_a_doubt(one: Mill) -> None:
    assert one.run("tell_time").doubts == ()
    assert any("true time" in doubt for doubt in one.run("tell_time", later=DAY).doubts)


def test_sleeping_costs_nothing_and_the_clocks_go_on(one: Mill) -> None:
    message = one.publish("sleep", 3600.5)
    begun = time.monotonic()
    ending = one.deliver(message)
    assert time.monotonic() - begun < 30
    wall, running = result(ending)
    assert 3600.5 <= wall < 3640 and 3600.5 <= running < 3640 and ending.slept == pytest.approx(3600.5, abs=0.5)


def test_so_it_does_in_asyncio(one: Mill) -> None:
    message = one.publish("sleep_in_asyncio", 3600.5)
    begun = time.monotonic()
    assert 3600 <= result(one.deliver(message)) < 3640 and time.monotonic() - begun < 30


@pytest.mark.parametrize(("seconds", "step"), [(10, 1), (5, 0.1), (2 * 86400, 3600)])
def test_a_loop_that_waits_for_a_moment_ends_after_as_many_turns(one: Mill, seconds: int, step: float) -> None:
    turns = result(one.run("sleep_until_later", seconds, step, later=DAY))
    assert seconds / step * 0.8 - 1 <= turns <= seconds / step + 1


def test_one_that_sleeps_for_ever_is_found_without_waiting(one: Mill) -> None:
    ending = one.run("wait_for_ever")
    assert ending.outcome is Outcome.ENDLESS and "slept for 30 days" in ending.error


def test_who_looks_is_told_of_sleeps(one: Mill) -> None:
    told: list[float] = []
    one.run("sleep", 7, at_sleep=told.append)
    assert told == [pytest.approx(7, abs=0.1)]


@pytest.mark.parametrize("later", [0.0, DAY])
def test_a_lock_with_a_time_limit_waits_no_longer(one: Mill, later: float) -> None:
    """Its deadline is a moment of the task's clock, and the kernel has another."""
    begun = time.monotonic()
    got, waited = result(one.run("wait_for_lock", 0.2, later=later))
    assert got is False and 0.19 <= waited < 10 and time.monotonic() - begun < 30
    got, waited = result(one.run("sleep_then_wait_for_lock", 3600, 0.2, later=later))
    assert got is False and 0.19 <= waited < 10 and time.monotonic() - begun < 60


def test_a_warm_process_has_its_memory_and_a_fresh_one_has_none(one: Mill) -> None:
    message = one.publish("remember")
    assert [result(one.deliver(message, warm=warm)) for warm in (False, True, True, False, True)] == [1, 2, 3, 1, 2]


def test_after_a_kill_there_is_no_warm_process(one: Mill) -> None:
    message = one.publish("remember")
    assert result(one.deliver(message)) == 1
    assert one.run("write_and_rename", "x", kill=1, warm=True).outcome is Outcome.KILLED
    assert result(one.deliver(message, warm=True)) == 1


def test_running_clocks_never_go_back_in_a_warm_process(one: Mill) -> None:
    one.run("sleep", 5000)
    before = time.monotonic()
    monotonic = result(one.deliver(one.publish("tell_time"), warm=True))[3]
    assert monotonic >= before + 5000
