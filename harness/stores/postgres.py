"""PostgreSQL as a dependency of the app: a server of its own, seen as any other connection would see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar
from urllib.parse import quote, urlencode

from pydantic import Field

from harness.errors import EnvironmentFault
from harness.model.world import Collection, StoreState
from harness.ports.broker import Endpoint
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._postgres_client import DATABASE, connect, require_driver
from harness.stores._postgres_image import Image, copy_schema, recreate, take, write_back
from harness.stores._postgres_schema import schema
from harness.stores._postgres_tables import Table, hold, moved, released, rows, tables
from harness.stores._values import digest

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresStore"]

T = TypeVar("T")
#: Seconds. How long a look waits for one lock before it starts again, and for all of them.
_LOCK_WAIT, _DEADLINE = 0.2, 10.0
_RESTORE_WAIT = 5.0
#: Which transactions had ended: every id below xmax that is not in xip has
#: (https://www.postgresql.org/docs/current/functions-info.html). Whatever others see is the work of these. Ids that a crash
#: took back are given out again, so the server's life counts as well.
_STAMP = """
SELECT pg_catalog.txid_current_snapshot()::text, pg_catalog.pg_postmaster_start_time()::text, oid::text
FROM pg_catalog.pg_database WHERE datname = %s
"""
_BLOCKERS = """
SELECT string_agg(DISTINCT format('%%s (%%s): %%s', a.usename, a.state, left(a.query, 80)), '; ')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND l.granted AND a.datname = %s
"""


class PostgresParameters(StoreParameters):
    """Keys of a service ``postgres``."""

    natural: tuple[str, ...] = Field(
        default=(),
        description="table.column of serial, identity or uuid columns whose values the app chooses, such as an order's number: "
        "compared as they are",
    )
    surrogate: tuple[str, ...] = Field(
        default=(),
        description="table.column whose values the app draws from a sequence or makes up, where the column's default does not say so",
    )
    tls: bool | Literal["wrong_name", "expired"] = Field(
        default=False,
        description="encrypt, with an authority made for the run; wrong_name, expired: with a certificate that no client may trust",
    )


class PostgresStore:
    """See `Store`. A collection per table of the database `app`: 'orders', and 'billing.orders' outside the schema public."""

    kind: ClassVar[str] = "postgres"
    summary: ClassVar[str] = "a PostgreSQL server of the app's own"
    Parameters: ClassVar[type[StoreParameters]] = PostgresParameters

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._endpoint: Endpoint | None = None
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}  # stamps between which only we were at work

    def start(self, host: StoreHost) -> None:
        """A server from the runtime, which also stops it."""
        require_driver()
        self._endpoint = host.server("postgres", self.name, tls=self.parameters.tls)

    @property
    def _server(self) -> Endpoint:
        assert self._endpoint is not None, f"{self.name} is not started"
        return self._endpoint

    def offers(self) -> Mapping[str, str]:
        """``url`` (postgresql://user:password@host:port/app, with TLS asking for the whole check), and its parts."""
        end = self._server.for_app()
        authority = str(end.tls.authority) if end.tls else ""
        query = "?" + urlencode({"sslmode": "verify-full", "sslrootcert": authority}, safe="/") if authority else ""
        url = f"postgresql://{quote(end.user, safe='')}:{quote(end.password, safe='')}@{end.host}:{end.port}/{DATABASE}{query}"
        parts = {"host": end.host, "port": str(end.port), "user": end.user, "password": end.password, "database": DATABASE}
        return {"url": url, **parts, "sslrootcert": authority}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The server's, as the app sees it."""
        end = self._server.for_app()
        return ((end.host, end.port),)

    def clear(self) -> None:
        """A new database. Connections to the old one are cut: between passes the workers are stopped."""
        self._drop(DATABASE)
        self._ask("postgres", lambda connection: recreate(connection))

    def observe(self) -> StoreState:
        """All tables in one snapshot, without generated columns; EnvironmentFault where a lock keeps us out for 10 s.

        Our locks are the weakest that there are: they keep out ALTER, TRUNCATE and DROP, and each only while its table is read,
        unless the app did just that under a first look.
        """
        return self._patiently(self._look)

    def _look(self, connection: psycopg.Connection[Any], holding: bool) -> StoreState | None:
        with self._snapshot(connection, holding):
            with released(connection):
                found = tables(connection)
            collections = {}
            for table in found:
                with released(connection):
                    collections[table.name] = self._collection(table, connection)
            return None if moved(connection) else StoreState(self.name, collections)

    def _collection(self, table: Table, connection: psycopg.Connection[Any]) -> Collection:
        def made_up(column: str, by_default: bool) -> bool:
            path = f"{table.name}.{column}"
            return (by_default and path not in self.parameters.natural) or path in self.parameters.surrogate

        surrogate = tuple(c.name for c in table.stored if made_up(c.name, c.made_up))
        return Collection(table.name, rows(connection, table), table.key, surrogate, dict(table.references))

    def beneath(self) -> tuple[Collection, ...]:
        """See `ShowsBeneath`: the schema."""
        return (self._ask(DATABASE, schema),)

    def touched(self) -> int:
        """By the transactions that have ended. One that rolled back or is in progress may count; nextval() alone does not."""
        stamp = self._stamp()
        return digest(self._same.get(stamp, stamp))

    def _stamp(self) -> tuple[str, ...]:
        found = self._ask("postgres", lambda connection: connection.execute(_STAMP, (DATABASE,)).fetchone())
        return tuple(found or ())

    def save(self) -> Image:
        """Rows and sequences, and the schema where no other than we is connected; the app is not disturbed."""
        image = self._patiently(self._image)
        self._drop(DATABASE)  # our own connection would be in the way of the copy
        name, before = f"harness_image_{image.fingerprint}", self._stamp()
        copied = self._ask("postgres", lambda connection: copy_schema(connection, name))
        after = self._stamp()
        if _one_later(before, after):
            self._same[after] = self._same.get(before, before)  # the one is the copy's, which changes nothing that is observed
        return replace(image, schema=name if copied else "")

    def _image(self, connection: psycopg.Connection[Any], holding: bool) -> Image | None:
        with self._snapshot(connection, holding):
            image = take(connection)
            return None if moved(connection) else image

    def restore(self, image: Any) -> None:
        """All or nothing, under the app's connections where its tables are those of the image, else with a new database.

        EnvironmentFault where a transaction of the app's holds rows of the image for 5 s, or where tables are not those of the
        image and there was no copy of the schema.
        """
        if self._ask(DATABASE, lambda connection: self._write_back(connection, image)):
            return
        if image.schema:
            self._drop(DATABASE)
            self._ask("postgres", lambda connection: recreate(connection, image.schema))
            if self._ask(DATABASE, lambda connection: self._write_back(connection, image)):
                return
        what = f"service {self.name}: tables of the image are gone or altered, and the app was connected when it was made"
        raise EnvironmentFault(what, where=self._where, hint="save the image before producer and workers connect")

    @staticmethod
    def _write_back(connection: psycopg.Connection[Any], image: Image) -> bool:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_RESTORE_WAIT}s'".encode())
            return write_back(connection, image)

    def stop(self) -> None:
        """Connections are dropped; the server is the runtime's."""
        for database in list(self._connections):
            self._drop(database)
        self._endpoint = None

    @property
    def _where(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    @staticmethod
    @contextmanager
    def _snapshot(connection: psycopg.Connection[Any], holding: bool) -> Iterator[None]:
        """One moment for all queries inside. Nothing is written, so nothing of it is left in `touched`.

        ``holding``: with a lock on all tables from before that moment to the end, so that none is rewritten in between.
        """
        there = tables(connection) if holding else []
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}s'".encode())
            hold(connection, there)
            yield
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")

    def _patiently(self, look: Callable[..., T | None]) -> T:
        """Again while locks are in the way or tables come and go under the look; then holding them still."""
        import psycopg

        passing = (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.InternalError_,
        )
        deadline = time.monotonic() + _DEADLINE
        holding = False
        while True:
            problem: Exception | None = None
            try:
                if (found := self._ask(DATABASE, partial(look, holding=holding), passing)) is not None:
                    return found
            except passing as exc:
                problem = exc
            if time.monotonic() > deadline:
                blockers = self._ask("postgres", lambda connection: connection.execute(_BLOCKERS, (DATABASE,)).fetchone())
                who = f"; locked by {blockers[0]}" if blockers and blockers[0] else ""
                what = f"service {self.name}: its tables cannot be read: {problem or 'they are rewritten all the time'}{who}"
                raise EnvironmentFault(what, where=self._where) from problem
            holding = True
            time.sleep(0.01)

    def _ask(self, database: str, question: Callable[[psycopg.Connection[Any]], T], expected: tuple[type[Exception], ...] = ()) -> T:
        """Once more where the connection was a stale one, from before a restart of the server."""
        import psycopg

        stale = database in self._connections
        try:
            return question(self._connection(database))
        except expected:
            raise
        except psycopg.Error as exc:
            lost = self._connections.get(database)
            broken = lost is not None and lost.broken
            self._drop(database)
            if stale and broken:
                return self._ask(database, question, expected)
            raise EnvironmentFault(f"service {self.name}: PostgreSQL does not answer as it should: {exc}", where=self._where) from exc

    def _connection(self, database: str) -> psycopg.Connection[Any]:
        if database not in self._connections:
            self._connections[database] = connect(self._server, database)
        return self._connections[database]

    def _drop(self, database: str) -> None:
        if (connection := self._connections.pop(database, None)) is not None:
            connection.close()


def _one_later(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Is the difference one transaction that has ended, with none in progress at either moment?"""
    if before[1:] != after[1:]:
        return False
    (first_low, first_high, first_open), (low, high, open_) = before[0].split(":"), after[0].split(":")
    return first_low == first_high and low == high and not first_open + open_ and int(high) == int(first_high) + 1
