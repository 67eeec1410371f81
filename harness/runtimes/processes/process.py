"""One process of ours: in a session of its own, with a log, that dies with us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from harness.errors import EnvironmentFault
from harness.ports.clock import Clock
from harness.runtimes.processes.use import use_of

__all__ = ["LAUNCHER", "ManagedProcess", "spawn"]

#: Sets a parent-death signal and execs: the process ends when the harness does, also after a SIGKILL of it.
LAUNCHER = Path(__file__).resolve().parents[2] / "agent" / "celery_harness_agent" / "launch.py"
_STOP_SECONDS = 5.0


@dataclass
class ManagedProcess:
    """A started process and the leader of its own group (pgid == pid)."""

    name: str
    kind: str
    popen: subprocess.Popen[bytes]
    log: Path
    clock: Clock
    up: float
    group: str = ""
    down: float | None = None
    expected_end: bool = False
    reported: bool = False
    known_children: set[int] = field(default_factory=set)
    _buried: bool = False

    @property
    def pid(self) -> int:
        """The main process."""
        return self.popen.pid

    def alive(self) -> bool:
        """Running (a zombie is not)."""
        if self.down is None and self.popen.poll() is not None:
            self.down = self.clock.now()
        return self.down is None

    def children(self) -> list[int]:
        """Pids of the children that run now, by pid."""
        try:
            found = sorted(p.pid for p in psutil.Process(self.pid).children(recursive=True))
        except psutil.Error:
            return []
        self.known_children.update(found)
        return found

    def use(self) -> tuple[float, int] | None:
        """(processor seconds, resident bytes), with its children's; None where it is gone."""
        return use_of(self.pid) if self.alive() else None

    @property
    def status(self) -> int | None:
        """As subprocess has it."""
        return self.popen.returncode if not self.alive() else None

    def signal_group(self, number: int) -> None:
        """Signal the whole session's group; gone already is fine."""
        if self._buried:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def signal_main(self, number: int) -> None:
        """Signal the main process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> tuple[int, ...]:
        """SIGKILL the group and reap it; the pids that were hit. Orphans in the group go too."""
        if self._buried:
            return ()
        hit = (self.pid, *self.children()) if self.alive() else ()
        family = _processes(hit[1:])
        self.signal_group(signal.SIGKILL)
        for child in family:  # one may have left the group: PostgreSQL's backends each lead their own
            with contextlib.suppress(psutil.Error):
                child.kill()
        _wait_until_ended(family, self.clock)
        if self.alive():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(10)
        # Its number may be another's from now on: never signal it again.
        self._buried = not self.alive()
        return hit

    def kill_child(self, pid: int) -> bool:
        """SIGKILL to one child."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def pause(self) -> None:
        """SIGSTOP to the group; waits until the kernel says so."""
        self.signal_group(signal.SIGSTOP)
        deadline = self.clock.now() + _STOP_SECONDS
        while not self.stopped() and self.alive():
            if self.clock.now() > deadline:
                self.resume()  # nobody else would
                raise EnvironmentFault(f"{self.name} did not stop on SIGSTOP within {_STOP_SECONDS:.0f} s")
            self.clock.sleep(0.005)

    def resume(self) -> None:
        """SIGCONT to the group."""
        self.signal_group(signal.SIGCONT)

    def tell(self, line: str) -> None:
        """One line to its standard input."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(line.encode() + b"\n")
            self.popen.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise EnvironmentFault(f"{self.name} ended early; its log says why", where=str(self.log)) from None

    def close_input(self) -> None:
        """End of its standard input."""
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()

    def stopped(self) -> bool:
        """Does the kernel show the main process as stopped?"""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False


def _wait_until_ended(family: Sequence[psutil.Process], clock: Clock) -> None:
    """Until none of them runs; a zombie does not, and who reaps an orphan, and when, is not ours to say: some init takes a second."""
    deadline = clock.now() + _STOP_SECONDS
    while any(_runs(process) for process in family) and clock.now() < deadline:
        clock.sleep(0.002)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _processes(pids: Sequence[int]) -> list[psutil.Process]:
    """Those that are there: each is known by its pid and the time of its start."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def spawn(
    name: str,
    kind: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    clock: Clock,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    group: str = "",
    pass_fds: Sequence[int] = (),
) -> ManagedProcess:
    """Start `argv` through the launcher. EnvironmentFault where the program cannot be started."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-I", "-S", str(LAUNCHER), *argv]
    try:
        with log.open("ab") as out:
            popen = subprocess.Popen(
                command,
                env={**env, "CELERY_HARNESS_PARENT": str(os.getpid())},
                cwd=cwd,
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )
    except OSError as exc:
        raise EnvironmentFault(f"{name} could not be started: {exc}", where=argv[0]) from exc
    return ManagedProcess(name, kind, popen, log, clock, clock.now(), group)
