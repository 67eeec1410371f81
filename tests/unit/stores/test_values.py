from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.stores._values import canonical, digest, stamp


@pytest.mark.parametrize(
    ("value", "expected"), [(b"text", "text"), (b"\xff\x00", "x'ff00'"), (bytearray(b"a"), "a"), (3, 3), (None, None), ("x", "x")]
)
def test_bytes_become_text_or_hex(value: object, expected: object) -> None:
    assert canonical(value) == expected


def test_digests_tell_values_apart() -> None:
    assert digest([1, "1"]) == digest([1, "1"]) != digest(["1", 1])


def entry(path: Path, changed_ns: int) -> os.stat_result:
    values = list(path.stat())
    return os.stat_result(values, {"st_mtime_ns": changed_ns, "st_ctime_ns": changed_ns})


def test_what_changed_long_ago_keeps_its_stamp(tmp_path: Path) -> None:
    old = entry(tmp_path, time.time_ns() - 10**9)
    assert stamp(lambda: [("a", old)]) == stamp(lambda: [("a", old)])
    assert stamp(lambda: [("a", old)]) != stamp(lambda: [("b", old)])
    assert stamp(lambda: []) == stamp(lambda: [])


def test_a_stamp_taken_within_the_tick_of_a_change_is_never_met_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change in that tick leaves the same times behind, so equality would prove nothing."""

    def frozen() -> list[tuple[str, os.stat_result]]:
        return [("a", entry(tmp_path, moment))]

    moment = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    assert stamp(frozen) != stamp(frozen)


def test_a_change_just_now_is_waited_out(tmp_path: Path) -> None:
    changed = entry(tmp_path, time.time_ns())
    first = stamp(lambda: [("a", changed)])
    assert first == stamp(lambda: [("a", changed)])


def test_a_second_change_in_the_same_tick_is_seen(tmp_path: Path) -> None:
    """The look that met the first change comes back after the tick, when the second has left its mark."""
    moment = time.time_ns()
    looks = iter([[("a", entry(tmp_path, moment))], [("a", entry(tmp_path, moment + 1))]])
    assert stamp(lambda: next(looks)) == stamp(lambda: [("a", entry(tmp_path, moment + 1))])
