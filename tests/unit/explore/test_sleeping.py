"""How long a task sleeps that wants to wake at a moment of its clock."""

from __future__ import annotations

import struct
import time
from typing import cast

import pytest

from harness.egress.listener import Call
from harness.explore.process_memory import ProcessMemory
from harness.explore.shared_page import SharedPage
from harness.explore.sleeping import Sleeper

NOW = 5_000_000_000


class Page:
    """Its clock stands."""

    def __init__(self) -> None:
        self.passed = 0

    def now(self, clock: int) -> int:
        return NOW

    def pass_time(self, nanoseconds: int) -> None:
        self.passed += nanoseconds


class Memory:
    """One struct timespec."""

    def __init__(self, nanoseconds: int) -> None:
        self._raw = struct.pack("=qq", *divmod(nanoseconds, 1_000_000_000))

    def read(self, thread: int, where: int, size: int) -> bytes:
        return self._raw


class Waiting:
    """clock_nanosleep until a moment."""

    thread = 1
    arguments = (time.CLOCK_MONOTONIC, 1, 4096, 0, 0, 0)


@pytest.mark.parametrize(
    ("left", "slept"),
    [
        (0.498, 0.5),  # asked for half a second, and the machine was slow
        (0.5, 0.5),
        (0.467, 0.47),
        (0.0931, 0.1),
        (1.96, 2.0),
        (59.0, 59.0),  # never longer than by a twentieth of a second
        (0.0047, 0.005),
        (0.0005, 0.0005),
        (-1.0, 0.0),
    ],
)
def test_a_sleep_until_a_moment_is_as_long_as_it_was_asked_for(left: float, slept: float) -> None:
    page = Page()
    sleeper = Sleeper(cast(SharedPage, page), cast(ProcessMemory, Memory(NOW + round(left * 1e9))))
    assert sleeper.sleep(cast(Call, Waiting()), "clock_nanosleep") == pytest.approx(slept, abs=1e-9)
    assert page.passed == pytest.approx(slept * 1e9, abs=1)
