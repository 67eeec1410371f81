"""Keeps the user's innermost line, and those that called it, in the shared page at every moment: where the task is when it is stopped.

A library's line is not the user's, but the line that called it still is; so calls and returns are followed, per thread.
`sys.monitoring` where there is one (3.12), which leaves library code at its speed; `sys.settrace` before.
"""

from __future__ import annotations

import ast
import inspect
import os
import struct
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable

from celery_harness_agent.frames import Frames
from celery_harness_agent.shared_page import DEPTH, END_OF_TEXTS, PLACE_COUNT, PLACE_SIZE, PLACES, SIZE, SharedPage

__all__ = ["Lines", "qualified_name"]

_PLACE = struct.Struct(f"<{1 + 3 * DEPTH:d}I")
_LENGTH = struct.Struct("<I")
_TOOL = "celery-harness"
#: One that no tool of Python's own documentation claims (debugger 0, coverage 1, profiler 2, optimizer 5).
_TOOL_IDS = (4, 3)
_GOES_ON = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def qualified_name(code: Any) -> str:
    """As far as this Python knows it (3.11)."""
    return str(getattr(code, "co_qualname", code.co_name))


def _returns(file: str) -> set[int]:
    """The lines of its return statements."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Return))
    return {line for node in found for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


class _Thread(threading.local):
    """Frames of the user's that are running in one thread, innermost last: [code, line, hit]."""

    def __init__(self) -> None:
        self.frames: list[list[int]] = []
        self.slot = 0


class Lines:
    """Follows one delivery, in this process and in those that it forks."""

    def __init__(self, page: SharedPage, frames: Frames) -> None:
        self._memory = page.memory
        self._frames = frames
        self._codes: dict[CodeType, int] = {}
        self._hits: dict[tuple[int, int], int] = {}  # in the order in which they ran last
        self._thread = _Thread()
        self._lock = threading.Lock()
        self._stop: Callable[[], None] = lambda: None
        os.register_at_fork(after_in_child=self._forked)

    def start(self) -> None:
        """From here on. The page is empty: every delivery starts its own table."""
        self._codes, self._hits, self._thread = {}, {}, _Thread()
        monitoring = getattr(sys, "monitoring", None)
        tool = next((number for number in _TOOL_IDS if monitoring.get_tool(number) is None), None) if monitoring else None
        if tool is None:
            self._trace()
        else:
            self._monitor(monitoring, tool)

    def stop(self) -> None:
        """No more."""
        self._stop()
        self._stop = lambda: None

    def left_at(self, code: CodeType) -> dict[str, Any] | None:
        """Where a function of the user's returned last: what it leaves by may be a line before that, such as its `with`."""
        run = [line for number, line in self._hits if number == self._codes.get(code)]
        if not run:
            return None
        returns = _returns(code.co_filename)
        line = next((line for line in reversed(run) if line in returns), run[-1])
        name = next((module.__name__ for module in list(sys.modules.values()) if getattr(module, "__file__", "") == code.co_filename), "")
        return {"module": name, "function": qualified_name(code), "file": code.co_filename, "line": line}

    # --- what both ways tell -------------------------------------------------------------------------------------------

    def _entered(self, code: CodeType, name: str) -> bool:
        """Is it the user's? Then it is the innermost from here on."""
        number = self._codes.get(code)
        if number is None:
            number = self._codes[code] = self._add(code, name) if self._frames.is_user(code.co_filename) else 0
        if not number:
            return False
        self._thread.frames.append([number, 0, 0])
        return True

    def _resumed(self, line: int) -> None:
        """A generator or a coroutine goes on in the middle of a line: it does not begin to run again, but it is where the thread is."""
        place = self._thread.frames[-1]
        place[1], place[2] = line, self._hits.get((place[0], line), 1)
        self._show()

    def _at(self, line: int) -> None:
        frames = self._thread.frames
        if frames:
            place = frames[-1]
            key = (place[0], line)
            self._hits[key] = hit = self._hits.pop(key, 0) + 1
            place[1], place[2] = line, hit
            self._show()

    def _left(self) -> None:
        frames = self._thread.frames
        if frames:
            frames.pop()
        self._show()

    def _show(self) -> None:
        """Where this thread is: the line that runs, and from which lines it was called."""
        thread = self._thread
        if not thread.slot:
            with self._lock:
                slots = range(PLACES, PLACES + PLACE_SIZE * PLACE_COUNT, PLACE_SIZE)
                thread.slot = next((at for at in slots if _PLACE.unpack_from(self._memory, at)[0] == 0), 0)
            if not thread.slot:
                return
        places = [number for place in thread.frames[: -DEPTH - 1 : -1] for number in place]
        places += [0] * (3 * DEPTH - len(places))
        _PLACE.pack_into(self._memory, thread.slot, threading.get_native_id(), *places)

    def _add(self, code: CodeType, name: str) -> int:
        """Write its text behind the others; its offset, 0 where there is no room."""
        text = "\0".join((name, qualified_name(code), code.co_filename)).encode("utf-8", "replace")
        with self._lock:
            (at,) = _LENGTH.unpack_from(self._memory, END_OF_TEXTS)
            if at + _LENGTH.size + len(text) > SIZE:
                return 0
            start = at + _LENGTH.size
            self._memory[start : start + len(text)] = text
            _LENGTH.pack_into(self._memory, at, len(text))
            _LENGTH.pack_into(self._memory, END_OF_TEXTS, start + len(text))
            return int(at)

    def _forked(self) -> None:
        """A process that the task forked keeps a place of its own, and the frames that it came with."""
        self._lock = threading.Lock()
        self._thread.slot = 0

    # --- sys.settrace ----------------------------------------------------------------------------------------------------

    def _trace(self) -> None:
        def local(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                self._at(frame.f_lineno)
            elif event == "return":
                self._left()
            return local

        def every_call(frame: FrameType, event: str, _: Any) -> Any:
            code = frame.f_code
            if not self._entered(code, str(frame.f_globals.get("__name__", ""))):
                return None
            if code.co_flags & _GOES_ON and frame.f_lineno != code.co_firstlineno:
                self._resumed(frame.f_lineno)
            return local

        before = sys.gettrace()

        def stop() -> None:
            sys.settrace(before)
            threading.settrace(before)  # type: ignore[arg-type]

        self._stop = stop
        threading.settrace(every_call)
        sys.settrace(every_call)

    # --- sys.monitoring --------------------------------------------------------------------------------------------------

    def _monitor(self, monitoring: Any, tool: int) -> None:
        events = monitoring.events
        lines = events.LINE | events.PY_RETURN | events.PY_YIELD

        def begun(code: CodeType, frame: FrameType) -> Any:
            if not self._entered(code, str(frame.f_globals.get("__name__", ""))):
                return monitoring.DISABLE
            if not monitoring.get_local_events(tool, code):
                monitoring.set_local_events(tool, code, lines)
            return None

        def entered(code: CodeType, _: int) -> Any:
            return begun(code, sys._getframe(1))

        def resumed(code: CodeType, _: int) -> Any:
            frame = sys._getframe(1)
            if begun(code, frame) is monitoring.DISABLE:
                return monitoring.DISABLE
            self._resumed(frame.f_lineno)
            return None

        def thrown_into(code: CodeType, _: int, __: BaseException) -> None:
            frame = sys._getframe(1)
            if self._entered(code, str(frame.f_globals.get("__name__", ""))):
                self._resumed(frame.f_lineno)

        def unwound(code: CodeType, _: int, __: BaseException) -> None:
            if self._codes.get(code):
                self._left()

        monitoring.use_tool_id(tool, _TOOL)
        callbacks = {
            events.PY_START: entered,
            events.PY_RESUME: resumed,
            events.PY_THROW: thrown_into,
            events.PY_UNWIND: unwound,
            events.LINE: lambda code, line: self._at(line),
            events.PY_RETURN: lambda code, at, value: self._left(),
            events.PY_YIELD: lambda code, at, value: self._left(),
        }
        for event, callback in callbacks.items():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW | events.PY_UNWIND)
        monitoring.restart_events()

        def stop() -> None:
            monitoring.set_events(tool, events.NO_EVENTS)
            monitoring.free_tool_id(tool)

        self._stop = stop
