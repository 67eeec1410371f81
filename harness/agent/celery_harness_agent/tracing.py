"""`start` and `end`, round the tracer that Celery compiles per task.

No signal receivers and no dicts on this path: the measured cost of an agent is signals, `json.dumps` and system calls.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

from celery_harness_agent.company import Company
from celery_harness_agent.context import call_of, delivery_of, enter_shared, leave_shared, single
from celery_harness_agent.effects import Effects
from celery_harness_agent.frames import Frames, place_of
from celery_harness_agent.journal import Journal, mono, optional, quoted
from celery_harness_agent.lines import Lines
from celery_harness_agent.triggers import Armed, Trigger

__all__ = ["Tracing", "exception_name"]

_TEXT_LIMIT = 300

Tracer = Callable[..., Any]


class Tracing:
    """Wraps tracers. `shared`: this process runs several tasks at once (threads, gevent, eventlet)."""

    def __init__(self, journal: Journal, frames: Frames, armed: Armed, company: Company, effects: Effects) -> None:
        self._emit = journal.emit
        self._effects = effects
        self._company = company
        self._frames = frames
        self._armed = armed
        self._lines = Lines(armed)

    def wrap_all(self, app: Any, *, shared: bool) -> None:
        """Every task that has a tracer; once each."""
        for task in list(app.tasks.values()):
            tracer = task.__trace__
            if tracer is not None and not getattr(tracer, "harness", False):
                task.__trace__ = self._wrap(task, tracer, shared)

    def _wrap(self, task: Any, tracer: Tracer, shared: bool) -> Tracer:
        starts, ends, lines = self._armed.at("start", task.name), self._armed.at("end", task.name), self._armed.lines(task.name)
        if self._effects.wanted:
            tracer = self._told_of_effects(task, tracer)
        if self._armed.live:
            tracer, after = self._with_coming_triggers(task, tracer)
        else:
            if starts or ends or lines:
                tracer = self._with_triggers(task, tracer, starts, lines)
            after = self._after(task, ends)
        wrapped = self._in_shared_process(tracer, after) if shared else self._in_own_process(tracer, after)
        wrapped.harness = True  # type: ignore[attr-defined]
        return wrapped

    def _in_own_process(self, inner: Tracer, after: Callable[[Any, str], None] | None) -> Tracer:
        emit, other_end, company = self._emit, self._other_end, self._company
        end = company.end

        def traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            if not company.begun:
                company.begin()
            ids = f'"d":"{delivery_of(request)}","id":{quoted(uuid)}'
            emit(f'{{"k":"start","m":{mono()},{ids}}}\n')
            outer, single.request = single.request, request
            try:
                out = inner(uuid, args, kwargs, request)
            except BaseException as exc:
                end(self._raised(ids, exc))
                raise
            finally:
                single.request = outer
            if out[1] is None and out[3] is not None:
                end(f'{{"k":"end","m":{mono()},{ids},"s":"SUCCESS"}}\n')
            else:
                end(other_end(ids, out[1]))
            if after is not None:
                after(request, uuid)
            return out

        return traced

    def _in_shared_process(self, inner: Tracer, after: Callable[[Any, str], None] | None) -> Tracer:
        emit, other_end, company = self._emit, self._other_end, self._company
        end = company.end

        def traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            if not company.begun:
                company.begin()
            ids = f'"d":"{delivery_of(request)}","id":{quoted(uuid)}'
            emit(f'{{"k":"start","m":{mono()},{ids}}}\n')
            token = enter_shared(request)
            try:
                out = inner(uuid, args, kwargs, request)
            except BaseException as exc:
                end(self._raised(ids, exc))
                raise
            finally:
                leave_shared(token)
            if out[1] is None and out[3] is not None:
                end(f'{{"k":"end","m":{mono()},{ids},"s":"SUCCESS"}}\n')
            else:
                end(other_end(ids, out[1]))
            if after is not None:
                after(request, uuid)
            return out

        return traced

    def _told_of_effects(self, task: Any, inner: Tracer) -> Tracer:
        effects = self._effects

        def told(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            effects.begin(task, uuid, delivery_of(request), call_of(request))
            try:
                return inner(uuid, args, kwargs, request)
            finally:
                effects.end()

        return told

    def _with_triggers(self, task: Any, inner: Tracer, starts: list[Trigger], lines: list[Trigger]) -> Tracer:
        place = place_of(task)

        def armed(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            delivery = delivery_of(request)
            self._armed.reach(starts, task.name, delivery, call_of(request), uuid, _where(task, place))
            with self._watching(task.name, delivery, call_of(request), uuid, lines):
                return inner(uuid, args, kwargs, request)

        return armed

    def _with_coming_triggers(self, task: Any, inner: Tracer) -> tuple[Tracer, Callable[[Any, str], None]]:
        """As `_with_triggers` and `_after`, for triggers that may be armed at any time."""

        def armed(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            self._armed.refresh()
            starts, lines = self._armed.at("start", task.name), self._armed.lines(task.name)
            if not (starts or lines):
                return inner(uuid, args, kwargs, request)
            return self._with_triggers(task, inner, starts, lines)(uuid, args, kwargs, request)

        def ended(request: Any, uuid: str) -> None:
            self._armed.refresh()
            after = self._after(task, self._armed.at("end", task.name))
            if after is not None:
                after(request, uuid)

        return armed, ended

    @contextmanager
    def _watching(self, name: str, delivery: str, call: int, uuid: str, lines: list[Trigger]) -> Iterator[None]:
        wanted = [trigger for trigger in lines if trigger.wants(name, call)]
        if not wanted:
            yield
            return
        self._lines.enter(name, delivery, uuid, wanted)
        try:
            yield
        finally:
            self._lines.leave(delivery)

    def _after(self, task: Any, ends: list[Trigger]) -> Callable[[Any, str], None] | None:
        if not ends:
            return None
        place = place_of(task)

        def ended(request: Any, uuid: str) -> None:
            self._armed.reach(ends, task.name, delivery_of(request), call_of(request), uuid, _where(task, place))

        return ended

    def _raised(self, ids: str, exc: BaseException) -> str:
        return self._end_line(ids, "RAISED", exc, exc)

    def _other_end(self, ids: str, info: Any) -> str:
        """Every end but a success. No info and no result text: Celery skipped a delivery whose result it already has."""
        if info is None:
            return f'{{"k":"end","m":{mono()},{ids},"s":"DEDUPLICATED"}}\n'
        exc = info.retval
        if info.state != "RETRY":
            return self._end_line(ids, info.state, exc, exc)
        cause = getattr(exc, "exc", None)
        return self._end_line(ids, "RETRY", cause if cause is not None else exc, exc, when=getattr(exc, "when", None))

    def _end_line(self, ids: str, state: str, reason: Any, carrier: Any, when: Any = None) -> str:
        file, line = self._frames.of_exception(reason)
        if file is None:
            file, line = self._frames.of_exception(carrier)
        return (
            f'{{"k":"end","m":{mono()},{ids},"s":{quoted(str(state))},"e":{quoted(exception_name(reason))},"msg_text":{quoted(_text(reason))},'
            f'"file":{optional(file)},"line":{"null" if line is None else line},"when":{optional(when)}}}\n'
        )


def _where(task: Any, place: tuple[str | None, int | None]) -> tuple[str | None, int | None, list[str]]:
    file, line = place
    return file, line, [f"{file}:{line} {getattr(task.run, '__name__', task.name)}"] if file else []


def exception_name(exc: Any) -> str:
    """Qualified type of an exception (``builtins.ValueError``); of a class its own; of anything else its text."""
    kind = exc if isinstance(exc, type) else type(exc)
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(exc: Any) -> str:
    try:
        return str(exc)[:_TEXT_LIMIT]
    except Exception:  # a __str__ of the user's own
        return "(its text cannot be read)"
