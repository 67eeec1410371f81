"""Messages and results as rows, so that they are compared as everything else is."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection as Several
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from harness.explore.deadlines import LONG_AGO, left_until
from harness.explore.varying import Varying
from harness.model.exploration import Message
from harness.model.world import Collection, Row
from harness.ports.queues import Kept, Waiting

__all__ = [
    "SOON",
    "collections_of",
    "document_of",
    "expect_ids",
    "expiries_of",
    "keys_of",
    "lasting",
    "message_of",
    "queue_of",
    "sent_of",
]

_MESSAGES, _KEYS = "messages", "keys"
_QUEUE = "queue"
_IDS = ("id", "root_id", "parent_id", "group")
#: Of the process that published, or said again elsewhere in the message.
_ASIDE = frozenset({*_IDS, "origin", "argsrepr", "kwargsrepr", "task", "retries", "eta", "expires", "redelivered"})
_OURS = "celery_harness_"
_WHEN = ("due", "expires")
#: Seconds. A message that is due so soon is due: how soon after another one is a matter of how fast the machine is.
SOON = 1.0
#: By so many seconds no machine is slower between two executions than their retries are due apart.
_DRAWN = 0.8
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


def collections_of(server: str, kept: Kept, now: float, attempts: int, drawn: Several[str] = ()) -> dict[str, Collection]:
    """By 'server.messages' and 'server.keys'. Retries from number ``attempts`` on are alike; of tasks that are ``drawn`` whenever due."""
    return {
        f"{server}.{_MESSAGES}": Collection(_MESSAGES, tuple(_message_row(waiting, now, attempts, drawn) for waiting in kept.waiting)),
        **dict([keys_of(server, kept.rows)]),
    }


class Queued:
    """Rows of what servers hold, made once of what was read once."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Kept, int, Mapping[str, Collection]]] = {}  # server -> of what, up to which attempt, and the rows
        self._tasks: frozenset[str] | None = None
        self._strange: set[str] = set()
        self._drawn: set[str] = set()  # tasks that draw how long their retries wait

    def answer_for(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """See `AnswersFor`."""
        self._tasks = frozenset(tasks)
        self._drawn |= {name for name, one in tasks.items() if one.get("retry_backoff") and one.get("retry_jitter") is not False}

    def learn(self, held: Sequence[Mapping[str, Kept]], times: Sequence[float]) -> None:
        """What the same stop of executions saw, at these times: whose retries wait for another time in each of them."""
        self._made.clear()
        seen = [_dues(servers, now) for servers, now in zip(held, times, strict=True)]
        for task in set.intersection(*map(set, seen)) if seen else ():
            each = [one[task] for one in seen]
            if any(len(one) == len(each[0]) and max(abs(a - b) for a, b in zip(one, each[0], strict=True)) > _DRAWN for one in each):
                self._drawn.add(task)

    def dues(self, pending: Iterable[Message]) -> Iterator[float]:
        """After how many seconds they are due, but for numbers that were drawn."""
        return (one.eta for one in pending if one.eta > SOON and not (one.retries and one.task in self._drawn))

    def excludes(self) -> Iterator[str]:
        """What nobody here delivers, in words."""
        for task in sorted(self._strange):
            yield f"what {task} does, which this app publishes and does not have: its message counts, as a request to somebody else does"

    def waiting(self, servers: Mapping[str, Kept]) -> list[tuple[str, Waiting]]:
        """What workers of this app would run, with the server that holds it: oldest first, queue by queue."""
        listed = [(name, waiting) for name, kept in servers.items() for waiting in kept.waiting]
        if self._tasks is None:
            return listed
        self._strange.update(waiting.task for _, waiting in listed if waiting.task not in self._tasks)
        return [(name, waiting) for name, waiting in listed if waiting.task in self._tasks]

    def pending(self, servers: Mapping[str, Kept], now: float) -> tuple[Message, ...]:
        """The same, for `Node`."""
        return tuple(message_of(waiting, now) for _, waiting in self.waiting(servers))

    def known(self, server: str, kept: Kept) -> Kept:
        """The same object where it is what rows were made of last."""
        last = self._made.get(server)
        return last[0] if last is not None and last[0] == kept else kept

    def collections(self, server: str, kept: Kept, now: float, attempts: int) -> Mapping[str, Collection]:
        """See `collections_of`. Where a message is due, or expires, at some time they are made anew for each moment."""
        last = self._made.get(server)
        if last is not None and last[0] is kept and last[1] == attempts:
            return last[2]
        found = collections_of(server, kept, now, attempts, self._drawn)
        if all(waiting.eta is None and _expires(waiting) is None for waiting in kept.waiting):
            self._made[server] = kept, attempts, found
        return found


def sent_of(server: str, kept: Kept, pending: Iterable[Message]) -> tuple[str, Collection]:
    """'server.messages', and those that no worker of this app runs: without when they are due, which nobody waits for."""
    own = {message.task for message in pending}
    rows = (_message_row(waiting, 0.0, 0) for waiting in kept.waiting if waiting.task not in own)
    return f"{server}.{_MESSAGES}", Collection(_MESSAGES, tuple({n: v for n, v in row.items() if n not in _WHEN} for row in rows))


def keys_of(server: str, rows: Sequence[Row]) -> tuple[str, Collection]:
    """'server.keys', and these of its rows."""
    return f"{server}.{_KEYS}", Collection(_KEYS, tuple(_result_row(row) for row in rows), key=("key",))


def _message_row(waiting: Waiting, now: float, attempts: int, drawn: Several[str] = ()) -> Row:
    document = waiting.document
    headers = _mapping(document.get("headers"))
    expires = _expires(waiting)
    return {
        "queue": waiting.queue,
        "task": waiting.task,
        "ids": {name: headers.get(name) for name in _IDS},
        "retries": min(waiting.retries, attempts),
        "redelivered": waiting.redelivered,
        "due": None
        if waiting.eta is None or (waiting.retries and waiting.task in drawn)
        else left_until(waiting.eta - now if waiting.eta - now > SOON else 0.0),
        "expires": left_until(expires - now) if expires is not None else None,
        "headers": {name: value for name, value in headers.items() if name not in _ASIDE and not name.startswith(_OURS)},
        "priority": _mapping(document.get("properties")).get("priority"),
        "body": _body(document),
    }


def _dues(servers: Mapping[str, Kept], now: float) -> dict[str, list[float]]:
    """Of each task with retries in the queues: how long they wait."""
    found: dict[str, list[float]] = {}
    for waiting in (one for kept in servers.values() for one in kept.waiting if one.retries):
        found.setdefault(waiting.task, []).append(0.0 if waiting.eta is None else max(0.0, waiting.eta - now))
    return {task: sorted(dues) for task, dues in found.items()}


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
