"""Armed triggers: at the n-th match over all workers, record the strike, then act. See docs/journal.md, "Triggers"."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import Any, Iterable, List, NoReturn, Optional, Tuple

from celery_harness_agent.frames import Frames
from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.settings import Settings

__all__ = ["Armed", "Trigger", "Where"]

NAMED_POINTS = ("start", "end", "before_ack", "after_ack")
_POLL_SECONDS = 0.005

#: file, line, stack: where the user's code was.
Where = Tuple[Optional[str], Optional[int], List[str]]


class Trigger:
    """One trigger. ``spent``: it has fired, here or elsewhere; nothing is counted any more."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.fault: int = int(document["fault"])
        self.task: str = document.get("task") or "*"
        self.point: str = document["point"]
        self.nth: int = int(document.get("nth") or 1)
        self.call: int | None = document.get("call")
        self.action: str = document["action"]
        self.spent = False
        self.file, self.line, self.hit = _line_point(self.point)

    def wants(self, task: str, call: int) -> bool:
        """Is this task, of this call of the load, meant?"""
        return not self.spent and fnmatchcase(task, self.task) and (self.call is None or self.call == call)


def _line_point(point: str) -> tuple[str, int, int]:
    """("pkg/file.py", 41, 2) for pkg/file.py:41#2; hit 0: every one; ("", 0, 0) for a named point."""
    if point in NAMED_POINTS:
        return "", 0, 0
    place, _, hit = point.partition("#")
    file, _, line = place.rpartition(":")
    if not file or not line.isdigit() or (hit and not hit.isdigit()):
        raise ValueError(f"{point!r} is no point: write start, end, before_ack, after_ack, file.py:41 or file.py:41#2")
    return file, int(line), int(hit or 0)


class Armed:
    """The triggers of this worker. ``live``: the harness may arm more while it runs, so nobody may keep what `at` gave."""

    def __init__(self, settings: Settings, journal: Journal, frames: Frames) -> None:
        self._all = [Trigger(document) for document in settings.triggers]
        self._folder = Path(settings.trigger_folder)
        self.live = settings.live
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._emit = journal.emit
        self._frames = frames
        self._main = os.getpid()

    def refresh(self) -> None:
        """Take in what was armed since the last time. The file is replaced in one step, and only ever grows."""
        path = self._folder / "armed.json"
        try:
            state = os.stat(path)  # noqa: PTH116 (at every task)
            now = (state.st_ino, state.st_mtime_ns, state.st_size)
            if now == self._seen:
                return
            documents = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            return
        self._seen = now
        known = {trigger.fault for trigger in self._all}
        self._all += [Trigger(document) for document in documents if document["fault"] not in known]

    def at(self, point: str, task: str | None = None) -> list[Trigger]:
        """Triggers at a named point, for one task where it is given."""
        return [t for t in self._all if t.point == point and (task is None or fnmatchcase(task, t.task))]

    def lines(self, task: str) -> list[Trigger]:
        """Line triggers for one task."""
        return [t for t in self._all if t.file and fnmatchcase(task, t.task)]

    def reach(self, triggers: Iterable[Trigger], task: str, delivery: str, call: int, identity: str, where: Where) -> None:
        """A point was reached: count, and act on the n-th."""
        for trigger in triggers:
            if trigger.wants(task, call) and self._is_nth(trigger):
                self._strike(trigger, task, delivery, identity, where)

    def where(self, frame: FrameType | None) -> Where:
        """Place and stack of the user's code, from a frame outwards."""
        for found in self._frames.user_frames(frame):
            return found.f_code.co_filename, found.f_lineno, self._frames.stack(found)
        return None, None, []

    def _is_nth(self, trigger: Trigger) -> bool:
        """Add one to the counter that all workers share. Locked by flock: POSIX locks do not exclude threads."""
        try:
            descriptor = os.open(self._folder / f"{trigger.fault}.count", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            sys.stderr.write(f"harness agent: a trigger cannot be counted: {exc}\n")
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            number = int(os.read(descriptor, 20) or b"0") + 1
            os.pwrite(descriptor, b"%d" % number, 0)
        finally:
            os.close(descriptor)
        if number >= trigger.nth:
            trigger.spent = True
        return number == trigger.nth

    def _strike(self, trigger: Trigger, task: str, delivery: str, identity: str, where: Where) -> None:
        file, line, stack = where
        self._emit(
            f'{{"k":"strike","m":{mono()},"fault":{trigger.fault},"d":{quoted(delivery)},"id":{quoted(identity)}'
            f',"n":{quoted(task)},"point":{quoted(trigger.point)},"file":{json.dumps(file)},"line":{json.dumps(line)}'
            f',"stack":{json.dumps(stack)},"action":{quoted(trigger.action)}}}\n'
        )
        if trigger.action == "kill_group":
            self._kill_group()
        elif trigger.action == "kill_child":
            _die()
        elif trigger.action == "pause_group":
            self._signal_group(signal.SIGSTOP)
        elif trigger.action == "wait":
            self._wait(trigger, delivery, identity)

    def _kill_group(self) -> NoReturn:
        self._signal_group(signal.SIGKILL)
        _die()

    def _signal_group(self, number: signal.Signals) -> None:
        """To the worker's group where the worker leads one; never to a group that somebody else leads."""
        if os.getpgrp() == self._main:
            os.killpg(self._main, number)
            return
        for pid in {self._main, os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait(self, trigger: Trigger, delivery: str, identity: str) -> None:
        """Hold the task until the harness lets it go; it ends with the harness (parent-death signal)."""
        ids = f'"fault":{trigger.fault},"d":{quoted(delivery)},"id":{quoted(identity)}'
        self._emit(f'{{"k":"waiting","m":{mono()},{ids}}}\n')
        go = self._folder / f"{trigger.fault}.go"
        (self._folder / f"{trigger.fault}.waiting").touch()
        while not go.exists():
            time.sleep(_POLL_SECONDS)
        self._emit(f'{{"k":"released","m":{mono()},{ids}}}\n')


def _die() -> NoReturn:
    """SIGKILL to this process: no `finally`, no `__exit__`, as a crash is."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:  # the signal may need a moment to arrive
        signal.pause()
