"""Redis as a dependency of the app: a cache, a lock, a counter. Its own server, never the broker's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from harness.errors import EnvironmentFault
from harness.model.world import Collection, Row, StoreState
from harness.ports.broker import Endpoint
from harness.ports.redis_content import CONTENT, LOOK, calls_of, groups_of
from harness.ports.redis_turns import RedisTurns
from harness.ports.store import StoreHost, StoreParameters
from harness.ports.trust import wrapped
from harness.stores._values import canonical, digest

__all__ = ["RedisParameters", "RedisStore"]

#: All keys of the selected database at one moment: {key, type, milliseconds to live or -1, content}.
_READ = f"""{CONTENT}
local rows = {{}}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value = content_of(key, kind)
  if kind ~= 'none' then rows[#rows + 1] = {{key, kind, redis.call('PTTL', key), value}} end
end
return rows
"""
_DUMP = """
local rows = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local content = redis.call('DUMP', key)
  if content then rows[#rows + 1] = {key, redis.call('PTTL', key), content} end
end
return rows
"""
#: Milliseconds that a busy machine may need between telling the time and asking the server.
_LAG = 1000
#: Every key of every database that will expire lives so many milliseconds less; what is left of its last twentieth of a second is no time.
#: Arguments: those milliseconds, how old the image is, then database, key and life of each that it held.
_AGE = """
local known = {}
for i = 3, #ARGV, 3 do known[ARGV[i] .. ':' .. ARGV[i + 1]] = tonumber(ARGV[i + 2]) end
for db in string.gmatch(redis.call('INFO', 'keyspace'), 'db(%d+):') do
  redis.call('SELECT', db)
  for i, key in ipairs(redis.call('KEYS', '*')) do
    local left = redis.call('PTTL', key)
    if left >= 0 then
      local was = known[db .. ':' .. key]
      if was and left <= was and was - left <= tonumber(ARGV[2]) then left = was end
      local now = left - tonumber(ARGV[1])
      if now > 50 then redis.call('PEXPIRE', key, now) else redis.call('DEL', key) end
    end
  end
end
"""


class RedisParameters(StoreParameters):
    """Keys of a service ``redis``."""

    tls: bool | Literal["wrong_name", "expired"] = Field(
        default=False,
        description="encrypt, with an authority made for the run; wrong_name, expired: with a certificate that no client may trust",
    )
    sequences: tuple[str, ...] = Field(
        default=(),
        description="keys (* and ? as in a shell) of counters that only give numbers, of which a gap means nothing: how far they are is "
        "not compared",
    )


class RedisStore:
    """See `Store`. Database 0 is the collection ``keys``, another one that is in use ``keys3``: key, type, value, expires."""

    kind: ClassVar[str] = "redis"
    summary: ClassVar[str] = "a Redis server of the app's own"
    Parameters: ClassVar[type[StoreParameters]] = RedisParameters
    #: The runtime starts one for it.
    has_server: ClassVar[bool] = True

    def __init__(self, name: str, parameters: Any) -> None:
        self.name = name
        self.parameters: RedisParameters = parameters
        self._endpoint: Endpoint | None = None
        self._clients: dict[int, Any] = {}
        self._turns: RedisTurns | None = None
        self._counters: set[tuple[int, str]] = set()  # database and key of `sequences` that were there once

    def start(self, host: StoreHost) -> None:
        """A server from the runtime, which also stops it."""
        self._endpoint = host.server("redis", self.name, tls=self.parameters.tls, owned=True)

    @property
    def _server(self) -> Endpoint:
        assert self._endpoint is not None, f"{self.name} is not started"
        return self._endpoint

    @property
    def _told(self) -> Endpoint:
        """The server as the app knows it: with every right, as it is the app's own and no broker."""
        return self._server.for_app("service")

    def offers(self) -> Mapping[str, str]:
        """``url`` (redis://:password@host:port/0), ``host``, ``port``, ``user``, ``password``; with TLS ``sslrootcert``, the
        authority's certificate, which the url (rediss://…?ssl_ca_certs=…) names too. Whether to verify is left to the app.
        """
        end = self._told
        login = f"{quote(end.user, safe='')}:{quote(end.password, safe='')}@"
        offered = {"host": end.host, "port": str(end.port), "user": end.user, "password": end.password}
        address = f"{login}{end.host}:{end.port}/0"
        if end.tls is None:
            return {"url": f"redis://{address}", **offered}
        authority = str(end.tls.authority)
        return {"url": f"rediss://{address}?ssl_ca_certs={quote(authority)}", **offered, "sslrootcert": authority}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The server's."""
        return ((self._told.host, self._told.port),)

    def clear(self) -> None:
        """FLUSHALL; the app's connections stay. Ours may be to a server that is no more."""
        self._disconnect()
        self._ask(lambda: self._client(0).flushall())

    def observe(self) -> StoreState:
        """Each database at one moment. How long a key still lives varies from look to look; that it expires does not."""
        return self._state({db: self._eval(db, _READ) for db in self._ask(self._databases)})

    def _state(self, databases: Mapping[int, Sequence[Sequence[Any]]]) -> StoreState:
        collections = {}
        for db, entries in databases.items():
            name = _collection_of(db)
            rows = sorted((_row(entry) for entry in entries if not self._gives_numbers(db, entry)), key=lambda row: str(row["key"]))
            collections[name] = Collection(name, tuple(rows), key=("key",))
        return StoreState(self.name, collections)

    def _gives_numbers(self, db: int, entry: Sequence[Any]) -> bool:
        if not self.parameters.sequences:
            return False
        key, kind, _, value = entry
        name = str(canonical(key))
        if kind != b"string" or not value.isdigit() or not any(fnmatchcase(name, known) for known in self.parameters.sequences):
            return False
        self._counters.add((db, name))
        return True

    def numbers(self) -> tuple[str, ...]:
        """See `DrawsNumbers`."""
        return self.parameters.sequences

    def skip_numbers(self, count: int) -> list[int]:
        """See `DrawsNumbers`."""
        skipped = {place: count * n for n, place in enumerate(sorted(self._counters), 1)}
        for (db, key), further in skipped.items():
            self._skip(db, key, further)
        return list(skipped.values())

    def _skip(self, db: int, key: str, count: int) -> None:
        self._ask(lambda: self._client(db).incrby(key, count))

    def look(self) -> tuple[StoreState, dict[int, list[tuple[bytes, int, bytes]]], tuple[Collection, ...]]:
        """See `LooksOnce`."""
        found: dict[int, Sequence[Any]] = {0: [], **{int(db): entries for db, entries in self._eval(0, LOOK)}}
        state = self._state({db: [entry[:4] for entry in entries] for db, entries in sorted(found.items())})
        image = {db: [(key, lifetime, content) for key, _, lifetime, _, content, _ in entries] for db, entries in found.items()}
        return state, image, _beneath(found)

    def beneath(self) -> tuple[Collection, ...]:
        """See `ShowsBeneath`: groups that read streams, how far they have read, and what is pending there."""
        return self.look()[2]

    def unseen(self) -> Mapping[str, int]:
        """See `KnowsUnseen`: by the server's own counts of commands."""
        return calls_of(self._ask(lambda: self._client(0).info("commandstats")))

    def _databases(self) -> list[int]:
        """Those in use, and always 0."""
        return sorted({0, *(int(name[2:]) for name in self._client(0).info("keyspace"))})

    def touched(self) -> int:
        """By the server's own counters of changes, and of keys that expired or were evicted."""
        info = self._ask(lambda: self._client(0).info())
        # The first counter starts again at a snapshot, all of them with the server.
        names = ("rdb_changes_since_last_save", "rdb_last_save_time", "expired_keys", "evicted_keys", "run_id")
        return digest([info[name] for name in names])

    def settled(self) -> bool:
        """See `Settles`: by turns of the server's loop."""
        return bool(self._ask(lambda: self._watched().quiet()))

    def fingerprint(self) -> Hashable:
        """See `Fingerprints`: the server's counters of changes, without its identity."""
        found: Hashable = self._ask(lambda: self._watched().changes())
        return found

    def _watched(self) -> RedisTurns:
        if self._turns is None:
            self._turns = RedisTurns(self._client(0).connection_pool)
        return self._turns

    def save(self) -> dict[int, list[tuple[bytes, int, bytes]]]:
        """Database -> (key, milliseconds to live, serialised value)."""
        return {db: [tuple(row) for row in self._eval(db, _DUMP)] for db in self._ask(self._databases)}

    def restore(self, image: Any) -> None:
        """Keys that expire get the time that they had left when the image was made."""
        try:
            self._write({0: (), **image})
        except EnvironmentFault:
            self._disconnect()  # ours may be to a server that is no more
            self._write({0: (), **image})

    def _write(self, image: Mapping[int, Sequence[tuple[bytes, int, bytes]]]) -> None:
        for db, rows in sorted(image.items()):
            with self._client(db).pipeline() as pipe:
                if db == 0:
                    pipe.flushall()
                for key, lifetime, content in rows:
                    if lifetime != 0:  # gone within the millisecond; RESTORE would take 0 for "never"
                        pipe.restore(key, max(lifetime, 0), content)
                self._ask(pipe.execute)

    def expiries(self, image: Any) -> list[tuple[str, str, float]]:
        """See `KnowsTime`."""
        return [
            (_collection_of(db), str(canonical(key)), lifetime / 1000)
            for db, rows in image.items()
            for key, lifetime, _ in rows
            if lifetime >= 0
        ]

    def image_later(self, image: Any, seconds: float) -> Any:
        """See `KnowsTime`."""
        passed = round(seconds * 1000)
        return {
            db: [
                (key, lifetime - passed if lifetime >= 0 else lifetime, content)
                for key, lifetime, content in rows
                if not 0 <= lifetime <= passed
            ]
            for db, rows in image.items()
        }

    def age(self, seconds: float, since: Any = None, real: float = 0.0) -> None:
        """See `Ages`."""
        lives = [part for db, rows in (since or {}).items() for key, left, _ in rows if left >= 0 for part in (db, key, left)]
        self._ask(lambda: self._client(0).eval(_AGE, 0, round(seconds * 1000), round(real * 1000) + _LAG, *lives))

    def kept(self, image: Any, since: Any, real: float) -> Any:
        """See `Ages`."""
        longest = real * 1000 + _LAG
        before = {(db, key): left for db, rows in since.items() for key, left, _ in rows if left >= 0}

        def life(db: int, key: bytes, left: int) -> int:
            was = before.get((db, key), -1)
            return was if 0 <= left <= was <= left + longest else left

        return {db: [(key, life(db, key, left), content) for key, left, content in rows] for db, rows in image.items()}

    def stop(self) -> None:
        """Connections are dropped; the server is the runtime's."""
        self._disconnect()
        self._endpoint = None

    def _disconnect(self) -> None:
        for client in self._clients.values():
            client.connection_pool.disconnect()
        self._clients.clear()
        self._turns = None

    def _eval(self, db: int, script: str) -> Sequence[Any]:
        return self._ask(lambda: self._client(db).eval(script, 0))  # type: ignore[no-any-return]

    def _ask(self, question: Callable[[], Any]) -> Any:
        import redis

        try:
            return question()
        except (redis.RedisError, OSError) as exc:
            where = f"{self._server.host}:{self._server.port}"
            raise EnvironmentFault(f"service {self.name}: Redis does not answer: {exc}", where=where) from exc

    def _client(self, db: int) -> Any:
        # Here, not above: the import costs 0.2 s, and `--help` does not need it.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if db not in self._clients:
            end = self._server
            pool = redis.ConnectionPool(
                connection_class=wrapped(redis.Connection, end.tls),
                host=end.host,
                port=end.port,
                username=end.user or None,
                password=end.password or None,
                db=db,
                socket_timeout=30.0,
                retry=Retry(NoBackoff(), 0),
            )
            self._clients[db] = redis.Redis(connection_pool=pool)
        return self._clients[db]


def _beneath(databases: Mapping[int, Sequence[Any]]) -> tuple[Collection, ...]:
    """One collection per database with streams that somebody reads as a group."""
    found = []
    for db, entries in sorted(databases.items()):
        rows = [
            {"key": canonical(key), "group": canonical(name), "read": read, "pending": [[at, canonical(who), n] for at, who, n in pending]}
            for key, kind, _, value, _, groups in entries
            if kind == b"stream"
            for name, read, pending in groups_of(groups, [one for one, _ in value])
        ]
        if rows:
            found.append(Collection(f"{_collection_of(db)}~groups", tuple(rows), key=("key", "group")))
    return tuple(found)


def _collection_of(db: int) -> str:
    return f"keys{db or ''}"


def _row(entry: Sequence[Any]) -> Row:
    key, kind, lifetime, value = entry
    return {"key": canonical(key), "type": canonical(kind), "value": _value(canonical(kind), value), "expires": lifetime >= 0}


def _value(kind: str, value: Any) -> Any:
    """Order is kept only where it has a meaning. A stream's ids are the time of day: its entries are shown without."""
    if kind == "list":
        return [canonical(item) for item in value]
    if kind == "set":
        return sorted(canonical(item) for item in value)
    if kind == "hash":
        return _pairs(value)
    if kind == "zset":
        return sorted([canonical(member), float(score)] for member, score in zip(value[::2], value[1::2], strict=True))
    if kind == "stream":
        return [_pairs(fields) for _, fields in value]
    return canonical(value)


def _pairs(flat: Sequence[bytes]) -> dict[str, Any]:
    return {canonical(k): canonical(v) for k, v in sorted(zip(flat[::2], flat[1::2], strict=True))}
