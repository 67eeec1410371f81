"""Publishes the load through the user's app, so its routes, serializers and custom Task classes count."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
import traceback
from datetime import timedelta
from typing import Any, Iterator, NoReturn

from celery_harness_agent import application, arguments, call_records, config, prepared, publish, wall
from celery_harness_agent.company import Company
from celery_harness_agent.connections import OwnPools, own_pool
from celery_harness_agent.context import CALL, enter_shared, leave_shared
from celery_harness_agent.failures import is_connection_error
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.launch import die_with_parent, parent_from_environment
from celery_harness_agent.outbox import Outbox
from celery_harness_agent.prepared import PreparedCall
from celery_harness_agent.publisher import LATE_NS, Due, Link, Publisher, shared_out
from celery_harness_agent.settings import Settings
from celery_harness_agent.tracing import exception_name
from celery_harness_agent.worker import open_journal

__all__ = ["main"]

_EX_SOFTWARE = 70


def main(settings: Settings) -> None:
    """Import, draw, `ready`, obey; returns when told to stop. Exits with 70 where the user's code fails, 78 as the worker does."""
    die_with_parent(parent_from_environment())
    wall.stand_behind()
    config.force_addresses(settings)
    journal = open_journal(settings)
    company = Company(journal)
    Guard(settings, Frames(settings.root), journal).install(company.hooks())
    outbox = Outbox(journal)
    publish.install(outbox, settings.retry_divisor)
    config.merge_when_loaded(settings.config)
    try:
        producer = _prepare(settings, journal, company, outbox)
    except Exception as exc:
        _fail(settings, exc)
    journal.emit(f'{{"k":"ready","m":{mono()}}}\n')
    try:
        company.begin()
        producer.obey(sys.stdin)
    finally:
        journal.emit(f'{{"k":"down","m":{mono()}}}\n')


def _prepare(settings: Settings, journal: Journal, company: Company, outbox: Outbox) -> Producer:
    application.use_working_folder()
    app = application.find_app(settings.app)
    config.merge(app.conf, settings.config)
    config.demand_our_servers(app, settings, journal)
    application.register_tasks(app)
    app.set_current()
    producer = Producer(app, settings.plan, journal, company, outbox)
    with contextlib.suppress(Exception), app.producer_or_acquire() as link:  # the first call pays for no connection
        link.connection.ensure_connection(max_retries=1)
    return producer


def _fail(settings: Settings, exc: Exception) -> NoReturn:
    traceback.print_exception(type(exc), exc, exc.__traceback__)
    sys.stderr.write(f"harness agent: the producer cannot prepare the load of {settings.app}: {exc}\n")
    sys.stderr.flush()
    sys.exit(_EX_SOFTWARE)


def _give_up(exc: BaseException) -> NoReturn:
    """A thread cannot go on with its calls, such as where the user's code raised SystemExit: a load with a gap is none."""
    traceback.print_exception(type(exc), exc, exc.__traceback__)
    sys.stderr.write(f"harness agent: the producer cannot go on with its load: {exception_name(exc)}\n")
    sys.stderr.flush()
    os._exit(_EX_SOFTWARE)


class Producer:
    """The load of one pass."""

    def __init__(self, app: Any, plan: dict[str, Any], journal: Journal, company: Company, outbox: Outbox) -> None:
        self._app = app
        self._items: list[dict[str, Any]] = plan.get("items") or []
        self._calls = {number: (index, due) for number, index, due in plan.get("calls") or ()}
        self._order: list[int] = plan.get("order") or sorted(self._calls)
        self._mode = plan.get("mode") or "timed"
        self._journal, self._outbox = journal, outbox
        self._emit, self._end = journal.emit, company.end
        self._stop = threading.Event()
        self._start = mono()
        self._seed: int = plan.get("seed") or 0
        self._own = arguments.own_tasks(self._items, self._calls)
        self._drawn = arguments.draw(self._seed, self._items, plan.get("calls") or ())
        self._prepared: dict[int, PreparedCall] = {}
        self._lists: list[list[Due]] = []
        self._pools: list[Any] = []  # per publisher; [] where the app's own will do
        self._links: list[Link] = []  # likewise
        if self._mode == "timed":
            self._get_ready()

    def _get_ready(self) -> None:
        """All that can be done before the load begins."""
        self._lists = shared_out(self._calls, self._items)
        wanted = [number for number, (index, _) in self._calls.items() if self._items[index].get("prepare")]
        if wanted or len(self._lists) > 1:
            self._pools = [own_pool(self._app) if calls else None for calls in self._lists]
        if wanted:
            self._links = [Link(pool, self._outbox) for pool in self._pools]
            self._prepared = self._prepare(wanted)
            gc.collect()
            gc.freeze()  # they live until they are sent: a collector that walks them all would make calls late

    def _prepare(self, numbers: list[int]) -> dict[int, PreparedCall]:
        broker = self._app.connection_for_write().as_uri()
        return {number: self._prepared_call(number, broker) for number in sorted(numbers)}

    def _prepared_call(self, number: int, broker: str) -> PreparedCall:
        item, drawn = self._item_of(number), self._drawn.pop(number)
        token = enter_shared({CALL: number})
        try:
            call = prepared.prepare(self._outbox, broker, lambda: self._publish(item, [item], drawn))
        finally:
            leave_shared(token)
        call.sent = self._of_call(number, item, _text(item, drawn))
        call.ok = call_records.of_result(number, call.result)
        return call

    def _item_of(self, number: int) -> dict[str, Any]:
        """The load item of a call, with the task that a trace names for it."""
        item = self._items[self._calls[number][0]]
        task = self._own.get(number)
        return {**item, "send": task} if task else item

    def obey(self, lines: Iterator[str]) -> None:
        """Until `stop`, or the end of the input: whoever speaks to us is gone."""
        sender: threading.Thread | None = None
        for line in lines:
            words = line.split()
            if words[:1] == ["stop"]:
                break
            if words[:1] == ["go"] and len(words) == 2 and sender is None:
                self._start = int(words[1])
                sender = threading.Thread(target=self._run, args=(self._start,), name="load")
                sender.start()
            elif words[:1] == ["call"] and len(words) == 2 and self._mode == "single":
                self._send(int(words[1]), mono())
            elif words[:1] == ["send"] and len(words) > 1 and self._mode == "live":
                self._send_now(int(words[1]), line.split(None, 2)[2:])
            elif words == ["done"] and self._mode == "live":
                self._end(f'{{"k":"load_done","m":{mono()},"late":0,"dropped":0}}\n')
            elif words:
                sys.stderr.write(f"harness agent: the producer does not know {line!r}\n")
        self._stop.set()
        if sender is not None:
            sender.join(timeout=5)

    def _send_now(self, number: int, item: list[str]) -> None:
        """A call of the plan, or one that was not planned: then its load item stands behind its number."""
        if item:
            self._items.append(json.loads(item[0]))
            self._calls[number] = (len(self._items) - 1, mono() - self._start)
            self._drawn.update(arguments.draw(self._seed + number, self._items, [(number, len(self._items) - 1, 0)]))
        self._send(number, mono())

    def _run(self, start: int) -> None:
        try:
            self._load(start)
        except BaseException as exc:
            _give_up(exc)

    def _load(self, start: int) -> None:
        late = dropped = 0
        if self._mode == "timed":
            late, dropped = self._timed(start)
        elif self._mode == "fast":
            self._fast()
        else:
            return
        self._end(f'{{"k":"load_done","m":{mono()},"late":{late:d},"dropped":{dropped:d}}}\n')

    def _timed(self, start: int) -> tuple[int, int]:
        """Publisher 0 in this thread, each other one in its own; (late, dropped)."""
        publishers = [Publisher(number, calls, self._send_due) for number, calls in enumerate(self._lists)]
        own = OwnPools(self._app) if len(publishers) > 1 else None
        others = [threading.Thread(target=self._alone, args=(own, p, start), name=f"load-{p.number}") for p in publishers[1:]]
        for thread in others:
            thread.start()
        publishers[0].run(start, self._stop)
        for thread in others:
            thread.join()
        return sum(p.late for p in publishers), sum(p.dropped for p in publishers)

    def _alone(self, own: OwnPools, publisher: Publisher, start: int) -> None:
        try:
            own.use(self._pools[publisher.number])
            publisher.run(start, self._stop)
        except BaseException as exc:
            _give_up(exc)

    def _fast(self) -> None:
        for number in self._order:
            if self._stop.is_set():
                break
            self._send(number, mono())

    def _send_due(self, number: int, now: int, free: int, publisher: int) -> None:
        """One call of an open loop; its record says as well when its publisher was free, and which one that is."""
        health = f',"late":{now - self._start - self._calls[number][1] > LATE_NS:d},"free":{free - self._start},"p":{publisher}'
        call = self._prepared.pop(number, None)
        if call is None:
            self._send(number, now, health)
            return
        self._emit(f'{{"k":"call","m":{now}{call.sent}{health}}}\n')
        begun = publish.begun()
        try:
            self._links[publisher].send(call)
        except Exception as exc:
            self._failed(number, exc, begun=publish.begun() > begun)
        else:
            self._emit(f'{{"k":"call_ok","m":{mono()}{call.ok}}}\n')

    def _send(self, number: int, now: int, health: str = ',"late":0') -> None:
        item, drawn = self._item_of(number), self._drawn[number]
        parts = arguments.calls_of(item)
        self._emit(f'{{"k":"call","m":{now}{self._of_call(number, parts[0], _text(item, drawn))}{health}}}\n')
        begun = publish.begun()
        token = enter_shared({CALL: number})
        try:
            result = self._publish(item, parts, drawn)
        except Exception as exc:
            self._failed(number, exc, begun=publish.begun() > begun)
        else:
            self._emit(f'{{"k":"call_ok","m":{mono()}{call_records.of_result(number, result)}}}\n')
        finally:
            leave_shared(token)

    def _of_call(self, number: int, part: dict[str, Any], text: str) -> str:
        """What the `call` record says beside when it was sent, and how."""
        return call_records.of_call(number, part["send"], text, self._calls[number][1])

    def _failed(self, number: int, exc: Exception, *, begun: bool) -> None:
        """Unknown: the connection failed after a publish began, so the broker may have it."""
        unknown = begun and is_connection_error(exc)
        self._emit(call_records.failed(number, exception_name(exc), str(exc), unknown=unknown))

    def _publish(self, item: dict[str, Any], parts: list[dict[str, Any]], drawn: list[arguments.Arguments]) -> Any:
        from celery import chain, chord, group

        if item.get("send"):
            args, kwargs = drawn[0]
            return self._task(item).apply_async(args, kwargs, **self._options(item))
        signatures = [self._signature(part, pair) for part, pair in zip(parts, drawn)]
        if item.get("chain"):
            return chain(*signatures).apply_async()
        if item.get("group"):
            return group(signatures).apply_async()
        return chord(signatures[:-1])(signatures[-1])

    def _task(self, part: dict[str, Any]) -> Any:
        return self._app.tasks[part["send"]]

    def _signature(self, part: dict[str, Any], pair: arguments.Arguments) -> Any:
        args, kwargs = pair
        return self._task(part).signature(args, kwargs, **self._options(part))

    def _options(self, part: dict[str, Any]) -> dict[str, Any]:
        """Options of apply_async; an `eta` of the file counts from now."""
        options = {name: part[name] for name in ("queue", "countdown", "expires", "priority") if part.get(name) is not None}
        if part.get("eta") is not None:
            options["eta"] = self._app.now() + timedelta(seconds=part["eta"])
        return options


def _text(item: dict[str, Any], drawn: list[arguments.Arguments]) -> str:
    """The arguments of a call, quoted."""
    return quoted(arguments.text_of(drawn, single=bool(item.get("send"))))
