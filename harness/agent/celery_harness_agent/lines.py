"""Line triggers: a trace function that is in force only while a task runs for which one is armed.

`sys.settrace` is per thread, and greenlets of a thread share it: so the function is set by the first armed task of a
thread and removed by the last, and every hit asks the context which delivery it belongs to.
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any, Callable

from celery_harness_agent.context import call_of, delivery_of, running
from celery_harness_agent.triggers import Armed, Trigger

__all__ = ["Lines", "same_file"]

_TraceFunction = Callable[[FrameType, str, Any], Any]


class Lines:
    """Watches the lines of all armed line triggers of this process."""

    def __init__(self, armed: Armed) -> None:
        self._armed = armed
        self._hits: dict[tuple[str, int], int] = {}
        self._executions: dict[str, tuple[str, str, list[Trigger]]] = {}
        self._codes: dict[CodeType, bool] = {}
        self._threads = threading.local()

    def enter(self, task: str, delivery: str, identity: str, triggers: list[Trigger]) -> None:
        """An execution begins: watch its lines."""
        self._executions[delivery] = (task, identity, triggers)
        depth = getattr(self._threads, "depth", 0)
        if depth == 0:
            self._threads.before = sys.gettrace()
            sys.settrace(self._on_call)
        self._threads.depth = depth + 1

    def leave(self, delivery: str) -> None:
        """It has ended."""
        _, _, triggers = self._executions.pop(delivery)
        for trigger in triggers:
            self._hits.pop((delivery, trigger.fault), None)
        self._threads.depth -= 1
        if self._threads.depth == 0:
            sys.settrace(self._threads.before)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> _TraceFunction | None:
        code = frame.f_code
        watched = self._codes.get(code)
        if watched is None:
            watched = self._codes[code] = self._holds_a_point(code)
        return self._on_line if watched else None

    def _holds_a_point(self, code: CodeType) -> bool:
        wanted = {t.line for _, _, triggers in self._executions.values() for t in triggers if same_file(code.co_filename, t.file)}
        return bool(wanted) and any(line in wanted for _, line in dis.findlinestarts(code))

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> _TraceFunction:
        if event == "line":
            request = running()
            delivery = delivery_of(request)
            execution = self._executions.get(delivery)
            if execution is not None:
                self._reached(frame, delivery, call_of(request), *execution)
        return self._on_line

    def _reached(self, frame: FrameType, delivery: str, call: int, task: str, identity: str, triggers: list[Trigger]) -> None:
        for trigger in triggers:
            if frame.f_lineno != trigger.line or trigger.spent or not same_file(frame.f_code.co_filename, trigger.file):
                continue
            key = (delivery, trigger.fault)
            self._hits[key] = hit = self._hits.get(key, 0) + 1
            if trigger.hit in (0, hit):
                self._armed.reach([trigger], task, delivery, call, identity, self._armed.where(frame))


def same_file(filename: str, wanted: str) -> bool:
    """Does the path end in the one that the scenario names (whole components)?"""
    return filename == wanted or filename.endswith(os.sep + wanted.lstrip("./"))
