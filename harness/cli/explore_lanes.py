"""Several tasks explored at a time. A lane is a process with a system of its own, which takes one task after the other.

Lanes are forks: what has been imported and loaded is there. Each takes the number of its next task from a file that all of them read on
in, and ends when there is none left. Who is at the other end of the channel between a lane and its parent ends it by going.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.cli.explore_system import exploring
from harness.errors import EnvironmentFault, HarnessError, Interrupted, ScenarioError, TaskRefused
from harness.model.scenario import ExploreItem
from harness.run.signals import InterruptGuard

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from harness.model.exploration import Exploration
    from harness.scenario import LoadedScenario

__all__ = ["Lanes", "processors"]

_NUMBER = struct.Struct("!I")
_HEAR_SECONDS = 0.1
_SAY_SECONDS = 0.2
_STOP_SECONDS = 60.0


def processors() -> int:
    """So many may we use: a container's share is often less than what the machine has."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # ValueError: there is no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    return count


@dataclass
class _Lane:
    process: BaseProcess
    channel: Connection
    said: str = ""  # of what it does now


class Lanes:
    """All items of one scenario."""

    def __init__(
        self, loaded: LoadedScenario, items: Sequence[ExploreItem], count: int, run_id: str, folder: Path, points: str, *, says: bool
    ) -> None:
        """``count``: of lanes. ``folder``: below it each has one, for its logs. ``says``: whether anybody looks on."""
        self._count = len(items)
        self._known: dict[int, Exploration | HarnessError] = {}
        self._done = 0
        self._lanes: list[_Lane] = []
        self._numbers = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by `close`)
        try:
            self._numbers.write(b"".join(_NUMBER.pack(number) for number in range(len(items))))
            self._numbers.seek(0)
            for number in range(1, count + 1):
                own_id = f"{run_id[:-4]}{(int(run_id[-4:], 16) + number) % 0x10000:04x}"  # whatever has it is ended with the lane
                self._start(_Work(loaded, items, own_id, folder / f"lane-{number}", points, self._numbers, says))
        except BaseException:
            self.close()
            raise

    def _start(self, work: _Work) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(work, theirs, [ours, *(lane.channel for lane in self._lanes)]))
        try:
            process.start()
        except OSError as exc:
            ours.close()
            raise EnvironmentFault(f"a process that explores cannot be started: {exc}", hint="fewer --jobs need less") from exc
        finally:
            theirs.close()
        self._lanes.append(_Lane(process, ours))

    def result(self, number: int, *, say: Callable[[str], None], check: Callable[[], None]) -> Exploration:
        """Of the item with this number from 0. Raises its error, where it has one."""
        while number not in self._known:
            check()
            self._hear(check)
            say("  ".join([f"{self._done} of {self._count}", *(lane.said for lane in self._lanes)]))
        found = self._known.pop(number)
        if isinstance(found, HarnessError):
            raise found
        return found

    def _hear(self, check: Callable[[], None]) -> None:
        if not self._lanes:
            raise EnvironmentFault("no process is left that explores")
        for channel in wait([lane.channel for lane in self._lanes], _HEAR_SECONDS):
            lane = next(lane for lane in self._lanes if lane.channel is channel)
            try:
                number, found = lane.channel.recv()
            except (EOFError, OSError):
                self._ended(lane, check)
                continue
            if isinstance(found, str):
                lane.said = found
                continue
            if number is None:
                raise found
            self._known[number], lane.said = found, ""
            self._done += 1
            ends_all = isinstance(found, HarnessError) and not isinstance(found, TaskRefused)
            if ends_all:  # what comes before it has been begun; nobody begins what comes after it
                self._numbers.seek(0, os.SEEK_END)

    def _ended(self, lane: _Lane, check: Callable[[], None]) -> None:
        lane.process.join(_STOP_SECONDS)
        if status := lane.process.exitcode:
            check()  # who interrupts us from a terminal interrupts all of us
            hint = "celery-harness clean removes what it has left"
            raise EnvironmentFault(f"a process that explored ended by itself with status {status}", hint=hint)
        self._lanes.remove(lane)
        lane.channel.close()

    def close(self) -> None:
        """No lane is left, and nothing that one has started; also twice."""
        for lane in self._lanes:
            lane.channel.close()
        deadline = time.monotonic() + _STOP_SECONDS
        for lane in self._lanes:
            lane.process.join(max(0.0, deadline - time.monotonic()))
            if lane.process.exitcode is None:
                lane.process.kill()
                lane.process.join()
        self._lanes.clear()
        self._numbers.close()


@dataclass(frozen=True, slots=True)
class _Work:
    """What a lane needs. ``numbers``: of the items that nobody has begun; all lanes share its position."""

    loaded: LoadedScenario
    items: Sequence[ExploreItem]
    run_id: str
    folder: Path
    points: str
    numbers: IO[bytes]
    says: bool


class _Voice:
    """A lane's side of its channel. ``number``: of what it explores; None while its system is started."""

    def __init__(self, channel: Connection, guard: InterruptGuard, *, says: bool) -> None:
        self._channel, self._guard, self._says = channel, guard, says
        self._said = self._looked = 0.0
        self.number: int | None = None
        self.name = ""

    def say(self, text: str) -> None:
        """How far it is; not each word, since there are many."""
        if self._says and time.monotonic() - self._said > _SAY_SECONDS:
            self._said = time.monotonic()
            self.send(f"{self.name}: {text}")

    def send(self, found: Exploration | HarnessError | str) -> None:
        """To the parent; Interrupted where it is gone."""
        try:
            self._channel.send((self.number, found))
        except OSError:
            raise Interrupted(signal.SIGTERM) from None

    def check(self) -> None:
        """Raises Interrupted for a signal that came, and where the parent is gone or wants no more: it never says anything else."""
        self._guard.check()
        if time.monotonic() - self._looked > _SAY_SECONDS:
            self._looked = time.monotonic()
            if self._channel.poll():
                raise Interrupted(signal.SIGTERM)


def _run(work: _Work, channel: Connection, others: Sequence[Connection]) -> None:
    """A lane, from its beginning to its end."""
    for other in others:
        other.close()  # or nobody would see that the other end is gone
    with InterruptGuard() as guard, closing(channel):
        voice = _Voice(channel, guard, says=work.says)
        try:
            _explore(work, voice)
        except Interrupted as exc:
            raise SystemExit(exc.exit_code) from None
        except Exception as exc:
            with contextlib.suppress(Interrupted):
                voice.send(_told(exc))


def _explore(work: _Work, voice: _Voice) -> None:
    with exploring(work.loaded, work.items, work.run_id, work.folder, work.points) as explorer:
        while number := work.numbers.read(_NUMBER.size):
            voice.number = _NUMBER.unpack(number)[0]
            item = work.items[voice.number]
            voice.name = item.task
            voice.check()
            try:
                voice.send(explorer.explore(item, say=voice.say, check=voice.check))
            except TaskRefused as exc:
                voice.send(_told(exc))


def _told(exc: Exception) -> HarnessError:
    """The same for the parent: by its exit code, as other processes cannot be handed every exception."""
    if isinstance(exc, HarnessError):
        refused = TaskRefused if isinstance(exc, TaskRefused) else ScenarioError
        kind = refused if exc.exit_code == ScenarioError.exit_code else EnvironmentFault
        return kind(exc.what, where=exc.where, hint=exc.hint)
    last = traceback.extract_tb(exc.__traceback__)[-1]
    what = f"the harness itself failed: {type(exc).__name__}: {exc} ({last.filename}:{last.lineno})"
    return EnvironmentFault(what, hint="this is a bug of the harness; --jobs 1 --verbose shows the whole traceback")
