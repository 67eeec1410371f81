"""A child of the zygote: publishes one message, or runs deliveries while the supervisor stops it before every effect."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import uuid
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, NoReturn

from celery_harness_agent import answer, own_hash, seccomp
from celery_harness_agent.channel import Channel, moved
from celery_harness_agent.delivery import deliver
from celery_harness_agent.files_read import FilesRead
from celery_harness_agent.frames import INSTALLED, STDLIB, Frames
from celery_harness_agent.hot_pages import HotPages, own_pages
from celery_harness_agent.launch import die_with_parent
from celery_harness_agent.line_stops import LineStops
from celery_harness_agent.lines_of_stops import Lines
from celery_harness_agent.settings import Settings
from celery_harness_agent.shared_page import SharedPage

__all__ = ["Child", "user_modules"]

#: What Celery itself imports as it goes.
_CELERYS_OWN = frozenset({"amqp", "billiard", "celery", "kombu", "redis", "vine"})
#: Of the worker, before it is known to which process a message comes.
_HOSTNAME = "explorer@celery-harness"


class Child:
    """What every child will be; made in the zygote, so that a fork has nothing left to do."""

    def __init__(self, settings: Settings, frames: Frames, exempt: int) -> None:
        self._settings = settings
        self._frames = frames
        self._exempt = exempt
        self._app: Any = None
        self._lines: Lines | None = None
        self._program = b""
        self._channel: Channel | None = None
        self._zygote = os.getpid()
        self._modules = 0
        self._speaking = threading.RLock()
        self._waiting = False  # for the supervisor to let it go on
        self._process = 0  # that has a job; others are forks that the task has made of it
        self._started = False  # has started a process
        self._hostname = _HOSTNAME
        self.clock = False  # may the supervisor let the time of day go on?
        self.move_clocks: Callable[[int], None] = lambda nanoseconds: None  # those that only run
        self.files = FilesRead(frames)
        self.hot = HotPages()  # what children write to in any case
        self.refused_at_import: dict[str, None] = {}

    def prepare(self, app: Any, page: SharedPage, lines: Lines) -> None:
        """What a pool process does before its first task, as far as all of them do the same."""
        from celery import _state
        from celery.app import trace

        self._app, self._lines = app, lines
        app.log.setup(
            logging.WARNING, redirect_stdouts=app.conf.worker_redirect_stdouts, redirect_level=app.conf.worker_redirect_stdouts_level
        )
        trace.setup_worker_optimizations(app, _HOSTNAME)
        for name, task in app.tasks.items():
            task.__trace__ = trace.build_tracer(name, task, app.loader, _HOSTNAME, app=app)
        _state._set_task_join_will_block(True)
        _ = app.backend, app.amqp.queues  # else each child scans entry points
        import celery.worker.strategy  # noqa: F401 (imported by the first delivery)

        if not seccomp.trouble():
            self._program = seccomp.program(self._exempt)

    def count_modules(self) -> None:
        """What is imported now, every child has."""
        self._modules = len(sys.modules)

    def refused(self, address: str, stack: list[str]) -> None:
        """The guard's word about a connection that it has refused; in the zygote, where there is no channel yet, the app's import."""
        if self._channel is None:
            self.refused_at_import[address] = None
        else:
            self._say({"undeclared": address, "by": stack[0] if stack else ""})

    def _say(self, document: dict[str, Any]) -> None:
        assert self._channel is not None
        if self._process in (0, os.getpid()):
            with self._speaking:
                self._channel.send(document)
        else:
            self._channel.send(document)  # in a fork of the task's, where nobody will release the lock

    def has_started(self, *_: Any) -> None:
        """Another process, as the interpreter's audit events have it."""
        self._started = True

    def ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """Tell the supervisor, and wait until it lets this thread go on: its answer. Where the supervisor is gone, so is this process.

        Empty: nobody was asked. The delivery is over, but for this thread; or it waits already, and a signal's handler runs meanwhile.
        """
        with self._speaking:
            if self._process != os.getpid() or self._channel is None or self._waiting:
                return {}
            self._waiting = True
            try:
                self._channel.send({**document, "thread": threading.get_native_id(), "company": self._company()})
                told = self._channel.receive()
            except (EOFError, OSError):
                os._exit(1)
            finally:
                self._waiting = False
        self.move_clocks(-int(told["stood"]))
        return told

    def pass_time(self, seconds: float) -> bool:
        """Has the time of day gone on by so much? Not while something of the task works beside the one that sleeps."""
        return self.clock and self._process == os.getpid() and bool(self.ask({"slept": seconds}).get("passed"))

    def _company(self) -> bool:
        """Does the task have another thread, or a process that it has not waited for?"""
        if threading.active_count() > 1:
            return True
        if not hasattr(os, "waitid"):
            return self._started
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        except OSError:
            return self._started
        return True

    def run(self, descriptor: int, *, stops: bool) -> NoReturn:
        """In the new process, until the supervisor has no more jobs for it."""
        status = 1
        try:
            die_with_parent(self._zygote)
            if stops:
                self.hot.copy()
            with contextlib.suppress(OSError):  # a profile may refuse it: then they are ended one by one
                os.setpgid(0, 0)  # whatever it starts can be ended with it
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._channel = channel = Channel(moved(descriptor, self._exempt))
            own_hash.install(self._frames)
            # A message comes back to any worker, mostly to one of another name; to the same one where its process lives.
            self._hostname = f"explorer-{uuid.uuid4().hex}@celery-harness"
            if stops:
                self._install(channel)
            while True:
                job = channel.receive()
                if "try" in job:
                    channel.send({"tried": seccomp.tried(job["try"])})
                    continue
                if "publish" in job:
                    channel.send(self._published(job))
                    continue
                self._process = os.getpid()
                told = self._delivered(job)
                with self._speaking:
                    self._process = 0
                    channel.send(told)
        except (EOFError, OSError):
            status = 0
        finally:
            os._exit(status)

    def _install(self, channel: Channel) -> None:
        try:
            listener = seccomp.install(self._program)
        except seccomp.Refused as exc:
            channel.send({"ok": False, "what": str(exc)})
            return
        channel.send({"ok": True}, [listener])
        os.close(listener)

    def _delivered(self, job: dict[str, Any]) -> dict[str, Any]:
        lines = self._lines if job.get("lines") else None
        if lines is not None:
            lines.start()
        try:
            if job.get("first"):
                self._begin()
            told = deliver(self._app, job["raw"], bool(job["redelivered"]), self._hostname, self._frames, lines)
        finally:
            if lines is not None:
                lines.stop()
        _flush()
        told["clock"] = time.clock_gettime(time.CLOCK_REALTIME)
        if isinstance(lines, LineStops):
            told["company"], told["passed_over"] = self._company(), lines.passed_over
        new = self._new_modules()
        told["modules"] = user_modules(self._frames, new)
        told["read"] = self.files.take()
        told["imported"] = [name for name in new if _is_harmless(name)]
        if job.get("pages"):
            told["pages"] = own_pages()
        return {"answer": told}

    def _begin(self) -> None:
        from celery import signals

        self._app.set_current()
        signals.worker_process_init.send(sender=_HOSTNAME)

    def _new_modules(self) -> list[str]:
        """Those imported since the fork: the last of them. Whoever looks at all has a page copied for each (1,000 faults, 4 ms)."""
        count = max(0, len(sys.modules) - self._modules)
        return list(islice(reversed(sys.modules), count))[::-1]

    def _published(self, job: dict[str, Any]) -> dict[str, Any]:
        task = self._app.tasks.get(job["publish"])
        if task is None:
            return {"answer": {"ok": False, "kind": "unknown", "tasks": sorted(self._app.tasks)}}
        try:
            task.apply_async(job["args"], job["kwargs"])
        except TypeError as exc:
            return {"answer": {"ok": False, "error": answer.describe("arguments", str(exc), exc, self._frames)}}
        except (Exception, SystemExit) as exc:
            return {"answer": {"ok": False, "error": answer.describe("publish", f"{type(exc).__name__}: {exc}", exc, self._frames)}}
        return {"answer": {"ok": True}}


def _is_harmless(name: str) -> bool:
    """May it be imported before the fork, for all children?"""
    if name.partition(".")[0] in _CELERYS_OWN:
        return True
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return file.startswith(STDLIB) and not any(part in file for part in INSTALLED)


def _flush() -> None:
    """What was printed; a process that is killed loses it, but one that has answered is about to be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed by the user
            continue


def user_modules(frames: Frames, names: Iterable[str]) -> dict[str, str]:
    """Name -> file of those among these modules that are the user's."""
    files = [(name, getattr(sys.modules.get(name), "__file__", None)) for name in names]
    return {name: str(Path(file).resolve()) for name, file in sorted(files) if file and frames.is_user(file)}
