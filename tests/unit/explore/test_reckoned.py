"""How far ahead a task writes times: a term that is prolonged twice is another than one that is prolonged once, on whichever day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from harness.explore.reckoned import Reckoned

BEGUN = float(datetime(2026, 11, 20, 9, 17, 3, tzinfo=timezone.utc).timestamp())
DAY = 86_400.0
#: When clean executions looked at what they had written.
SEEN = (BEGUN + 0.3, BEGUN + 2.4, BEGUN + DAY + 3661.5, BEGUN + 465.5 * DAY)

Write = Callable[[datetime], Any]


def month_end(now: datetime) -> datetime:
    return (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def next_working_day(now: datetime) -> datetime:
    return now + timedelta(days=(7 - now.weekday()) if now.weekday() >= 4 else 1)


ONE: dict[str, Write] = {
    "a date": lambda now: (now + timedelta(days=365)).date().isoformat(),
    "a date as people write it": lambda now: (now + timedelta(days=30)).strftime("%d.%m.%Y"),
    "a date without separators": lambda now: (now + timedelta(days=30)).strftime("%Y%m%d"),
    "a moment": lambda now: (now + timedelta(days=30)).isoformat(),
    "seconds since the epoch": lambda now: now.timestamp() + 30 * DAY,
    "whole hours": lambda now: int((now.timestamp() + 30 * DAY) // 3600 * 3600),
    "today": lambda now: now.date().isoformat(),
    "the end of the month": lambda now: month_end(now).date().isoformat(),
    "a moment at the end of the month": lambda now: month_end(now).isoformat(),
    "the next working day": lambda now: next_working_day(now).date().isoformat(),
}
TWICE: dict[str, Write] = {
    name: lambda now, write=write: write(now + timedelta(days=30))
    for name, write in ONE.items()
    if "end of" not in name and "working" not in name
}


def learnt(write: Write) -> Reckoned:
    found = Reckoned()
    for at in SEEN:
        found.add(write(_utc(at - 0.2)), at, BEGUN)
    return found


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


@pytest.mark.parametrize("name", ONE)
def test_what_one_execution_may_have_written_since_is_right_on_whichever_day(name: str) -> None:
    known = learnt(ONE[name])
    for days in (0, 0.0001, 0.02, 0.9, 1.05, 2.1, 3.15, 9.4, 40, 466):
        until = BEGUN + 1 + days * DAY
        for at in (BEGUN + 0.1, until - 0.1):
            assert known.beyond(ONE[name](_utc(at)), BEGUN, until) == [], (days, at)


@pytest.mark.parametrize("name", TWICE)
def test_what_was_prolonged_twice_is_beyond(name: str) -> None:
    known = learnt(ONE[name])
    for days in (0, 0.02, 1.05):
        until = BEGUN + 1 + days * DAY
        assert known.beyond(TWICE[name](_utc(until - 0.1)), BEGUN, until)[:1] == ["over"], days


def test_where_not_each_was_a_time_nothing_is_told() -> None:
    known = learnt(ONE["a moment"])
    known.add("never", BEGUN, BEGUN)
    assert known.beyond(TWICE["a moment"](_utc(BEGUN)), BEGUN, BEGUN + 1) == []
