"""Containers that serve one run after another: each takes one process at a time, and is kept only while it is proven clean.

Process 1 in it is the agent's seat.py, which says so (traces.py): no process, no file, no memory and no connection of the run
before is left. Where it cannot, the container is removed, and the next process of that name gets a new one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault
from harness.runtimes.containers.engine import Box, Engine
from harness.runtimes.containers.events import Watcher
from harness.runtimes.containers.folders import Folders, emptied
from harness.runtimes.containers.process import ContainerProcess, Lifeline, Papers
from harness.runtimes.shared.environment import AGENT_FOLDER

__all__ = ["SEATED", "SeatedProcess", "Seats"]

#: What runs in seats. A check has no network, and its answer is kept.
SEATED = frozenset({"worker", "producer", "call"})
_SEAT = AGENT_FOLDER / "celery_harness_agent" / "seat.py"
_TICK = 0.005
_WORKERS = 4
_CLEAN_SECONDS = 30.0


class SeatedProcess(ContainerProcess):
    """See `ContainerProcess`. Its end is not its container's, so nobody tells but its own report."""

    seat: Seat | None = None

    def alive(self) -> bool:
        """Looks whether the report has grown."""
        if self.down is None and self.container.done():
            told = self.papers.told() if self._grown() else {}
            if "status" in told:
                self._end(told["status"], told["status_at"] * 1e-9)
        return self.down is None

    def _grown(self) -> bool:
        try:
            size = self.papers.report.stat().st_size
        except OSError:
            return False
        grown, self._size = size != self._size, size
        return grown

    _size = -1

    def wait(self, seconds: float) -> bool:
        """Until it has ended; did it?"""
        deadline = self.clock.now() + seconds
        while self.alive() and self.clock.now() < deadline:
            self._over.wait(_TICK)
        return not self.alive()

    def pause(self) -> None:
        """See `ContainerProcess`; what a freeze leaves behind nobody can say."""
        if self.seat is not None:
            self.seat.fit = False
        super().pause()

    def _engine_signal(self, box: Any, number: int) -> None:
        """Beyond the seat's own reach: it is not asked again."""
        if self.seat is not None:
            self.seat.fit = False
        super()._engine_signal(box, number)


@dataclass(eq=False)
class Seat:
    """One container. ``sort``: what it was made of; another process of its name that wants something else does not get it."""

    box: Box
    sort: Any
    papers: Papers
    container: Any = None
    fit: bool = True
    process: SeatedProcess | None = None
    cleaning: Future[bool] | None = field(default=None, repr=False)

    def ended(self, code: int, at: float) -> None:
        """The container itself has ended."""
        self.fit = False
        if self.process is not None:
            self.process.ended(code, at)


class Seats:
    """By the name of the part, so that host name and alias are those of a container of its own."""

    def __init__(self, engine: Engine, watcher: Watcher, folders: Folders, outline: Callable[[str, str], Box]) -> None:
        """``folders``: the site's. ``outline(name, image)``: labels and network."""
        self._engine, self._watcher, self._folders, self._outline = engine, watcher, folders, outline
        self._seats: dict[str, Seat] = {}
        self._lifeline = Lifeline(folders.base / "lifeline-seats")
        self._begun = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="seats")

    # --- taking -------------------------------------------------------------------------------------------------

    def start(self, process: SeatedProcess, order: Path, box: Box, python: str) -> Any:
        """Let a process begin in the seat of its name; the container. ``order``: the file with its order."""
        seat = self._clean_seat(box) or self._new_seat(box, python)
        # Nothing of the run before runs in it any more, so what that put into the seat's own folder stays away.
        emptied(self._folders.home(box.part), {seat.papers.control.name, Lifeline.name, order.parent.name})
        seat.process, process.seat = process, seat
        process.papers.control, process.box_name = seat.papers.control, seat.box.name
        said = seat.papers.ask(f"start {order}")
        if said != "1":
            seat.fit = False
            raise EnvironmentFault(f"{box.part} could not be started in its container: {said or 'no answer'}")
        return seat.container

    def _clean_seat(self, box: Box) -> Seat | None:
        with self._lock:
            seat = self._seats.get(box.part)
        if seat is None:
            return None
        if seat.process is not None:  # the life before, of the same run
            self.leave(seat.process)
        # Once more right before its use: somebody may have frozen or entered it from outside since it said that it is clean.
        clean = seat.cleaning is not None and seat.cleaning.result(_CLEAN_SECONDS) and seat.papers.ask("children") == ""
        if clean and seat.fit and seat.sort == _sort(box):
            return seat
        self._give_up(seat)
        return None

    def _new_seat(self, box: Box, python: str) -> Seat:
        outline = self._outline(box.part, box.image)
        home = self._folders.home(box.part)
        papers, lifeline = Papers(home, outline.name), self._line().for_part(home)
        ours = [part for path, _ in box.mounts for part in ("--ours", str(path))]
        argv = [python, "-I", "-S", str(_SEAT), "--control", str(papers.control), "--lifeline", str(lifeline), *ours]
        seat = Seat(replace(box, name=outline.name, labels=outline.labels, argv=argv, env={"HOME": "/tmp"}), _sort(box), papers)
        self._watcher.expect(outline.name, seat.ended)
        seat.container = self._engine.start(seat.box)
        with self._lock:
            self._seats[box.part] = seat
        self._await_control(seat)
        return seat

    def _await_control(self, seat: Seat) -> None:
        """It listens once it has seen what there is before the first process."""
        waited = threading.Event()
        for _ in range(int(_CLEAN_SECONDS / _TICK)):
            if seat.papers.control.exists() and seat.papers.ask("children") is not None:
                return
            if not seat.fit:
                break
            waited.wait(_TICK)
        from harness.runtimes.containers.engine import log_tail

        tail = log_tail(seat.container)
        raise EnvironmentFault(
            f"{seat.box.part}: its container reported nothing to {seat.papers.control.parent}; its last lines:\n  {tail}",
            hint="does the engine run on this machine? its image needs Python 3.8 or later",
        )

    def _line(self) -> Lifeline:
        with self._lock:
            if not self._begun:
                self._lifeline.open()
                self._begun = True
        return self._lifeline

    # --- leaving ------------------------------------------------------------------------------------------------

    def leave(self, process: SeatedProcess) -> None:
        """The process is over, or ends now; whether its seat is clean again is found out in the background."""
        seat, process.seat = process.seat, None
        if seat is None or seat.process is not process:
            return
        seat.process = None
        seat.cleaning = self._pool.submit(self._clean, seat, process)

    def _clean(self, seat: Seat, process: SeatedProcess) -> bool:
        if process.alive():
            with contextlib.suppress(EnvironmentFault):
                process.kill()
        return seat.fit and not process.paused and seat.papers.ask("clean", seconds=_CLEAN_SECONDS) == "1"

    def keep_only(self, wanted: set[str]) -> None:
        """Names that the next run has no use for are nobody's any more."""
        with self._lock:
            others = [seat for name, seat in self._seats.items() if name not in wanted]
        for seat in others:
            self._give_up(seat)

    def _give_up(self, seat: Seat) -> None:
        with self._lock:
            if self._seats.get(seat.box.part) is seat:
                del self._seats[seat.box.part]
        self._watcher.forget(seat.box.name)
        self._engine.remove(seat.box.name)

    def close(self) -> None:
        """Every seat ends; the containers are removed with their labels. Never raises; also twice."""
        self._lifeline.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _sort(box: Box) -> Any:
    return (box.part, box.image, box.user, str(box.cwd), tuple((str(path), mode) for path, mode in box.mounts), id(box.network))
