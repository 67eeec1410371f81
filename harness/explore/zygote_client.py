"""Starts the warm process, and takes children from it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.egress.listener import Listener
from harness.errors import EnvironmentFault, HarnessError, ScenarioError
from harness.explore.hash_seeds import seeded
from harness.ports.exploring import Launch

__all__ = ["Channel", "Child", "Closed", "Pages", "Refused", "Zygote", "started", "tail_of"]

#: Runs of memory, each from an address to another: the same in every child.
Pages = Sequence[Sequence[int]]

_START_SECONDS = 60.0
_CHILD_SECONDS = 30.0
_END_SECONDS = 10.0
_CHANNEL = "CELERY_HARNESS_EXPLORER"
_LENGTH = struct.Struct("!I")
_HINTS = {
    "threads": "start threads when the first task runs (signal worker_process_init), as a worker's pool processes need it too",
    "connections": "connect when the first task runs (signal worker_process_init), as a worker's pool processes need it too",
    "connects": "declare the service in the scenario, or connect when the first task runs",
    "addresses": "let the address come from the environment (CELERY_BROKER_URL, CELERY_RESULT_BACKEND) or from the app's configuration",
}


def tail_of(log: Path) -> str:
    """Its last lines, for errors."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n  ".join(lines[-12:])


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """Messages over a stream socket: JSON with its length before it, and descriptors beside it (the agent's channel.py)."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._data = b""
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def send(self, document: Mapping[str, Any]) -> None:
        """One message; Closed."""
        text = json.dumps(document).encode()
        try:
            self._socket.sendall(_LENGTH.pack(len(text)) + text)
        except OSError as exc:
            raise Closed from exc

    def receive(self, seconds: float) -> tuple[dict[str, Any], list[int]]:
        """The next one, with its descriptors; Closed; EnvironmentFault where none comes."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.waiting()
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise EnvironmentFault(f"the explorer's process for your app has said nothing for {seconds:.0f} s")
            self.fill()

    def fill(self) -> None:
        """Read what is there, once; Closed."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 18, 4)
        except OSError as exc:
            raise Closed from exc
        if not data:
            raise Closed
        self._data += data
        self._descriptors += descriptors

    def waiting(self) -> tuple[dict[str, Any], list[int]] | None:
        """One that has come whole."""
        if len(self._data) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._data)[0]
        if len(self._data) < end:
            return None
        document, self._data = json.loads(self._data[_LENGTH.size : end]), self._data[end:]
        descriptors, self._descriptors = self._descriptors, []
        return document, descriptors

    def close(self) -> None:
        """Our end."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._socket.close()


class Child:
    """A process that waits for a job. ``listener``: None where it is not stopped."""

    def __init__(self, pid: int, channel: Channel, listener: Listener | None) -> None:
        self.pid = pid
        self.channel = channel
        self.listener = listener
        self.handle = _handle_of(pid)  # -1 where there is none
        self.jobs = 0
        self.slept = 0  # nanoseconds by which its running clocks are ahead
        self.forked = False  # has ever had another thread or process

    def kill(self) -> None:
        """The process itself; what it has started is the family's."""
        with contextlib.suppress(ProcessLookupError):
            if self.handle >= 0:
                try:
                    signal.pidfd_send_signal(self.handle, signal.SIGKILL)
                    return
                except PermissionError:  # refused by a profile that knows pidfd_open
                    pass
            os.kill(self.pid, signal.SIGKILL)

    def is_there(self) -> bool:
        """Has it not ended yet? The zygote leaves no dead child behind."""
        if self.handle >= 0:
            return not select.select([self.handle], [], [], 0)[0]
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> None:
        """At most so long until it has ended; where nobody tells of that, all of it."""
        if self.handle >= 0 and self.is_there():
            select.select([self.handle], [], [], seconds)
        else:
            time.sleep(seconds)

    def end(self) -> None:
        """Kill it, wait until it is gone, and let go of it. For one that has started nothing."""
        self.kill()
        deadline = time.monotonic() + _END_SECONDS
        while self.is_there() and time.monotonic() < deadline:
            self.wait(0.001)
        self.close()

    def close(self) -> None:
        """What we hold of it."""
        self.channel.close()
        if self.listener is not None:
            self.listener.close()
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


def _handle_of(pid: int) -> int:
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:  # it is gone; or the kernel has none (before 5.3), or lets nobody have one
        return -1


class Refused(EnvironmentFault):
    """The kernel lets nobody stop a task at its effects here. ``why``: what was refused."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the kernel refuses what the explorer rests on: {why}",
            hint="it needs Linux 5.9 with seccomp user notification, on x86_64 or aarch64; in a container a profile that allows it; "
            "without: --points lines",
        )
        self.why = why


def started(launch: Launch, variable: str, what: str) -> tuple[subprocess.Popen[bytes], Channel]:
    """A program of the agent's, in a session of its own, whose end of the channel ``variable`` names. EnvironmentFault naming ``what``."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    told = {variable: str(theirs.fileno()), "CELERY_HARNESS_PARENT": str(os.getpid())}
    try:
        with launch.log.open("ab") as out:
            process = subprocess.Popen(
                list(launch.command),
                env={**seeded(launch.environment, "0"), **told},
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )
    except OSError as exc:
        ours.close()
        raise EnvironmentFault(f"{what} cannot be started: {exc}") from exc
    finally:
        theirs.close()
    return process, Channel(ours)


class Zygote:
    """See the agent's zygote.py. ``filtered``: its children are stopped at their effects."""

    def __init__(self, launch: Launch, *, filtered: bool = True) -> None:
        self._launch = launch
        self._filtered = filtered
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._coming = False
        self._imported: set[str] = set()
        self._pages: Pages = ()
        self.pid = 0
        self.spare: Child | None = None

    def begin(self) -> None:
        """It imports what every app needs, and waits; `start` lets it import the app. Also twice."""
        if self._channel is None:
            self._process, self._channel = started(self._launch, _CHANNEL, "the explorer's process for your app")

    def call(self, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `CallsEarly`."""
        from harness.explore.calling import called

        self.begin()
        assert self._channel is not None
        try:
            return called(self._channel, request, environment, log)
        except Closed:
            raise self._gone() from None

    def start(self) -> tuple[dict[str, Any], int]:
        """What it says of the app and the machine, and the descriptor of the shared page. ScenarioError; EnvironmentFault."""
        self.begin()
        assert self._channel is not None
        try:
            self._channel.send({"import": "app", "watched": [str(path) for path in self._launch.folders]})
            told, descriptors = self._channel.receive(_START_SECONDS)
        except Closed:
            raise EnvironmentFault(
                f"the explorer's process for your app ended at its start{self._how()}\n  {self._tail()}", where=str(self._launch.log)
            ) from None
        if not told.get("ok"):
            raise _failure(told.get("error") or {})
        self.pid = int(told["pid"])
        return told, descriptors[0]

    def _tail(self) -> str:
        return tail_of(self._launch.log)

    def order(self) -> None:
        """Another child, ready when it is needed."""
        if self.spare is None and not self._coming:
            self._say({"stops": self._filtered})
            self._coming = True

    def prepare(self, names: Sequence[str], pages: Pages, *, renew: bool) -> None:
        """For children to come: library modules that a delivery has imported, and memory that it has written to.

        ``renew``: for the very next one too, although it waits already.
        """
        new = [name for name in names if name not in self._imported]
        if renew and (new or pages is not self._pages):
            self._let_go()
        if new:
            self._imported.update(new)
            self._say({"import": new})
        if pages is not self._pages:
            self._pages = pages
            self._say({"pages": pages})

    def _let_go(self) -> None:
        self.waiting()
        if self.spare is not None:
            self.spare.end()
            self.spare = None

    def take(self) -> Child:
        """One that waits for a job and is stopped at its effects."""
        self.order()
        if self.spare is None:
            self.spare = self._spare()
        child, self.spare = self.spare, None
        return child

    def plain(self) -> Child:
        """One that is not stopped."""
        self.waiting()
        self._say({"stops": False})
        return self._arrived()

    def waiting(self) -> set[int]:
        """Its children that wait for a job; one that is coming has come then."""
        if self._coming:
            self.spare = self._spare()
        return {self.spare.pid} if self.spare is not None else set()

    def _say(self, order: Mapping[str, Any]) -> None:
        assert self._channel is not None
        try:
            self._channel.send(order)
        except Closed:
            raise self._gone() from None

    def _arrived(self) -> Child:
        assert self._channel is not None
        try:
            told, descriptors = self._channel.receive(_CHILD_SECONDS)
        except Closed:
            raise self._gone() from None
        return Child(int(told["pid"]), Channel(socket.socket(fileno=descriptors[0])), None)

    def _spare(self) -> Child:
        child = self._arrived()
        self._coming = False
        if not self._filtered:
            return child
        try:
            word, listeners = child.channel.receive(_CHILD_SECONDS)
        except Closed:
            child.close()
            raise EnvironmentFault(
                f"a child of the explorer's process ended before it had a job\n  {self._tail()}", where=str(self._launch.log)
            ) from None
        if not word.get("ok") or child.handle < 0:
            child.end()
            raise Refused(str(word.get("what") or "pidfd_open(2)"))
        child.listener = Listener(listeners[0])
        return child

    def demand_life(self) -> None:
        """EnvironmentFault where it has ended: what its children did not do then is no refusal of the kernel's."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)
            raise self._gone()

    def _gone(self) -> EnvironmentFault:
        what = f"the explorer's process for your app has ended{self._how()}"
        return EnvironmentFault(f"{what}\n  {self._tail()}", where=str(self._launch.log))

    def _how(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process.wait(1.0) == -signal.SIGKILL:
                return " by SIGKILL, from somebody, or from the kernel where memory is short"
        return ""

    def close(self) -> None:
        """It ends, and its children with it; also twice."""
        if self.spare is not None:
            self.spare.end()
            self.spare = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _failure(error: Mapping[str, Any]) -> HarnessError:
    if error.get("kind") == "descriptors":
        return EnvironmentFault(
            f"no process may hand a descriptor to another one here: {error.get('what')}",
            hint="the explorer rests on that, with --points lines too; in a container a profile that allows it",
        )
    where = f"{error['file']}:{error['line']}" if error.get("file") else ""
    what = "\n".join(filter(None, [str(error.get("what", "")), str(error.get("traceback", "")).rstrip()]))
    return ScenarioError(what, where=where, hint=_HINTS.get(str(error.get("kind")), ""))
