"""A task's sleeps cost nothing, and its clocks go on by as much: by Python's own means, where the kernel holds no call of it.

`time.sleep` returns at once. The time of day is the shared page's affair (virtual_clock.py); the clocks that only run are moved here
alone, for whoever asks `time`: time limits of locks are moments of the kernel's clock, and have to stay so.
"""

from __future__ import annotations

import sysconfig
import time
from typing import Any, Callable

__all__ = ["OwnTime", "trouble"]

_SECOND = 1_000_000_000


def trouble() -> str:
    """Why the time of day must not be moved here; '' where it may be."""
    if sysconfig.get_config_var("HAVE_SEM_CLOCKWAIT"):
        return ""
    return "this Python was built without sem_clockwait, so the time limit of a lock is a moment of the time of day"


class OwnTime:
    """``pass_time``: seconds -> has the supervisor let the time of day go on by so much? Else the sleep lasts."""

    def __init__(self, pass_time: Callable[[float], bool]) -> None:
        self._pass_time = pass_time
        self._ahead_by = 0  # nanoseconds

    def install(self) -> None:
        """Before anything of the user's is imported: whoever imports `sleep` by its name has this one then."""
        truly_sleep, pass_time = time.sleep, self._pass_time

        def sleep(seconds: Any) -> None:
            """As time.sleep."""
            if isinstance(seconds, (int, float)) and 0 < seconds < float("inf") and pass_time(float(seconds)):
                self.move(int(seconds * _SECOND))
            else:
                truly_sleep(seconds)

        time.sleep = sleep
        for name in ("monotonic", "perf_counter"):
            setattr(time, name, self._ahead(getattr(time, name), _SECOND))
            setattr(time, f"{name}_ns", self._ahead(getattr(time, f"{name}_ns"), 1))

    def move(self, nanoseconds: int) -> None:
        """Let the clocks that only run be further ahead by so much."""
        self._ahead_by += nanoseconds

    def _ahead(self, clock: Callable[[], Any], unit: int) -> Callable[[], Any]:
        def ahead() -> Any:
            """The clock of this name, with what was slept, without what was only looked at."""
            return clock() + (self._ahead_by / unit if unit > 1 else self._ahead_by)

        return ahead
