from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.explore.deadlines import REACH, left_until, moments, waits

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (int(NOW) + 60, [NOW + 60]),
        (NOW + 0.5, [NOW + 0.5]),
        (str(NOW + 60), [NOW + 60]),
        (int(NOW * 1000), [NOW]),
        (int(NOW * 1e9), [NOW]),
        ("2026-11-18T11:07:40Z", [NOW + 60]),
        ("2026-11-18 12:07:40+01:00", [NOW + 60]),
        ("2026-11-18T12:07:40.5+0100", [NOW + 60.5]),
        ("2026-11-18T11:07:40.123456789+00", [NOW + 60.123456]),
        ("owner-7|2026-11-18T11:07:40Z", [NOW + 60]),
        (f"owner-7|{int(NOW) + 60}", [NOW + 60]),
        ("2026-11-18", []),  # a day has no moment
        ("2027-11-18T11:07:40Z", []),
        (1_234_567_890, []),
        (900, []),
        (True, []),
        (None, []),
        ("2026-13-45T99:07:40Z", []),
        ('{"a": "2026-11-18T11:07:40Z"}', []),  # its leaves are asked one by one
        ("x" * 5000 + "2026-11-18T11:07:40Z", []),
    ],
)
def test_moments(value: object, expected: list[float]) -> None:
    assert [round(moment, 6) for moment in moments(value, NOW)] == expected


def test_where_a_time_is_meant_it_may_be_more_than_a_year_away() -> None:
    assert list(moments("2027-11-18T11:06:40Z", NOW, REACH)) == [NOW + 365 * 86400]
    assert list(moments(NOW - 466 * 86400, NOW, REACH)) == [NOW - 466 * 86400]


def test_a_moment_without_an_offset_may_be_utc_or_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    try:
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        assert sorted(moments("2026-11-18 11:07:40", NOW)) == [NOW + 60 - 3600, NOW + 60]
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert list(moments("2026-11-18 11:07:40", NOW)) == [NOW + 60]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "past"), (0, "past"), (0.01, 1), (59.2, 60), (60, 60), (60.4, 60), (61, 120), (3599.9, 3600), (86_399, 86_400)],
)
def test_what_is_left_counts_as_the_next_round_number(seconds: float, expected: object) -> None:
    assert left_until(seconds) == expected


@given(st.lists(st.floats(-100, 1e6), max_size=6))
def test_each_wait_is_beyond_its_moment_and_before_the_next(left: list[float]) -> None:
    found = waits(left)
    ahead = sorted(seconds for seconds in left if seconds > 0)
    assert list(found) == sorted(found)
    passed = [sum(1 for seconds in ahead if seconds < wait) for wait in found]
    assert passed == sorted(set(passed)), "each wait lets something more pass"
    assert not ahead or passed[-1] == len(ahead)
    for earlier, later in pairwise(ahead):
        if later - earlier >= 1.0:
            assert any(earlier < wait <= later for wait in found)


def test_some_milliseconds_make_no_other_wait() -> None:
    assert waits([59.93, 3599.2]) == waits([59.2, 3599.9]) == (62.0, 3602.0)
    assert waits([]) == () == waits([-5.0])
