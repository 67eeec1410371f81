"""Stops a delivery at each line of the user's that is about to run: where the kernel stops nobody at effects.

A thread that has come to a line tells the supervisor and waits, inside of its trace callback; a SIGKILL there means that the line
never runs. So it does in the middle of a line, where a function of the user's has returned to it. One thread at a time; what runs in
libraries, and in processes that the task has forked, goes on meanwhile.
"""

from __future__ import annotations

import os
from types import CodeType
from typing import Any, Callable

from celery_harness_agent.frames import Frames
from celery_harness_agent.lines_of_stops import Lines, qualified_name
from celery_harness_agent.shared_page import SharedPage

__all__ = ["LineStops"]

#: So many times in a delivery each line is a stop; of its later turns those whose number is a power of two, so that a long loop ends.
_EVERY_TIME = 8


class LineStops(Lines):
    """``ask``: tells the supervisor, and returns when it lets this thread go on."""

    def __init__(self, page: SharedPage, frames: Frames, ask: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(page, frames)
        self._ask = ask
        self._names: dict[int, dict[str, str]] = {}
        self._backs: dict[tuple[int, int], int] = {}
        self._process = 0
        #: Has a line run in this delivery at which it was not stopped?
        self.passed_over = False

    def start(self) -> None:
        """See `Lines`."""
        self._names, self._backs = {}, {}
        self.passed_over = False
        self._process = os.getpid()
        super().start()

    def stop(self) -> None:
        """See `Lines`. Threads that go on are not stopped any more."""
        self._process = 0
        super().stop()

    def _add(self, code: CodeType, name: str) -> int:
        found = super()._add(code, name)
        if found:
            self._names[found] = {"module": name, "function": qualified_name(code), "file": code.co_filename}
        return found

    def _at(self, line: int) -> None:
        super()._at(line)
        frames = self._thread.frames
        if frames:
            self._stand(frames[-1], frames[-1][2], back=False)

    def _left(self) -> None:
        """The rest of the line that called is still to come: the sending of what the call has made, say."""
        super()._left()
        frames = self._thread.frames
        if frames and frames[-1][1]:
            key = (frames[-1][0], frames[-1][1])
            self._backs[key] = turn = self._backs.get(key, 0) + 1
            self._stand(frames[-1], turn, back=True)

    def _stand(self, place: list[int], turn: int, *, back: bool) -> None:
        """``turn``: so often this very point has been reached. ``back``: in the middle of the line."""
        if self._process != os.getpid():
            return
        if turn > _EVERY_TIME and turn & (turn - 1):
            self.passed_over = True
            return
        number, line, hit = place
        self._ask({"line": line, "hit": hit, "back": turn if back else 0, "often": turn > _EVERY_TIME, **self._names[number]})
