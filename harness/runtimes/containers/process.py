"""A worker or the producer in a container: the same contract as a process of this machine.

Process 1 is the agent's init (init.py), which speaks to us through files of the run's folder: so signals to single processes,
their list and the exact end cost no call of the engine. Pids are those inside plus a base that no other container has.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from docker.errors import APIError

from harness.errors import EnvironmentFault
from harness.ports.clock import Clock
from harness.runtimes.containers.engine import Engine

__all__ = ["ContainerProcess", "Life", "Lifeline", "Papers"]

_START_SECONDS = 60.0
#: The engine's own status for what it could not start.
_NOT_STARTED = 125
_KILL_SECONDS = 15.0
_CONTROL_SECONDS = 2.0
#: Asked once a second, in the run's own loop.
_USE_SECONDS = 0.2


class Life:
    """One life of one container, from its start to its end. What `Managed` says of every process, on engine calls alone."""

    def __init__(self, name: str, kind: str, log: Path, clock: Clock, engine: Engine, *, group: str = "", pid_base: int = 0) -> None:
        self.name, self.kind, self.group, self.log = name, kind, group, log
        self.clock, self.engine, self.pid_base = clock, engine, pid_base
        self.up = clock.now()
        self.down: float | None = None
        self.expected_end = False
        self.reported = False
        self.known_children: set[int] = set()
        self.paused = False
        #: The SDK's container, once it has started; its exception, where that failed.
        self.container: Future[Any] = Future()
        self._status: int | None = None
        self._over = threading.Event()

    @property
    def pid(self) -> int:
        """Of process 1."""
        return self.pid_base + 1

    @property
    def status(self) -> int | None:
        """As subprocess has it; an engine says 128 + signal."""
        return self._status

    def alive(self) -> bool:
        """Until the engine has told its end; costs nothing."""
        return self.down is None

    def ended(self, code: int, at: float) -> None:
        """The engine says so."""
        self._end(128 - code if code > 128 else code, at)

    def _end(self, status: int, at: float) -> None:
        if self.down is None:
            self._status = status
            self.down = at
            self._over.set()

    def wait(self, seconds: float) -> bool:
        """Until it has ended; did it?"""
        return self._over.wait(seconds)

    def box(self) -> Any:
        """The SDK's container. Waits while it starts in the background; raises what went wrong there."""
        try:
            return self.container.result(_START_SECONDS)
        except FutureTimeout:
            raise EnvironmentFault(f"{self.name}: its container did not start within {_START_SECONDS:.0f} s") from None

    def children(self) -> list[int]:
        """None that we know."""
        return []

    def use(self) -> tuple[float, int] | None:
        """Nothing that we know."""
        return None

    def kill(self) -> tuple[int, ...]:
        """SIGKILL to everything in it; nothing of it runs any more when this returns."""
        try:
            if not self.alive():
                return ()
            box = self.box()
        except EnvironmentFault:  # it never started, which `ContainerHost.check` tells
            return ()
        hit = (self.pid, *self.children())
        if not self._kill_at_once():
            self._engine_signal(box, signal.SIGKILL)
            if not self.wait(_KILL_SECONDS):
                raise EnvironmentFault(f"{self.name} survived SIGKILL for {_KILL_SECONDS:.0f} s")
        return hit

    def _kill_at_once(self) -> bool:
        """A way that is faster than the engine's; was it there?"""
        return False

    def kill_child(self, pid: int) -> bool:
        """Nobody's child is known here."""
        return False

    def signal_main(self, number: int) -> None:
        """To process 1; gone already is fine."""
        if self.alive():
            self._engine_signal(self.box(), number)

    def _engine_signal(self, box: Any, number: int) -> None:
        with self.engine.asking(self.name, "signalled"):
            try:
                box.kill(signal=int(number))
            except APIError as exc:
                if exc.status_code not in (404, 409):  # it ended meanwhile
                    raise

    def pause(self) -> None:
        """The kernel's freezer: nothing in it runs, and nothing in it can tell."""
        if not self.alive():
            raise EnvironmentFault(f"{self.name} is not running, so it cannot be paused")
        if not self.paused:
            with self.engine.asking(self.name, "paused"):
                self.box().pause()
            self.paused = True

    def resume(self) -> None:
        """Thaw it; a no-op where it runs."""
        if self.paused and self.alive():
            with self.engine.asking(self.name, "resumed"):
                self.box().unpause()
        self.paused = False

    def tell(self, line: str) -> None:
        """It has no standard input."""
        raise EnvironmentFault(f"{self.name} takes no input", where=str(self.log))

    def close_input(self) -> None:
        """It has none."""


class Lifeline:
    """A FIFO that this process holds open: when it lets go, by its death too, all that wait at its other end end."""

    name = "lifeline"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def open(self) -> None:
        """Once."""
        os.mkfifo(self._path, 0o600)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def for_part(self, folder: Path) -> Path:
        """The same one under a name in another folder, which is all that a part sees."""
        path = folder / self.name
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(self._path)
        return path

    def close(self) -> None:
        """Let go; also twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
            self._path.unlink(missing_ok=True)


class Papers:
    """The files through which one life's init speaks with us. Made before the start, removed with the run's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.report = folder / f"{name}.report"
        self.control = folder / f"{name}.sock"
        self.stdin = folder / f"{name}.in"
        self.answer = folder / f"{name}.out"
        self.order = folder / f"{name}.order"

    def told(self) -> dict[str, int]:
        """pid, and once it has ended status; each with its time in ns ('pid_at', 'status_at').

        A line that is only half there, or no word of init's, says nothing: whoever is killed in the middle of one writes no more.
        """
        found: dict[str, int] = {}
        lines: list[bytes] = []
        with contextlib.suppress(OSError):
            lines = self.report.read_bytes().splitlines()
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                document = json.loads(line)
                if not isinstance(document, dict) or not isinstance(at := document.get("at"), int):
                    continue
                for key in ("pid", "status"):
                    if isinstance(value := document.get(key), int):
                        found[key], found[f"{key}_at"] = value, at
        return found

    def ask(self, words: str, *, seconds: float = _CONTROL_SECONDS) -> str | None:
        """One line to init, its answer; None where it cannot (not there any more, frozen)."""
        try:
            folder = os.open(self.control.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(seconds)
                    connection.connect(f"/proc/self/fd/{folder}/{self.control.name}")  # a path of a socket has 107 bytes at most
                    connection.sendall(words.encode() + b"\n")
                    return connection.makefile().readline().strip()
            finally:
                os.close(folder)
        except OSError:
            return None


class ContainerProcess(Life):
    """See `Managed`. ``alias``: its name on the network; ``box_name``: the engine's name of the container."""

    def __init__(
        self,
        name: str,
        kind: str,
        log: Path,
        clock: Clock,
        engine: Engine,
        papers: Papers,
        box_name: str,
        *,
        group: str = "",
        pid_base: int = 0,
        stdin: bool = False,
    ) -> None:
        super().__init__(name, kind, log, clock, engine, group=group, pid_base=pid_base)
        self.papers, self.box_name = papers, box_name
        #: While it is off the network: the address that it had there. Kept by `ContainerHost`.
        self.left_address: str | None = None
        self.container_id = ""
        self._inner_pid = 0
        self._input = _open_fifo(papers.stdin) if stdin else -1

    @property
    def pid(self) -> int:
        """The main process, as its journal has it; waits for a start that is under way."""
        if not self._inner_pid:
            with contextlib.suppress(EnvironmentFault):
                self.box()
            self._inner_pid = self.papers.told().get("pid", 0)
        return self.pid_base + (self._inner_pid or 1)

    def ended(self, code: int, at: float) -> None:
        """Init knows the main process's own end better than the engine, if it lived to tell."""
        told = self.papers.told()
        if "status" in told:
            self._end(told["status"], told["status_at"] * 1e-9)
        else:
            super().ended(code, at)

    def started_as(self, container: Any) -> None:
        """It runs, so it counts from now on; `box` waits for its first report as well."""
        self.container_id = str(container.id)

    def failed_to_start(self) -> None:
        """There is nothing that could end any more."""
        self._end(_NOT_STARTED, self.clock.now())

    def children(self) -> list[int]:
        """Everything but the main process, orphans too; those known last where it is frozen."""
        if not self.alive() or not self.container.done():
            return []
        answer = None if self.paused else self.papers.ask("children")
        if answer is None:
            return sorted(self.known_children) if self.alive() else []
        found = [self.pid_base + int(pid) for pid in answer.split()]
        self.known_children.update(found)
        return found

    def use(self) -> tuple[float, int] | None:
        """As init sees it, in a millisecond: the engine takes two seconds to say. None where it is frozen."""
        if self.paused or not self.alive() or not self.container.done():
            return None
        answer = (self.papers.ask("use", seconds=_USE_SECONDS) or "").split()
        return (float(answer[0]), int(answer[1])) if len(answer) == 2 else None

    def _kill_at_once(self) -> bool:
        """Init kills all the others, and says when they are gone: 5 ms in place of the engine's 100, which end it as well."""
        if self.paused or self.papers.ask("end") != "1":
            return False
        self.ended(128 + signal.SIGKILL, self.clock.now())
        return True

    def kill_child(self, pid: int) -> bool:
        """From inside, as a process's own parent would see it."""
        return self.papers.ask(f"signal {pid - self.pid_base} {signal.SIGKILL:d}") == "1"

    def signal_main(self, number: int) -> None:
        """Through init; through the engine, which init passes on, where that does not answer."""
        if self.alive():
            box = self.box()
            if self.paused or self.papers.ask(f"signal {self.pid - self.pid_base} {int(number)}") is None:
                self._engine_signal(box, number)

    def resume(self) -> None:
        """Out of the freezer; and SIGCONT for a group that an armed trigger stopped from inside."""
        super().resume()
        if self.alive() and self.container.done():
            self.papers.ask(f"group {signal.SIGCONT:d}")

    def tell(self, line: str) -> None:
        """Through a FIFO. It has room for far more lines than a run sends."""
        if self._input < 0 or not self.alive():
            raise EnvironmentFault(f"{self.name} ended early; its log says why", where=str(self.log))
        try:
            os.write(self._input, line.encode() + b"\n")
        except OSError as exc:
            raise EnvironmentFault(f"{self.name} takes no more input: {exc.strerror}", where=str(self.log)) from None

    def close_input(self) -> None:
        """Its end: we are the only writer. Also twice."""
        descriptor, self._input = self._input, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _open_fifo(path: Path) -> int:
    """Open for both ways, so that it neither waits for the reader nor breaks before there is one."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
