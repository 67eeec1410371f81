"""The queues of a Redis broker, and the keys of a Redis result backend, for the explorer: no worker consumes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from harness.brokers.envelope import Envelope
from harness.errors import EnvironmentFault
from harness.model.world import Row
from harness.ports.broker import Endpoint
from harness.ports.queues import Kept, Waiting
from harness.ports.redis_content import LOOK, calls_of, groups_of
from harness.ports.redis_turns import RedisTurns
from harness.ports.trust import wrapped

__all__ = ["RedisQueues"]

#: `_kombu.binding.<exchange>`, and in newer versions `_kombu.binding_permanent.<exchange>` and `_kombu.binding_deadlines`.
_BINDING = "_kombu.binding"


class RedisQueues:
    """See `Queues`: queues are in database 0 of a server of ours, rows in all of them. EnvironmentFault where it does not answer."""

    def __init__(self, endpoint: Endpoint, options: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._prefix = str(options.get("global_keyprefix") or "")
        self._client: Any = None
        self._turns: RedisTurns | None = None

    def settled(self) -> bool:
        """By turns of the server's loop."""
        return bool(self._ask(lambda: self._watched().quiet()))

    def fingerprint(self) -> Hashable:
        """The server's counters of changes."""
        found: Hashable = self._ask(lambda: self._watched().changes())
        return found

    def look(self) -> Kept:
        """A list is a queue as far as its items are envelopes; routing is only part of the image."""
        databases = sorted((int(db), sorted(entries, key=_name)) for db, entries in self._ask(lambda: self._connected().eval(LOOK, 0)))
        waiting: list[Waiting] = []
        rows: list[Row] = []
        for db, entries in databases:
            for key, kind, lifetime, value, _, groups in entries:
                name = _text(key)
                messages = list(_messages(name, value)) if kind == b"list" and not db else []
                if messages and len(messages) == len(value):
                    waiting += messages
                elif not name.startswith(self._prefix + _BINDING):
                    rows.append(_row(name if not db else f"/{db} {name}", _text(kind), lifetime, value, groups))
        image = tuple(
            (db, tuple((bytes(key), int(life), bytes(dump)) for key, _, life, _, dump, _ in entries)) for db, entries in databases
        )
        return Kept(tuple(waiting), tuple(rows), image)

    def restore(self, image: Any) -> None:
        """Keys that expire get the time that they had left when the image was made."""

        def write() -> None:
            with self._connected().pipeline(transaction=False) as pipe:
                pipe.flushall()
                for db, entries in image:
                    pipe.execute_command("SELECT", db)
                    for key, lifetime, content in entries:
                        if lifetime:  # one of 0 is gone within the millisecond; RESTORE would take 0 for "never"
                            pipe.restore(key, max(lifetime, 0), content)
                pipe.execute_command("SELECT", 0)
                pipe.execute()

        self._ask(write)

    def unseen(self) -> Mapping[str, int]:
        """See `KnowsUnseen`: by the server's own counts of commands."""
        return calls_of(self._ask(lambda: self._connected().info("commandstats")))

    def take(self, waiting: Waiting) -> bool:
        """From the right, where the oldest lies."""
        return bool(self._ask(lambda: self._connected().lrem(waiting.queue, -1, waiting.item)))

    def put(self, queue: str, document: Mapping[str, Any]) -> None:
        """`kombu.transport.redis.Channel._do_restore_message`: both flags, and to the right, which BRPOP serves first."""
        headers, properties = dict(document.get("headers") or {}), dict(document.get("properties") or {})
        headers["redelivered"] = True
        properties["delivery_info"] = {**(properties.get("delivery_info") or {}), "redelivered": True}
        item = json.dumps({**document, "headers": headers, "properties": properties})
        self._ask(lambda: self._connected().rpush(queue, item))

    def close(self) -> None:
        """A later call opens a new connection."""
        if self._client is not None:
            self._client.connection_pool.disconnect()
        self._client = self._turns = None

    def _watched(self) -> RedisTurns:
        if self._turns is None:
            self._turns = RedisTurns(self._connected().connection_pool)
        return self._turns

    def _ask(self, question: Callable[[], Any]) -> Any:
        import redis

        try:
            return question()
        except (redis.RedisError, OSError) as exc:
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            raise EnvironmentFault(f"Redis does not answer: {exc}", where=where, hint="its log is kept with the run") from exc

    def _connected(self) -> Any:
        # Here, not above: the import costs 0.2 s, and `--help` does not need it.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if self._client is None:
            end = self._endpoint
            pool = redis.ConnectionPool(
                connection_class=wrapped(redis.Connection, end.tls),
                host=end.host,
                port=end.port,
                username=end.user or None,
                password=end.password or None,
                socket_timeout=30.0,
                retry=Retry(NoBackoff(), 0),
            )
            self._client = redis.Redis(connection_pool=pool)
        return self._client


def _messages(queue: str, items: Sequence[bytes]) -> Iterator[Waiting]:
    """Oldest first: BRPOP takes from the right. What is no envelope is left out."""
    for item in reversed(items):
        envelope = Envelope.parse(item)
        if envelope.document is not None:
            document = envelope.document
            again = (document["properties"].get("delivery_info") or {}).get("redelivered") or (document.get("headers") or {}).get(
                "redelivered"
            )
            facts = (envelope.task_id, envelope.task, envelope.retries, bool(again), envelope.eta)
            yield Waiting(queue, bytes(item), *facts, document)


def _name(entry: Sequence[Any]) -> bytes:
    return bytes(entry[0])


def _row(key: str, kind: str, lifetime: int, value: Any, groups: Sequence[Any]) -> Row:
    """A stream's ids are the time of day: its entries are shown without, and who has read how many of them."""
    row: Row = {"key": key, "type": kind, "value": _content(sorted(value) if kind == "set" else value), "expires": lifetime >= 0}
    if kind != "stream":
        return row
    readers = [
        [_text(name), read, [[at, _text(who), n] for at, who, n in held]] for name, read, held in groups_of(groups, [e for e, _ in value])
    ]
    return {**row, "value": [_content(fields) for _, fields in value], "groups": readers}


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return [_content(item) for item in value]
    return _text(value) if isinstance(value, bytes) else value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
