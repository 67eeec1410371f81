"""Stamps what is published here, and shortens retry delays where the scenario asks for it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from celery_harness_agent.context import CALL, CAUSE, COPY, DELIVERY, MESSAGE, call_of, delivery_of, running
from celery_harness_agent.journal import Journal, mono, optional, quoted

_STAMPS = (MESSAGE, CAUSE, CALL, COPY, DELIVERY)
#: A receiver's return value is ignored; these are kept for their ids by the producer.
_last: dict[str, int] = {"begun": 0}


def begun() -> int:
    """How many publishes began in this process: shows whether a failed call reached the broker's door."""
    return _last["begun"]


def install(journal: Journal, divisor: float) -> None:
    """Record `publish` before and `published` after each publish: first ones, retries, chains, chord bodies, callbacks."""
    from celery import signals

    emit, new_id = journal.emit, journal.new_id

    def before(sender: Any = None, headers: Any = None, body: Any = None, routing_key: Any = None, **_: Any) -> None:
        _last["begun"] += 1
        fields = headers if headers and "id" in headers else body if isinstance(body, dict) else {}
        request = running()
        cause, call, message = delivery_of(request), call_of(request), new_id()
        asked = fields.get("eta")
        retries = fields.get("retries") or 0
        if divisor > 1 and asked and retries and request and request.get("id") == fields.get("id"):
            fields["eta"] = shortened(asked, divisor)
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
            f'"root":{optional(fields.get("root_id"))},"q":{optional(routing_key)}}}\n'
        )

    def after(headers: Any = None, **_: Any) -> None:
        emit(f'{{"k":"published","m":{mono()},"msg":{quoted(str((headers or {}).get(MESSAGE)))}}}\n')

    signals.before_task_publish.connect(before, weak=False)
    signals.after_task_publish.connect(after, weak=False)


def shortened(asked: str, divisor: float) -> str:
    """ETA (ISO 8601) brought nearer: now + (asked - now) / divisor; one that is past stays as it is."""
    from celery.utils.time import maybe_iso8601

    eta = maybe_iso8601(asked)
    now = datetime.now(timezone.utc)  # protocol 1 has naive times, in UTC
    now = now.replace(tzinfo=None) if eta.tzinfo is None else now.astimezone(eta.tzinfo)
    return asked if eta <= now else str((now + (eta - now) / divisor).isoformat())
