"""Alarms of a task (signal.alarm, setitimer). None rings: on a slow machine, or while we look at it, one would ring too early."""

from __future__ import annotations

import struct
import time

from harness.egress.listener import Call
from harness.explore.process_memory import ProcessMemory

__all__ = ["Alarms", "seconds_of_timer"]

#: struct itimerval: struct timeval it_interval, it_value.
_ITIMERVAL, _ITIMER_REAL = struct.Struct("=4q"), 0

_RINGS = "the task sets an alarm (signal.alarm, setitimer), and is at work or asleep for longer than that: here it does not ring"
_LEFT = "the task ends with an alarm set (signal.alarm, setitimer), which would ring in its worker later: here it does not"


class Alarms:
    """Of one delivery: the one that is set, if any."""

    def __init__(self) -> None:
        self._due: tuple[float, float] | None = None  # seconds that it has slept by then; our clock then
        self._doubt = ""

    def set(self, seconds: float, slept: float, *, really: bool) -> None:
        """Instead of the one before; 0: there is none any more. ``slept``, ``really``: see `pass_time`."""
        self.pass_time(slept, really=really)
        self._due = (slept + seconds, time.monotonic() + seconds) if seconds else None

    def pass_time(self, slept: float, *, really: bool) -> None:
        """So long it has slept now. ``really``: other threads or processes of it work beside it, so that time itself counts too."""
        if self._due is not None and (slept >= self._due[0] or (really and time.monotonic() >= self._due[1])):
            self._due, self._doubt = None, _RINGS

    def end(self, slept: float, *, really: bool, over: bool) -> dict[str, None]:
        """Why nothing is proven, in words, where that is so; as for `pass_time`. ``over``: the task has come to its end."""
        self.pass_time(slept, really=really)
        if over and self._due is not None:
            return {_LEFT: None}
        return {self._doubt: None} if self._doubt else {}

    @property
    def waits(self) -> str:
        """'' or, in words, what it may wait for."""
        return "; the alarm that it has set does not ring here" if self._due is not None or self._doubt else ""


def seconds_of_timer(call: Call, memory: ProcessMemory) -> float | None:
    """Of a call of setitimer, which is told that none was set before; None where it asks for no alarm."""
    which, new, old = call.arguments[:3]
    raw = memory.read(call.thread, new, _ITIMERVAL.size) if new else b""
    if which & 0xFFFFFFFF != _ITIMER_REAL or len(raw) < _ITIMERVAL.size:
        return None
    if old:
        memory.write(call.thread, old, bytes(_ITIMERVAL.size))
    _, _, seconds, microseconds = _ITIMERVAL.unpack(raw)
    return float(seconds + microseconds / 1e6)
