"""Sleeping costs nothing: the task's own clock goes on by what it wanted to sleep, and the call returns at once."""

from __future__ import annotations

import struct
import time

from harness.egress.listener import Call
from harness.errors import EnvironmentFault
from harness.explore.process_memory import ProcessMemory
from harness.explore.shared_page import SharedPage

__all__ = ["Sleeper", "demand_clock"]

_SECOND = 1_000_000_000
_TIMER_ABSTIME = 1
_CLOCK_SECONDS = 60.0
_FUTEX_CLOCK_REALTIME = 256
_TIMESPEC, _WORD = struct.Struct("=qq"), struct.Struct("=I")
#: Argument that holds how long: a struct timespec, or timeval.
_TIMESPECS = {"nanosleep": 0, "clock_nanosleep": 2, "pselect6": 4, "ppoll": 2, "epoll_pwait2": 3}
#: Nanoseconds: sleeps from so long on are rounded up to multiples of so much.
_ROUNDED = ((500_000_000, 50_000_000), (20_000_000, 10_000_000), (2_000_000, 1_000_000))


class Sleeper:
    """Moves the clocks of the shared page."""

    def __init__(self, page: SharedPage, memory: ProcessMemory) -> None:
        self._page = page
        self._memory = memory

    def sleep(self, call: Call, name: str) -> float | None:
        """So many seconds have passed for the task. None: it waits for something else than time (a signal, for ever)."""
        duration = self._duration(call, name)
        if duration is None:
            return None
        self._page.pass_time(max(0, duration))
        return max(0, duration) / _SECOND

    def _duration(self, call: Call, name: str) -> int | None:
        if name in ("poll", "epoll_wait", "epoll_pwait"):
            milliseconds = call.arguments[2 if name == "poll" else 3] & 0xFFFFFFFF
            return None if milliseconds >= 1 << 31 else milliseconds * 1_000_000
        if name == "futex":
            return self._until_deadline(call)
        where = call.arguments[4 if name == "select" else _TIMESPECS[name]]
        found = self._timespec(call, where)
        if found is None:
            return None
        if name == "select":
            return found[0] * _SECOND + found[1] * 1000
        nanoseconds = found[0] * _SECOND + found[1]
        if name == "clock_nanosleep" and call.arguments[1] & _TIMER_ABSTIME:
            clock = call.arguments[0] & 0xFFFFFFFF
            return _asked(nanoseconds - self._page.now(clock)) if clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, 7) else None
        return nanoseconds

    def _until_deadline(self, call: Call) -> int | None:
        found = self._timespec(call, call.arguments[3])
        clock = time.CLOCK_REALTIME if call.arguments[1] & _FUTEX_CLOCK_REALTIME else time.CLOCK_MONOTONIC
        return None if found is None else _asked(found[0] * _SECOND + found[1] - self._page.now(clock))

    def waits(self, call: Call) -> bool:
        """Of a lock with a time limit: is it held? Else the call returns at once."""
        held = self._memory.read(call.thread, call.arguments[0], _WORD.size)
        return len(held) == _WORD.size and _WORD.unpack(held)[0] == call.arguments[2] & 0xFFFFFFFF

    def _timespec(self, call: Call, where: int) -> tuple[int, int] | None:
        raw = self._memory.read(call.thread, where, _TIMESPEC.size) if where else b""
        if len(raw) < _TIMESPEC.size:
            return None
        seconds, rest = _TIMESPEC.unpack(raw)
        return seconds, rest

    def correct_deadline(self, call: Call) -> None:
        """A lock with a time limit gives the kernel a moment of the task's clock: put the kernel's own in its place."""
        ahead = self._page.wall if call.arguments[1] & _FUTEX_CLOCK_REALTIME else self._page.running
        where = call.arguments[3]
        found = self._timespec(call, where) if ahead else None
        if found is not None:
            moment = max(0, found[0] * _SECOND + found[1] - ahead)
            self._memory.write(call.thread, where, _TIMESPEC.pack(*divmod(moment, _SECOND)))


def _asked(nanoseconds: int) -> int:
    """Of a sleep until a moment, the time is missing that the task, and we, have needed since it looked at its clock for that.

    It is rounded up, as a sleep may always last longer: else a slow machine sees many short sleeps end before a key has expired, and
    a fast one after that.
    """
    grain = next((grain for least, grain in _ROUNDED if nanoseconds > 0.98 * least), 1)
    return -(-nanoseconds // grain) * grain


def demand_clock(shown: float, ahead: float, waited: float) -> None:
    """The task has seen the time that it was to see, ``ahead`` of ours. Who travels through time by himself comes back before his end.

    ``waited``: seconds since it may have looked.
    """
    off = shown - (time.time() + ahead)
    if not -_CLOCK_SECONDS - waited <= off <= _CLOCK_SECONDS:
        raise EnvironmentFault(
            f"the task's clock was {off:+.0f} s off what it was to be",
            hint="this is an error of the explorer, not of your task: nothing was concluded",
        )
