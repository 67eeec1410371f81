"""Within a run of the harness: calls are recorded as the producer records them, and what became of them comes from the journals."""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import gevent
from gevent.event import AsyncResult as Waiter

from celery_harness_agent import arguments, call_records, config, publish
from celery_harness_agent.context import CALL, enter_shared, leave_shared, running
from celery_harness_agent.failures import is_connection_error
from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.settings import Settings
from celery_harness_agent.tracing import exception_name
from celery_harness_locust.apps import LoadedApp, load_app
from celery_harness_locust.client import END_TO_END, PUBLISH, QUEUE_WAIT, RUN, Client, Ended
from celery_harness_locust.errors import LoadError, PublishCut, TaskFailed

__all__ = ["Member", "MemberClient", "current", "join"]

#: So many numbers of calls a process takes at once.
_BLOCK = 16
#: So long a publish that is on its way may take when the load ends.
_CLOSE_SECONDS = 5.0
_BEGUN, _OK = "begun", "ok"
_here: dict[str, "Member"] = {}

Row = Sequence[Any]


def current() -> "Member" | None:
    """None outside of a run."""
    return _here.get("member")


def join(member: "Member") -> None:
    """From now on every CeleryUser of this process, and of its forks, belongs to the run."""
    _here["member"] = member


class Member:
    """This Locust process in its run: its journal, numbers of calls, and those that wait."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.settings = settings
        self.emit = journal.emit
        self._journal = journal
        self._folder = Path(settings.trigger_folder)
        self._next = self._last = 0
        self._t0: int | None = None
        self.pid = settings.pid_base + os.getpid()  # as the journal has it
        self._checked: dict[int, Any] = {}  # id of an app -> it, so that the id stays its own
        self.waiting: dict[int, Any] = {}  # number of a call -> Waiter
        self.given_up: set[int] = set()
        self._closed = False
        self._publishing = 0
        os.register_at_fork(after_in_child=self._forked)
        _connect_clock()

    def _forked(self) -> None:
        self.pid = self.settings.pid_base + os.getpid()
        self._next = self._last = 0
        self.waiting.clear()
        self.given_up.clear()

    def app(self, named: Any) -> LoadedApp:
        """The app of a user class, held against the run's servers once. Ends this process with 78 where it insists on others."""
        loaded = load_app(named)
        if id(loaded.app) not in self._checked:
            self._checked[id(loaded.app)] = loaded.app
            config.merge(loaded.app.conf, self.settings.config)
            config.demand_our_servers(loaded.app, self.settings, self._journal)
            loaded.app.set_current()
        return loaded

    def new_number(self) -> int:
        """Unique over all processes of the run, from 1; a process that ends leaves at most fifteen unused."""
        if self._next == self._last:
            self._next = _reserve(self._folder / "calls.count", _BLOCK)
            self._last = self._next + _BLOCK
        self._next += 1
        return self._next

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """While a call is published. Once the load is over nobody gets in: he waits until Locust stops him."""
        while self._closed:
            gevent.sleep(_CLOSE_SECONDS)
        self._publishing += 1
        try:
            yield
        finally:
            self._publishing -= 1

    def close(self) -> None:
        """The load is over: no call begins from now on, and those that are on their way are let through."""
        self._closed = True
        deadline = mono() + int(_CLOSE_SECONDS * 1e9)
        while self._publishing and mono() < deadline:
            gevent.sleep(0.005)

    def open(self) -> None:
        """A load begins (again: somebody pressed the page's button)."""
        self._closed = False

    def begin_at(self, t0: int) -> None:
        """The load begins: what `due` of all processes counts from."""
        coming = self._folder / "t0.new"
        coming.write_text(str(t0))
        coming.replace(self._folder / "t0")

    @property
    def t0(self) -> int:
        """CLOCK_MONOTONIC, ns."""
        if self._t0 is None:
            self._t0 = int((self._folder / "t0").read_text())
        return self._t0

    def take(self, environment: Any, rows: Sequence[Row]) -> None:
        """What became of calls of this process (docs/journal.md, "Locust"): into the statistics, and to those that wait."""
        for row in rows:
            try:
                self._count(environment.events.request.fire, row)
            except Exception as exc:  # such as StopUser of the locustfile's own listener: there is no user here that it could stop
                logging.getLogger(__name__).warning("a listener of `request` raised %r, and no user is there to heed it", exc)

    def _count(self, fire: Callable[..., None], row: Row) -> None:
        kind, number, name, seconds, failure = row
        if kind == "e" and self._hand_over(number, failure):
            return
        fire(
            request_type=_KINDS[kind],
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=0,
            exception=TaskFailed(failure) if failure else None,
            context={},
        )

    def is_alive(self, pid: int) -> bool:
        """Is this Locust process of the run, by its pid in the journal? One that has ended and that nobody has asked for is not."""
        own = pid - self.settings.pid_base
        try:
            text = Path(f"/proc/{own}/stat").read_text()
        except OSError:
            return not Path("/proc/self").exists()  # nobody can tell here
        return text.rpartition(")")[2].split()[0] not in ("Z", "X")

    def _hand_over(self, number: int, failure: str) -> bool:
        """To whoever waits; did he give up before? Then it is counted already."""
        waiter = self.waiting.pop(number, None)
        if waiter is not None:
            waiter.set(failure)
        if number in self.given_up:
            self.given_up.discard(number)
            return True
        return False


_KINDS = {"w": QUEUE_WAIT, "r": RUN, "e": END_TO_END}


def _reserve(path: Path, count: int) -> int:
    """The last number that is taken, before ``count`` more are."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        taken = int(os.pread(descriptor, 32, 0) or b"0")
        os.pwrite(descriptor, str(taken + count).encode(), 0)
        return taken
    finally:
        os.close(descriptor)


def _connect_clock() -> None:
    """When a publish began and when the broker had it, noted in the call that it is of: what the journal's records say."""
    from celery import signals

    def note(moment: str) -> None:
        request = running()
        if request is not None and CALL in request:
            request[moment] = mono()

    signals.before_task_publish.connect(lambda **_: note(_BEGUN), weak=False)
    signals.after_task_publish.connect(lambda **_: note(_OK), weak=False)


class MemberClient(Client):
    """Records each call, and leaves it to the harness to say what became of it."""

    def __init__(self, loaded: LoadedApp, environment: Any, member: Member) -> None:
        super().__init__(loaded, environment)
        self._member = member
        self._environment = environment
        self._number = 0  # of the call that was sent last: a user is one greenlet

    def send_and_wait(self, task: str, /, *args: Any, timeout: float = 60.0, **kwargs: Any) -> Ended:
        """See `Client`. The time is the one that the journals say."""
        waiter = Waiter()
        result = self._publish(task, args, kwargs, {}, waiter)
        if result is None:
            return Ended("", "UNSENT")
        number = self._number
        try:
            waiter.wait(timeout)
        finally:
            self._member.waiting.pop(number, None)
        if not waiter.ready():
            self._member.given_up.add(number)
            self._timed_out(task, timeout)
            return Ended(str(result.id), "TIMEOUT")
        failure: str = waiter.value
        return Ended(str(result.id), "FAILURE" if failure else "SUCCESS", failure)

    def _publish(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], options: dict[str, Any], waiter: Waiter | None = None
    ) -> Any:
        member = self._member
        try:
            task = self._loaded.task(name)
        except LoadError as exc:
            _end_of_a_wrong_load(member, self._environment, exc)
            raise
        with member.publishing():
            return self._recorded(task, args, kwargs, options, waiter)

    def _recorded(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any], options: dict[str, Any], waiter: Waiter | None) -> Any:
        member, name = self._member, task.name
        number = self._number = member.new_number()
        if waiter is not None:
            member.waiting[number] = waiter
        now = mono()
        text = arguments.text_of([(list(args), dict(kwargs))], single=True)
        member.emit(f'{{"k":"call","m":{now}{call_records.of_call(number, name, quoted(text), now - member.t0)},"late":0}}\n')
        request: dict[str, Any] = {CALL: number}
        before = publish.begun()
        token = enter_shared(request)
        try:
            result = task.apply_async(args, kwargs, **options)
        except BaseException as exc:
            self._failed(number, name, now, exc, begun=publish.begun() > before)
            if not isinstance(exc, Exception):
                raise
            return None
        finally:
            leave_shared(token)
        member.emit(f'{{"k":"call_ok","m":{mono()}{call_records.of_result(number, result)}}}\n')
        self._fire(PUBLISH, name, (request.get(_OK, mono()) - request.get(_BEGUN, now)) / 1e9)
        return result

    def _failed(self, number: int, name: str, since: int, exc: BaseException, *, begun: bool) -> None:
        """A user that is stopped in the middle of it leaves a call of which nobody knows whether the broker has it."""
        self._member.waiting.pop(number, None)
        cut = not isinstance(exc, Exception)
        unknown = begun and (cut or is_connection_error(exc))
        text = "the load ended meanwhile" if cut else str(exc)
        self._member.emit(call_records.failed(number, exception_name(exc), text, unknown=unknown))
        failure = exc if isinstance(exc, Exception) else PublishCut("the load ended in the middle of the publish")
        self._fire(PUBLISH, name, (mono() - since) / 1e9, failure)


def _end_of_a_wrong_load(member: Member, environment: Any, exc: LoadError) -> None:
    """The harness refuses the scenario: a load that is wrong measures nothing."""
    place = _caller()
    member.emit(f'{{"k":"locust","m":{mono()},"what":"wrong","text":{quoted(str(exc))},"where":{quoted(place)}}}\n')


def _caller() -> str:
    """file:line of the innermost frame outside of this package."""
    import sys

    ours = str(Path(__file__).resolve().parent)
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
