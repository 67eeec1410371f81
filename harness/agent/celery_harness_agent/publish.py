"""Stamps what is published here, and shortens retry delays where the scenario asks for it."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timezone
from typing import Any

from celery_harness_agent.context import CALL, CAUSE, COPY, DELIVERY, MESSAGE, call_of, delivery_of, running
from celery_harness_agent.journal import Journal, mono, optional, quoted
from celery_harness_agent.outbox import Outbox

_STAMPS = (MESSAGE, CAUSE, CALL, COPY, DELIVERY)
#: A receiver's return value is ignored; this is kept for whoever wants to know what became of a publish. Per thread or greenlet.
_of_thread = threading.local()
#: kombu.transport.native_delayed_delivery: the whole seconds of a delay in 28 bits, before the routing key proper.
_DELAY = re.compile(r"^(?:[01]\.){28}")


def begun() -> int:
    """How many publishes began in this thread: shows whether a failed call reached the broker's door."""
    return int(getattr(_of_thread, "begun", 0))


def begin() -> None:
    """Another one begins in this thread."""
    _of_thread.begun = begun() + 1


def install(journal: Journal | Outbox, divisor: float) -> None:
    """Record `publish` before and `published` after each publish: first ones, retries, chains, chord bodies, callbacks."""
    from celery import signals

    emit, new_id = journal.emit, journal.new_id
    rerouted: dict[str, str] = {}  # message id -> routing key of a shortened native delay
    if divisor > 1:
        _publish_as(rerouted)

    def before(sender: Any = None, headers: Any = None, body: Any = None, routing_key: Any = None, exchange: Any = None, **_: Any) -> None:
        begin()
        fields = headers if headers and "id" in headers else body if isinstance(body, dict) else {}
        request = running()
        cause, call, message = delivery_of(request), call_of(request), new_id()
        asked = fields.get("eta")
        retries = fields.get("retries") or 0
        if divisor > 1 and asked and retries and request and request.get("id") == fields.get("id"):
            fields["eta"] = shortened(asked, divisor)
            if _DELAY.match(str(routing_key)):
                rerouted[message] = rerouted_key(str(routing_key), fields["eta"])
        if headers is not None:
            for name in _STAMPS:
                headers.pop(name, None)  # a retry inherits those of the message that it repeats
            headers[MESSAGE] = message
            headers[CAUSE] = cause
            if call:
                headers[CALL] = call
        emit(
            f'{{"k":"publish","m":{mono()},"msg":"{message}","id":{quoted(str(fields.get("id")))},"n":{quoted(str(sender))},"r":{int(retries)},'
            f'"call":{call},"cause":"{cause}","eta":{optional(fields.get("eta"))},"asked":{optional(asked)},'
            f'"expires":{optional(fields.get("expires"))},"parent":{optional(fields.get("parent_id"))},'
            f'"root":{optional(fields.get("root_id"))},"q":{optional(routing_key)},'
            f'"x":{quoted(str(getattr(exchange, "name", exchange) or ""))}}}\n'
        )

    def after(headers: Any = None, **_: Any) -> None:
        message = str((headers or {}).get(MESSAGE))
        rerouted.pop(message, None)
        emit(f'{{"k":"published","m":{mono()},"msg":{quoted(message)}}}\n')

    signals.before_task_publish.connect(before, weak=False)
    signals.after_task_publish.connect(after, weak=False)


def _publish_as(rerouted: dict[str, str]) -> None:
    """Celery has chosen the routing key before it sends its signals, and receivers cannot change it: so where it is used."""
    from kombu.messaging import Producer

    inner: Any = Producer.publish

    def publish(self: Any, body: Any, *args: Any, **options: Any) -> Any:
        key = rerouted.get(str((options.get("headers") or {}).get(MESSAGE))) if rerouted else None
        if key is not None:
            options["routing_key"] = key
        return inner(self, body, *args, **options)

    Producer.publish = publish  # type: ignore[method-assign]


def rerouted_key(key: str, eta: str) -> str:
    """The routing key of a native delay, with the whole seconds from now until ``eta``; none: it passes through all levels at once.

    The worker holds it for what is left of a second, as it always does.
    """
    when, now = _eta_and_now(eta)
    seconds = max(0, int((when - now).total_seconds()))
    return ".".join(f"{seconds:028b}") + "." + _DELAY.sub("", key)


def shortened(asked: str, divisor: float) -> str:
    """ETA (ISO 8601) brought nearer: now + (asked - now) / divisor; one that is past stays as it is."""
    eta, now = _eta_and_now(asked)
    return asked if eta <= now else str((now + (eta - now) / divisor).isoformat())


def _eta_and_now(text: str) -> tuple[datetime, datetime]:
    from celery.utils.time import maybe_iso8601

    eta = maybe_iso8601(text)
    now = datetime.now(timezone.utc)  # protocol 1 has naive times, in UTC
    return eta, now.replace(tzinfo=None) if eta.tzinfo is None else now.astimezone(eta.tzinfo)
