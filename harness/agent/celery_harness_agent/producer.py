"""Publishes the load through the user's app, so its routes, serializers and custom Task classes count."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import traceback
from datetime import timedelta
from typing import Any, Iterator, NoReturn

from celery_harness_agent import application, arguments, config, publish
from celery_harness_agent.company import Company
from celery_harness_agent.context import CALL, enter_shared, leave_shared
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.journal import Journal, mono, optional, quoted
from celery_harness_agent.launch import die_with_parent, parent_from_environment
from celery_harness_agent.settings import Settings
from celery_harness_agent.tracing import exception_name
from celery_harness_agent.worker import open_journal

__all__ = ["main"]

_EX_SOFTWARE = 70
_LATE_NS = 50_000_000
_HOPELESS_NS = 60_000_000_000


def main(settings: Settings) -> None:
    """Import, draw, `ready`, obey; returns when told to stop. Exits with 70 where the user's code fails, 78 as the worker does."""
    die_with_parent(parent_from_environment())
    config.force_addresses(settings)
    journal = open_journal(settings)
    company = Company(journal)
    Guard(settings, Frames(settings.root), journal).install(company.hooks())
    publish.install(journal, settings.retry_divisor)
    config.merge_when_loaded(settings.config)
    try:
        producer = _prepare(settings, journal, company)
    except Exception as exc:
        _fail(settings, exc)
    journal.emit(f'{{"k":"ready","m":{mono()}}}\n')
    try:
        company.begin()
        producer.obey(sys.stdin)
    finally:
        journal.emit(f'{{"k":"down","m":{mono()}}}\n')


def _prepare(settings: Settings, journal: Journal, company: Company) -> Producer:
    application.use_working_folder()
    app = application.find_app(settings.app)
    config.merge(app.conf, settings.config)
    config.demand_our_servers(app, settings, journal)
    application.register_tasks(app)
    app.set_current()
    producer = Producer(app, settings.plan, journal, company)
    with contextlib.suppress(Exception), app.producer_or_acquire() as link:  # the first call pays for no connection
        link.connection.ensure_connection(max_retries=1)
    return producer


def _fail(settings: Settings, exc: Exception) -> NoReturn:
    traceback.print_exception(type(exc), exc, exc.__traceback__)
    sys.stderr.write(f"harness agent: the producer cannot prepare the load of {settings.app}: {exc}\n")
    sys.stderr.flush()
    sys.exit(_EX_SOFTWARE)


class Producer:
    """The load of one pass."""

    def __init__(self, app: Any, plan: dict[str, Any], journal: Journal, company: Company) -> None:
        self._app = app
        self._items: list[dict[str, Any]] = plan.get("items") or []
        self._calls = {number: (index, due) for number, index, due in plan.get("calls") or ()}
        self._order: list[int] = plan.get("order") or sorted(self._calls)
        self._mode = plan.get("mode") or "timed"
        self._emit, self._end = journal.emit, company.end
        self._stop = threading.Event()
        self._start = mono()
        self._seed: int = plan.get("seed") or 0
        self._drawn = arguments.draw(self._seed, self._items, plan.get("calls") or ())

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
                self._send(int(words[1]), late=False)
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
        self._send(number, late=False)

    def _run(self, start: int) -> None:
        if self._mode == "timed":
            late, dropped = self._timed(start)
        elif self._mode == "fast":
            late, dropped = self._fast()
        else:
            return
        self._end(f'{{"k":"load_done","m":{mono()},"late":{late:d},"dropped":{dropped:d}}}\n')

    def _timed(self, start: int) -> tuple[int, int]:
        """Open loop: each call when due, whatever the answers do; nothing is skipped to catch up."""
        late = dropped = 0
        for number in sorted(self._calls, key=lambda n: (self._calls[n][1], n)):
            due = start + self._calls[number][1]
            if not self._wait_until(due):
                break
            behind = mono() - due
            if behind > _HOPELESS_NS:
                dropped += 1
                continue
            late += behind > _LATE_NS
            self._send(number, late=behind > _LATE_NS)
        return late, dropped

    def _wait_until(self, moment: int) -> bool:
        """False: told to stop meanwhile."""
        while not self._stop.is_set():
            left = (moment - mono()) / 1e9
            if left <= 0:
                return True
            if left > 0.002:
                self._stop.wait(left - 0.001)
            else:
                time.sleep(left)
        return False

    def _fast(self) -> tuple[int, int]:
        for number in self._order:
            if self._stop.is_set():
                break
            self._send(number, late=False)
        return 0, 0

    def _send(self, number: int, *, late: bool) -> None:
        index, due = self._calls[number]
        item, drawn = self._items[index], self._drawn[number]
        parts = arguments.calls_of(item)
        self._emit(
            f'{{"k":"call","m":{mono()},"no":{number},"n":{quoted(parts[0]["send"])},"args":'
            f'{quoted(arguments.text_of(drawn, single=bool(item.get("send"))))},"due":{due},"late":{late:d}}}\n'
        )
        begun = publish.begun()
        token = enter_shared({CALL: number})
        try:
            result = self._publish(item, parts, drawn)
        except Exception as exc:
            self._failed(number, exc, begun=publish.begun() > begun)
        else:
            ids = task_ids(result)
            self._emit(f'{{"k":"call_ok","m":{mono()},"no":{number},"id":{optional(ids[0] if ids else None)},"ids":{json.dumps(ids)}}}\n')
        finally:
            leave_shared(token)

    def _failed(self, number: int, exc: Exception, *, begun: bool) -> None:
        """Unknown: the connection failed after a publish began, so the broker may have it."""
        unknown = begun and _is_connection_error(exc)
        self._emit(
            f'{{"k":"call_failed","m":{mono()},"no":{number},"e":{quoted(exception_name(exc))},"text":'
            f'{quoted(str(exc)[:300])},"unknown":{unknown:d}}}\n'
        )

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


def task_ids(result: Any) -> list[str]:
    """All task ids behind a result, those that were sent first in front: a chain's parts, a group's, a chord's and its body."""
    if result is None:
        return []
    before = task_ids(getattr(result, "parent", None))
    members = getattr(result, "results", None)
    if members is None:
        return [*before, str(result.id)]
    return before + [identity for member in members for identity in task_ids(member) if identity not in before]


def _is_connection_error(exc: BaseException) -> bool:
    from kombu.exceptions import KombuError, OperationalError

    if isinstance(exc, OperationalError):
        return True
    return isinstance(exc, OSError) or (not isinstance(exc, KombuError) and "ConnectionError" in type(exc).__name__)
