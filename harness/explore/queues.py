"""Messages and results as rows, so that they are compared as everything else is."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from harness.explore.deadlines import LONG_AGO, left_until
from harness.explore.varying import Varying
from harness.model.exploration import Message
from harness.model.world import Collection, Row
from harness.ports.queues import Kept, Waiting

__all__ = ["SOON", "collections_of", "document_of", "expect_ids", "expiries_of", "keys_of", "lasting", "message_of", "queue_of"]

_MESSAGES, _KEYS = "messages", "keys"
_QUEUE = "queue"
_IDS = ("id", "root_id", "parent_id", "group")
#: Of the process that published, or said again elsewhere in the message.
_ASIDE = frozenset({*_IDS, "origin", "argsrepr", "kwargsrepr", "task", "retries", "eta", "expires", "redelivered"})
_OURS = "celery_harness_"
#: Seconds. A message that is due so soon is due: how soon after another one is a matter of how fast the machine is.
SOON = 1.0
#: When and by whom a result was stored; a traceback names lines and addresses.
_RESULT_ASIDE = ("date_done", "traceback", "worker")


def message_of(waiting: Waiting, now: float) -> Message:
    """As the explorer hands it on. ``raw`` is the envelope, and beside it the queue that it lay in."""
    eta = max(0.0, waiting.eta - now) if waiting.eta is not None else 0.0
    raw = {**waiting.document, _QUEUE: waiting.queue}
    return Message(waiting.task_id, waiting.task, waiting.retries, waiting.redelivered, eta, raw)


def queue_of(message: Message) -> str:
    """Where it lay."""
    return str(message.raw[_QUEUE])


def document_of(message: Message) -> dict[str, Any]:
    """The envelope."""
    return {name: value for name, value in message.raw.items() if name != _QUEUE}


def expiries_of(kept: Kept) -> Iterator[float]:
    """Wall seconds at which messages expire that the broker has given back; others expire as their sender wants it, without any crash."""
    moments = (_expires(waiting) for waiting in kept.waiting if waiting.redelivered)
    return (moment for moment in moments if moment is not None)


def lasting(message: Message, wait: float) -> Message:
    """The same; as if it did not expire after a wait that stands for any border of the calendar, which may be much nearer."""
    headers = _mapping(message.raw.get("headers"))
    if wait < LONG_AGO or headers.get("expires") is None:
        return message
    return replace(message, raw={**message.raw, "headers": {**headers, "expires": None}})


def _expires(waiting: Waiting) -> float | None:
    told = _mapping(waiting.document.get("headers")).get("expires")
    try:
        return datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp() if isinstance(told, str) else None
    except ValueError:
        return None


def expect_ids(varying: Varying, server: str) -> None:
    """Celery makes task ids up; a group's, a reply's and the keys of results are of the same kind."""
    for name in _IDS:
        varying.always(f"{server}.{_MESSAGES}", ("ids", name))
    varying.always(f"{server}.{_KEYS}", ("key",))


def collections_of(server: str, kept: Kept, now: float, attempts: int) -> dict[str, Collection]:
    """By 'server.messages' and 'server.keys'. Retries from number ``attempts`` on are alike."""
    return {
        f"{server}.{_MESSAGES}": Collection(_MESSAGES, tuple(_message_row(waiting, now, attempts) for waiting in kept.waiting)),
        **dict([keys_of(server, kept.rows)]),
    }


def keys_of(server: str, rows: Sequence[Row]) -> tuple[str, Collection]:
    """'server.keys', and these of its rows."""
    return f"{server}.{_KEYS}", Collection(_KEYS, tuple(_result_row(row) for row in rows), key=("key",))


def _message_row(waiting: Waiting, now: float, attempts: int) -> Row:
    document = waiting.document
    headers = _mapping(document.get("headers"))
    expires = _expires(waiting)
    return {
        "queue": waiting.queue,
        "task": waiting.task,
        "ids": {name: headers.get(name) for name in _IDS},
        "retries": min(waiting.retries, attempts),
        "redelivered": waiting.redelivered,
        "due": None if waiting.eta is None else left_until(waiting.eta - now if waiting.eta - now > SOON else 0.0),
        "expires": left_until(expires - now) if expires is not None else None,
        "headers": {name: value for name, value in headers.items() if name not in _ASIDE and not name.startswith(_OURS)},
        "priority": _mapping(document.get("properties")).get("priority"),
        "body": _body(document),
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _body(document: Mapping[str, Any]) -> Any:
    """What it says, where that is JSON; else as it lies there."""
    body = document.get("body")
    if document.get("content-type") != "application/json" or not isinstance(body, str):
        return body
    try:
        encoded = _mapping(document.get("properties")).get("body_encoding") == "base64"
        return json.loads(base64.b64decode(body) if encoded else body)
    except (ValueError, binascii.Error, RecursionError):
        return body


def _result_row(row: Row) -> Row:
    value = row["value"]
    if not (isinstance(value, str) and "celery-task-meta-" in str(row["key"])):
        return row
    try:
        result = json.loads(value)
    except (ValueError, RecursionError):
        return row
    if not isinstance(result, dict):
        return row
    return {**row, "value": {name: item for name, item in result.items() if name not in _RESULT_ASIDE}}
