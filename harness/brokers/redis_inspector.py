"""A look into a Redis broker, copies of its messages, and an end to those that wait."""

from __future__ import annotations

import json
import random
import re
import uuid
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.brokers.copies import Draw, copy_numbers
from harness.brokers.envelope import Envelope
from harness.errors import EnvironmentFault
from harness.model.history import Held
from harness.ports.broker import Endpoint
from harness.ports.trust import wrapped

__all__ = ["VISIBILITY_TIMEOUT", "RedisInspector"]

#: kombu.transport.redis.Channel: seconds, separator, steps and keys where the app sets no transport option.
VISIBILITY_TIMEOUT = 3600.0
_SEPARATOR = "\x06\x16"
_PRIORITY_STEPS = (0, 3, 6, 9)
_BINDING = "_kombu.binding."
#: Replies to remote control (inspect, mingle) are no tasks; their queues are bound to nothing else.
_REPLIES = re.compile(r"reply\..*pidbox$")

#: One script is one moment: a message that a worker takes or a sweep restores meanwhile is seen in exactly one place.
#: ARGV: prefix of all keys, `unacked`, `unacked_index` (prefixed), and 'all' items of each list or only its 'ends'.
_SNAPSHOT = """
local prefix, binding = ARGV[1], ARGV[1] .. '_kombu.binding.'
local bindings, lists = {}, {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if string.sub(key, 1, #prefix) == prefix then
    local kind = redis.call('TYPE', key).ok
    if kind == 'list' then
      local items
      if ARGV[4] == 'all' then items = redis.call('LRANGE', key, 0, -1)
      else items = {redis.call('LINDEX', key, 0), redis.call('LINDEX', key, -1)} end
      lists[#lists + 1] = {key, redis.call('LLEN', key), items}
    elseif kind == 'set' and string.sub(key, 1, #binding) == binding then
      bindings[#bindings + 1] = {string.sub(key, #binding + 1), redis.call('SMEMBERS', key)}
    end
  end
end
local held, count, due = {}, 0, {}
if redis.call('TYPE', ARGV[2]).ok == 'hash' then
  count = redis.call('HLEN', ARGV[2])
  if ARGV[4] == 'all' then held = redis.call('HGETALL', ARGV[2]) end
end
if ARGV[4] == 'all' and redis.call('TYPE', ARGV[3]).ok == 'zset' then
  due = redis.call('ZRANGE', ARGV[3], 0, -1, 'WITHSCORES')
end
return {bindings, lists, held, count, due}
"""

#: One list, at one moment. ARGV: items to remove; none: all. How many there were.
_DISCARD = """
if #ARGV == 0 then
  local count = redis.call('LLEN', KEYS[1])
  redis.call('DEL', KEYS[1])
  return count
end
local count = 0
for _, item in ipairs(ARGV) do count = count + redis.call('LREM', KEYS[1], 1, item) end
return count
"""


@dataclass(frozen=True, slots=True)
class _Unacked:
    tag: str
    envelope: Envelope
    exchange: str
    routing_key: str
    since: float | None  # wall seconds of the delivery, by the worker's clock; None: no sweep will find it


class _Options:
    """The app's transport options, as kombu.transport.redis.Channel reads them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.prefix = str(options.get("global_keyprefix") or "")
        self.separator = str(options.get("sep") or _SEPARATOR)
        self.steps = sorted(int(step) for step in options.get("priority_steps") or _PRIORITY_STEPS)
        self.unacked = self.prefix + str(options.get("unacked_key") or "unacked")
        self.index = self.prefix + str(options.get("unacked_index_key") or "unacked_index")
        timeout = options.get("visibility_timeout")
        self.visibility_timeout = VISIBILITY_TIMEOUT if timeout is None else float(timeout)

    def list_key(self, queue: str, priority: int) -> str:
        """Where the transport puts a message of that priority (`Channel._q_for_pri`)."""
        step = self.steps[bisect(self.steps, priority) - 1]
        return f"{self.prefix}{queue}{self.separator}{step}" if step else self.prefix + queue


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One list: a queue's messages of one priority."""

    key: bytes
    queue: str
    length: int
    items: list[bytes]
    bound: bool  # a binding names the queue, so that the list holds messages and nothing else


class _Snapshot:
    """What the script returned, told apart: queues' lists, other lists, unacked messages."""

    def __init__(self, answer: Sequence[Any], options: _Options) -> None:
        bindings, lists, held, self.unacked_count, due = answer
        self.options = options
        self.bindings: dict[str, list[list[str]]] = {
            _decode(exchange): [_decode(member).split(options.separator) for member in members] for exchange, members in bindings
        }
        self.queues: dict[str, set[str]] = {}  # queue -> exchanges that it is bound to
        for exchange, members in self.bindings.items():
            for member in members:
                self.queues.setdefault(member[-1], set()).add(exchange)
        self.lists = list(self._message_lists(lists))
        self._held, self._due = _pairs(held), {_decode(tag): float(score) for tag, score in _pairs(due)}

    def _message_lists(self, lists: Sequence[Any]) -> Iterator[_Waiting]:
        """A list belongs to a queue that a binding names; anything may lie in it, poison too.

        Any other list is the app's own data, or a result backend's, but for items that are envelopes: a queue whose binding
        was evicted, or one written to through the default exchange. Left out, its messages would be called LOST.
        """
        for raw, length, items in sorted(lists, key=lambda entry: entry[0]):  # the same seed picks the same messages
            key = _decode(raw)[len(self.options.prefix) :]
            queue = self._queue_of(key)
            exchanges = self.queues.get(queue)
            if exchanges is None:
                messages = [item for item in items if item and Envelope.parse(item).tag]
                if messages:
                    yield _Waiting(raw, queue, length, messages, bound=False)
            elif not all(_REPLIES.match(exchange) for exchange in exchanges):
                yield _Waiting(raw, queue, length, [item for item in items if item is not None], bound=True)

    def _queue_of(self, key: str) -> str:
        if key in self.queues:
            return key
        base, separator, step = key.rpartition(self.options.separator)
        return base if separator and step.isdigit() else key

    def unacked(self) -> Iterator[_Unacked]:
        """Delivered and not acknowledged; the value is ``[message, exchange, routing key]`` (kombu.transport.redis.QoS.append)."""
        for raw_tag, value in self._held:
            tag = _decode(raw_tag)
            try:
                message, exchange, routing_key = json.loads(value)
            except (ValueError, TypeError, RecursionError):
                message, exchange, routing_key = None, "", ""
            yield _Unacked(tag, Envelope.of(message), str(exchange or ""), str(routing_key or ""), self._due.get(tag))

    def destination(self, exchange: str, routing_key: str) -> str:
        """The queue that the message came from, and that a sweep would give it back to (`Channel._lookup`)."""
        for member in self.bindings.get(exchange, ()):
            bound_key, pattern = member[0], member[1] if len(member) > 2 else ""
            if bound_key == routing_key or (pattern and _matches(pattern, routing_key)):
                return member[-1]
        return routing_key


class RedisInspector:
    """See `BrokerInspector`. EnvironmentFault where the server does not answer; the next call tries anew."""

    def __init__(self, endpoint: Endpoint, db: int, options: Mapping[str, Any]) -> None:
        self._endpoint, self._db, self._options = endpoint, db, _Options(options)
        self._clients: dict[float, Any] = {}
        self._copies = copy_numbers(endpoint)
        self._names: dict[bytes, tuple[str, str]] = {}  # waiting item -> (tag, message id): a backlog is parsed once, not at every look
        self._waiting: dict[str, tuple[str, Envelope]] = {}  # tag of the delivery under way -> (queue, its message)

    def depth(self) -> tuple[int, int]:
        """(ready, unacked). Gives up after a second, so that a frozen broker does not freeze its observer."""
        snapshot = self._snapshot("ends", timeout=1.0)
        return sum(waiting.length for waiting in snapshot.lists), snapshot.unacked_count

    def look(self, wall_offset: float) -> Sequence[Held]:
        """Every message, at one moment. What is no message but lies in a queue is there with empty ids."""
        snapshot = self._snapshot("all")
        ready = [_held("ready", entry.queue, Envelope.parse(item), wall_offset) for entry in snapshot.lists for item in entry.items]
        return ready + [self._held_unacked(snapshot, entry, wall_offset) for entry in snapshot.unacked()]

    def _held_unacked(self, snapshot: _Snapshot, entry: _Unacked, wall_offset: float) -> Held:
        timeout = self._options.visibility_timeout
        queue = snapshot.destination(entry.exchange, entry.routing_key)
        if entry.since is None:
            return _held("unacked", queue, entry.envelope, wall_offset, tag=entry.tag, timeout="none: missing from unacked_index")
        return _held(
            "unacked",
            queue,
            entry.envelope,
            wall_offset,
            tag=entry.tag,
            returns_at=entry.since + timeout - wall_offset,
            timeout=f"visibility_timeout {timeout:g} s",
        )

    def duplicate(
        self,
        queue: str,
        *,
        share: float,
        count: int | None,
        together: bool,
        rng: random.Random,
        seen: set[str],
        only: str = "",
        redelivered: bool = False,
    ) -> int:
        """Copies of messages of `queue` that are not in `seen` (each is decided on once, copies never); how many were made now.

        ``together``: of messages that a worker holds (``only`` of this task), next in turn, so that another worker has the same
        one at once. Otherwise one after the other: the copy of a waiting message goes to the far end of the queue, behind the
        original; that of one that a worker holds is made by a later call, when the broker no longer holds it (acks_late: when it
        has ended; early acks: as it starts, or before). ``count``: at most so many by this call and those still to come.
        ``redelivered``: flag the copies as kombu's restore does.
        """
        snapshot = self._snapshot("all", timeout=2.0)  # called in the run's own loop: a frozen broker must not stop that
        unacked = {entry.tag: entry for entry in snapshot.unacked()}
        # The right end is served first.
        ready = [item for entry in snapshot.lists if entry.queue == queue for item in reversed(entry.items)]
        self._names = {item: self._names.get(item) or _names(item) for item in ready}
        held_tags = unacked.keys() | {tag for tag, _ in self._names.values()}
        due = [tag for tag in self._waiting if tag not in held_tags]
        made = 0
        for tag in due:
            made += self._copy(*self._waiting.pop(tag), redelivered=redelivered)
        wanted = Draw(share, None if count is None else count - made - len(self._waiting), rng, seen)
        for item in () if together else ready:
            if wanted.open_to(self._names[item][1]) and wanted(envelope := Envelope.parse(item)):
                made += self._copy(queue, envelope, last=True, redelivered=redelivered)
        for entry in sorted(unacked.values(), key=lambda entry: entry.since or 0.0):
            if only and entry.envelope.task_id != only:
                continue
            if snapshot.destination(entry.exchange, entry.routing_key) != queue or not wanted(entry.envelope):
                continue
            if together:
                made += self._copy(queue, entry.envelope, redelivered=redelivered)
            else:
                self._waiting[entry.tag] = (queue, entry.envelope)
        return made

    def _copy(self, queue: str, envelope: Envelope, *, redelivered: bool, last: bool = False) -> int:
        key = self._options.list_key(queue, envelope.priority)
        item = envelope.duplicate(next(self._copies), str(uuid.uuid4()), redelivered=redelivered)
        # BRPOP takes from the right. Never tried again: a push whose answer was lost may have happened.
        self._ask(lambda client: client.lpush(key, item) if last else client.rpush(key, item))
        return 1

    def flush(self) -> int:
        """Throw away what waits in every queue; counted as it is deleted, so that nothing that a worker took is among it.

        Replies to remote control stay, and so does what lies beside messages in a list that no binding calls a queue.
        """
        gone = 0
        for entry in self._snapshot("all").lists:
            arguments = [entry.key] if entry.bound else [entry.key, *entry.items]
            gone += int(self._ask(lambda client, arguments=arguments: client.eval(_DISCARD, 1, *arguments)))  # type: ignore[misc]
        return gone

    def results(self) -> dict[str, dict[str, Any]]:
        """Task id -> what its key holds, read without `AsyncResult.get()`. Undecodable (pickle, compressed): ``{"status": None}``."""
        marker = b"celery-task-meta-"

        def read(client: Any) -> list[tuple[bytes, Any]]:
            keys = sorted(set(client.scan_iter(match=b"*" + marker + b"*", count=1000, _type="string")))
            chunks = [keys[i : i + 500] for i in range(0, len(keys), 500)]
            return [pair for chunk in chunks for pair in zip(chunk, client.mget(chunk), strict=True)]

        return {_decode(key.partition(marker)[2]): _result(value) for key, value in self._ask(read, again=True) if value is not None}

    def use(self) -> tuple[int | None, int | None]:
        """See `ShowsUse`: `used_memory`, and the connections under the app's logins."""

        def read(client: Any) -> tuple[int, int]:
            memory = int(client.info("memory")["used_memory"])
            users = {login.user for login in self._endpoint.logins.values()}
            return memory, sum(1 for entry in client.client_list() if not users or entry.get("user") in users)

        return self._ask(read, 1.0, again=True)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Drop connections; a later call opens new ones."""
        for client in self._clients.values():
            client.connection_pool.disconnect()
        self._clients.clear()

    def _snapshot(self, items: str, *, timeout: float = 30.0) -> _Snapshot:
        options = self._options
        arguments = (options.prefix, options.unacked, options.index, items)
        return _Snapshot(self._ask(lambda client: client.eval(_SNAPSHOT, 0, *arguments), timeout, again=True), options)

    def _ask(self, question: Callable[[Any], Any], timeout: float = 30.0, *, again: bool = False) -> Any:
        """``again``: once more where the connection was a stale one, from before a restart of the server."""
        import redis

        stale = timeout in self._clients
        try:
            return question(self._client(timeout))
        except (redis.RedisError, OSError) as exc:
            if again and stale and isinstance(exc, redis.ConnectionError) and not isinstance(exc, redis.TimeoutError):
                self.close()
                return self._ask(question, timeout)
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            raise EnvironmentFault(f"the broker does not answer: {exc}", where=where, hint="its log is kept with the run") from exc

    def _client(self, timeout: float) -> Any:
        # Here, not above: the import costs 0.2 s, and `--help` does not need it.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if timeout not in self._clients:
            end = self._endpoint
            pool = redis.ConnectionPool(
                connection_class=wrapped(redis.Connection, end.tls),
                host=end.host,
                port=end.port,
                username=end.user or None,
                password=end.password or None,
                db=self._db,
                socket_timeout=timeout,
                socket_connect_timeout=min(timeout, 5.0),
                retry=Retry(NoBackoff(), 0),
            )
            self._clients[timeout] = redis.Redis(connection_pool=pool)
        return self._clients[timeout]


def _names(item: bytes) -> tuple[str, str]:
    envelope = Envelope.parse(item)
    return envelope.tag, envelope.message_id


def _held(
    place: str, queue: str, envelope: Envelope, wall_offset: float, *, tag: str = "", returns_at: float | None = None, timeout: str = ""
) -> Held:
    return Held(
        place=place,
        queue=queue,
        tag=tag or envelope.tag,
        returns_at=returns_at,
        timeout=timeout,
        message_id=envelope.message_id,
        task_id=envelope.task_id,
        task=envelope.task,
        retries=envelope.retries,
        eta=None if envelope.eta is None else envelope.eta - wall_offset,
    )


def _result(value: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return {"status": None}
    return decoded if isinstance(decoded, dict) else {"status": None}


def _matches(pattern: str, routing_key: str) -> bool:
    try:
        return re.match(pattern, routing_key) is not None
    except re.error:
        return False


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
