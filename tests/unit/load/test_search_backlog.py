"""Backlogs of simulated queues: one that keeps up, one that does not, and one that recovers or does not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.search_backlog import Answered, Kept, back_at, gone_at, growth, moments
from harness.model.backlog import Backlog


def queue(dues: list[float], served: float, servers: int = 1, chance: random.Random | None = None) -> list[Answered]:
    """First come, first served, by so many servers that take ``servers / served`` seconds for each; more or less with a chance."""
    free = [0.0] * servers
    calls = []
    for due in dues:
        place = free.index(min(free))
        took = servers / served * (chance.uniform(0.5, 1.5) if chance else 1.0)
        free[place] = max(free[place], due) + took
        calls.append(Answered(due, free[place]))
    return calls


def steady(rate: float, begin: float, end: float) -> list[float]:
    return [begin + number / rate for number in range(round((end - begin) * rate))]


@pytest.mark.parametrize(("rate", "grows"), [(10.0, False), (90.0, False), (97.0, False), (106.0, True), (130.0, True), (400.0, True)])
def test_growth_is_seen_above_the_capacity_and_not_below(rate: float, grows: bool) -> None:
    calls = queue(steady(rate, 0.0, 6.0), 100.0, servers=4, chance=random.Random(3))
    found = growth(Backlog(calls), 1.5, 6.0, rate)
    assert found.grows is grows
    if grows:
        assert found.slope == pytest.approx(rate - 100, rel=0.35)


def test_a_hiccup_that_is_caught_up_on_is_no_growth() -> None:
    calls = [Answered(due, max(due, 3.4 if 3.0 < due < 3.4 else 0.0) + 0.02) for due in steady(50.0, 0.0, 6.0)]
    assert not growth(Backlog(calls), 1.5, 6.0, 50.0).grows


def test_calls_that_never_end_pile_up() -> None:
    calls = [Answered(due, math.inf if number % 5 == 0 else due + 0.01) for number, due in enumerate(steady(50.0, 0.0, 6.0))]
    assert growth(Backlog(calls), 1.5, 6.0, 50.0).grows


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), max_size=40), st.floats(0, 60), st.floats(0, 60))
def test_the_backlog_is_what_was_due_and_has_not_ended(raw: list[tuple[float, float]], one: float, other: float) -> None:
    calls = [Answered(due, due + took) for due, took in raw]
    backlog = Backlog(calls)
    begin, end = sorted((one, other))
    assert backlog.at(begin) == sum(call.due <= begin < call.end for call in calls)
    assert backlog.ended(begin, end) == sum(begin < call.end <= end for call in calls)
    looks = [begin, end, *(call.due for call in calls if begin <= call.due <= end)]
    assert backlog.highest(begin, end) == max(backlog.at(moment) for moment in looks)


def overload(tail: float = 30.0) -> list[float]:
    return [*steady(50.0, 0.0, 10.0), *steady(200.0, 10.0, 20.0), *steady(50.0, 20.0, 20.0 + tail)]


def test_an_overload_is_worked_off_when_the_queue_is_empty_again() -> None:
    calls = queue(overload(), 100.0)
    backlog = Backlog(calls)
    level = backlog.highest(2.0, 10.0)
    gone, back = gone_at(backlog, 20.0, 50.0, level), back_at(calls, 20.0, 50.0, Kept(95, 0.5))
    # 1,000 calls too many, and 50 a second to spare.
    assert gone == pytest.approx(40.0, abs=1.0) and back == pytest.approx(40.0, abs=2.0)
    assert gone_at(backlog, 20.0, 35.0, level) is None and back_at(calls, 20.0, 35.0, Kept(95, 0.5)) is None


def test_a_backlog_that_stays_is_never_gone() -> None:
    calls = [Answered(due, due + 0.02 if due < 10 else math.inf) for due in overload()]
    backlog = Backlog(calls)
    assert gone_at(backlog, 20.0, 50.0, 5) is None and back_at(calls, 20.0, 50.0, Kept(95, 0.5)) is None


def test_nothing_was_ever_in_the_way() -> None:
    calls = queue(overload(), 1_000.0)
    assert gone_at(Backlog(calls), 20.0, 50.0, 3) == 20.0 and back_at(calls, 20.0, 50.0, Kept(95, 0.5)) == 20.0


def test_a_backlog_that_comes_back_is_not_gone_the_first_time() -> None:
    calls = [*(Answered(20.0, 25.0) for _ in range(9)), *(Answered(26.0, 31.0) for _ in range(9))]
    assert gone_at(Backlog(calls), 20.0, 50.0, 2) == 31.0


def test_moments_for_charts() -> None:
    found = moments([Answered(0.0, 0.1), Answered(0.5, math.inf), Answered(2.5, 2.6)], Backlog([Answered(0.0, 0.1)]), 3.0, 1.0)
    assert [(moment.at, moment.rate, moment.p95) for moment in found] == [(0.0, 2.0, None), (1.0, 0.0, None), (2.0, 1.0, 0.1)]
