"""Real workers, stopped before each effect of their tasks as the explorer stops its own children, and killed at the one that is meant."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.egress.listener import Call, Listener
from harness.errors import EnvironmentFault
from harness.explore.family import has_ended
from harness.explore.process_memory import ProcessMemory
from harness.explore.stops import Connection, Decoder, Doubt, Effect, Refusal, What
from harness.explore.targets import Targets
from harness.explore.zygote_client import Channel, Closed
from harness.ports.effects import WatchedPass

__all__ = ["WorkerStops"]

_GONE_SECONDS = 10.0
_ACK_SECONDS = 10.0
_NTH = {1: "first", 2: "second", 3: "third"}


@dataclass(frozen=True, slots=True)
class _Execution:
    """``nth``: of its call, over all workers; ``late``: its message is acknowledged after it."""

    task: str
    id: str
    delivery: str
    call: int
    late: bool
    nth: int


class _Child:
    """A pool child. ``number``: effects of its execution so far; before its first one, of its process."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.speaks = True
        self.pid = self.main = 0
        self.listener: Listener | None = None
        self.memory = ProcessMemory()
        self.targets: Targets | None = None
        self.decoder: Decoder | None = None
        self.running: _Execution | None = None
        self.begun = False
        self.number = 0

    def close(self) -> None:
        """Calls that wait fail from now on."""
        self.channel.close()
        if self.listener is not None:
            self.listener.close()
        self.memory.forget()


class WorkerStops:
    """See `EffectTriggers`. One thread of its own serves all children, which are stopped from their start on, whatever is armed."""

    def __init__(self, watched: WatchedPass) -> None:
        self._watched = watched
        self._lock = threading.Lock()
        self._armed: dict[int, Mapping[str, Any]] = {}
        self._missed: dict[int, str] = {}
        self._spent: set[int] = set()
        self._trouble: EnvironmentFault | None = None
        self._executions: Counter[str] = Counter()
        self._children: list[_Child] = []
        self._server = _listening(watched.socket)
        self._closing = False
        self._wake, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._run, name="effects", daemon=True)
        self._thread.start()

    def arm(self, triggers: Sequence[Mapping[str, Any]]) -> None:
        """See `EffectTriggers`."""
        with self._lock:
            for trigger in triggers:
                self._armed.setdefault(int(trigger["fault"]), trigger)

    def missed(self) -> Mapping[int, str]:
        """See `EffectTriggers`."""
        with self._lock:
            if self._trouble is not None:
                raise self._trouble
            return dict(self._missed)

    def close(self) -> None:
        """See `EffectTriggers`."""
        if self._closing:
            return
        self._closing = True
        os.write(self._bell, b"x")
        self._thread.join(_GONE_SECONDS)
        self._server.close()
        os.close(self._wake)
        os.close(self._bell)
        with contextlib.suppress(OSError):
            self._watched.socket.unlink()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        except EnvironmentFault as exc:
            self._fail(exc)
        except Exception as exc:
            self._fail(EnvironmentFault(f"who watches the workers' effects has failed: {type(exc).__name__}: {exc}"))
        finally:
            for child in self._children:
                child.close()
            self._children.clear()

    def _fail(self, why: EnvironmentFault) -> None:
        with self._lock:
            self._trouble = self._trouble or why

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._server, select.POLLIN)
        for child in self._children:
            if child.speaks:
                poll.register(child.channel, select.POLLIN)
            if child.listener is not None:
                poll.register(child.listener, select.POLLIN)
        events = dict(poll.poll())
        if self._server.fileno() in events:
            self._children.append(_Child(Channel(self._server.accept()[0])))
        for child in list(self._children):
            self._serve(child, events)

    def _serve(self, child: _Child, events: Mapping[int, int]) -> None:
        listener = child.listener
        event = events.get(listener.fileno(), 0) if listener is not None else 0
        if child.speaks and (event or child.channel.fileno() in events):
            self._hear(child)  # what it said before a call of its comes first
        if event & select.POLLIN:
            assert listener is not None
            call = listener.receive()
            if call is not None:
                self._look_at(child, call)
        elif event or (child.listener is None and not child.speaks):
            self._forget(child)

    def _forget(self, child: _Child) -> None:
        if child in self._children:
            self._children.remove(child)
            child.close()

    # --- what a child says ---------------------------------------------------------------------------------------------

    def _hear(self, child: _Child) -> None:
        with contextlib.suppress(Closed):
            while select.select([child.channel], [], [], 0)[0]:
                try:
                    child.channel.fill()
                except Closed:
                    child.speaks = False
                    break
        while (found := child.channel.waiting()) is not None:
            self._heard(child, *found)

    def _heard(self, child: _Child, document: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        if "refused" in document:
            raise EnvironmentFault(
                f"a worker's tasks cannot be stopped before their effects here: {document['refused']}",
                hint="it needs Linux 5.9 with seccomp user notification, on x86_64 or aarch64",
            )
        if "child" in document:
            self._introduced(child, document, descriptors[0])
        elif "begin" in document:
            begun = document["begin"]
            self._executions[begun["id"]] += 1
            child.running = _Execution(**begun, nth=self._executions[begun["id"]])
            child.number = child.number if not child.begun else 0  # what its process did at its start is its first execution's
            child.begun = True
        elif "end" in document:
            self._ended(child)

    def _introduced(self, child: _Child, document: Mapping[str, Any], descriptor: int) -> None:
        watched = self._watched
        child.pid, child.main = int(document["child"]), int(document["main"])
        child.listener = Listener(descriptor)
        child.targets = Targets(watched.services, watched.folders, watched.log(str(document["name"])), unseen=watched.own)
        child.decoder = Decoder({int(number): name for number, name in document["calls"].items()}, child.targets, child.memory)
        if why := child.memory.trouble(child.pid):
            raise EnvironmentFault(why)

    def _ended(self, child: _Child) -> None:
        run, count = child.running, child.number
        child.running, child.number = None, 0
        if run is None:
            return
        for fault, trigger in self._waiting_for(run):
            if trigger["effect"]["number"] > count:
                self._miss(fault, f"the {_nth(run.nth)} execution of {run.task} had {count} effects")

    # --- its calls ---------------------------------------------------------------------------------------------------

    def _look_at(self, child: _Child, call: Call) -> None:
        assert child.decoder is not None and child.targets is not None and child.listener is not None
        what = child.decoder.read(call)
        if isinstance(what, Effect):
            child.number += 1
            for fault, trigger in self._waiting_for(child.running):
                if trigger["effect"]["number"] == child.number and self._is_meant(fault, trigger, child, what):
                    self._strike(fault, trigger, child, what)
                    return
        elif isinstance(what, Connection) and child.targets.service_at(what.address):
            child.targets.connected(call.thread, what.descriptor, what.address)
        elif error := _refused(what):
            child.listener.fail(call, error)
            return
        if not child.listener.go_on(call) and isinstance(what, Effect):
            child.number -= 1  # a signal came first: the call begins again, and is seen again
            child.decoder.again()

    def _waiting_for(self, run: _Execution | None) -> list[tuple[int, Mapping[str, Any]]]:
        """Triggers that mean this execution."""
        if run is None:
            return []
        with self._lock:
            armed = [(fault, trigger) for fault, trigger in self._armed.items() if fault not in self._spent]
        return [
            (fault, trigger)
            for fault, trigger in armed
            if trigger["effect"]["delivery"] == run.nth
            and trigger.get("call") in (None, run.call)
            and fnmatchcase(run.task, trigger["task"])
        ]

    def _is_meant(self, fault: int, trigger: Mapping[str, Any], child: _Child, effect: Effect) -> bool:
        """Nothing is ever struck in place of what was meant."""
        run, wanted = child.running, trigger["effect"]["identity"]
        assert run is not None
        where = f"effect {child.number} of the {_nth(run.nth)} execution of {run.task}"
        if wanted and wanted != effect.identity:
            self._miss(fault, f"{where} is another: {effect.identity!r}, not {wanted!r}")
        elif not run.late and not self._acknowledged(run.delivery):
            self._miss(fault, f"{where} was reached, and its message, which is acked early, was not acked after {_ACK_SECONDS:.0f} s")
        else:
            return True
        return False

    def _miss(self, fault: int, why: str) -> None:
        with self._lock:
            self._spent.add(fault)
            self._missed[fault] = why

    def _acknowledged(self, delivery: str) -> bool:
        """The main process records it after the broker was told; a kill before that would be another crash."""
        deadline = time.monotonic() + _ACK_SECONDS
        wanted = json.dumps(delivery).encode()
        while time.monotonic() < deadline:
            for path in self._watched.journal.glob("*.journal"):
                if any(b'"k":"ack"' in line and wanted in line for line in path.read_bytes().split(b"\n")):
                    return True
            time.sleep(0.005)
        return False

    # --- the blow ------------------------------------------------------------------------------------------------------

    def _strike(self, fault: int, trigger: Mapping[str, Any], child: _Child, effect: Effect) -> None:
        """The call is pending, so it is never made."""
        with self._lock:
            self._spent.add(fault)
        run, at = child.running, time.monotonic_ns()
        assert run is not None and child.listener is not None
        with contextlib.suppress(ProcessLookupError):
            if trigger["action"] == "kill_child":
                os.kill(child.pid, signal.SIGKILL)
            elif os.getpgid(child.pid) == child.main:
                os.killpg(child.main, signal.SIGKILL)
            else:
                os.kill(child.main, signal.SIGKILL)
                os.kill(child.pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(child.listener, 0)  # no event but the hang-up
        stays = EnvironmentFault(f"a worker did not end within {_GONE_SECONDS:.0f} s of SIGKILL")
        if not poll.poll(_GONE_SECONDS * 1000):
            raise stays
        deadline = time.monotonic() + _GONE_SECONDS
        while not has_ended(child.pid):  # its files and locks are left after its filter
            if time.monotonic() > deadline:
                raise stays
            time.sleep(0.001)
        record = {"k": "strike", "m": at, "fault": fault, "d": run.delivery, "id": run.id, "n": run.task}
        words = f"effect {child.number}: {effect.words}"
        record |= {"point": "effect", "file": None, "line": None, "stack": [], "action": trigger["action"], "words": words}
        self._record(child.pid, record)
        self._forget(child)

    def _record(self, pid: int, record: Mapping[str, Any]) -> None:
        """Behind the last that the dead process has recorded itself: nobody else writes there any more."""
        path = max(self._watched.journal.glob(f"{pid}-*.journal"), key=lambda one: one.stat().st_mtime_ns)
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with path.open("r+b") as journal:
            journal.seek(len(journal.read().rstrip(b"\0")))
            journal.write(line)


def _listening(path: Path) -> socket.socket:
    """A path of a socket may have 107 bytes; through its folder's descriptor any path fits."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"/proc/self/fd/{folder:d}/{path.name}")
    finally:
        os.close(folder)
    server.listen(64)
    return server


def _refused(what: What) -> int:
    """The errno of what is not there in an exploration either: io_uring, and sockets that nobody sees connect; 0: it goes on."""
    if isinstance(what, Doubt):
        return what.error
    return errno.EPERM if isinstance(what, Refusal) and what.error == errno.EPERM else 0


def _nth(number: int) -> str:
    return _NTH.get(number, f"{number}th")
