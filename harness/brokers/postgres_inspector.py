"""A look into a PostgreSQL result backend. Reads only; nothing that it finds is unpickled."""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFault, UsageError
from harness.model.history import Held
from harness.ports.broker import Endpoint

if TYPE_CHECKING:
    import psycopg

__all__ = ["DATABASE", "PostgresInspector", "connect", "require_driver"]

#: The database of the app: backend tables or a service's own. The monitor owns nothing in it.
DATABASE = "app"

#: What every version of celery.backends.database.models.Task has, whatever `database_table_names` calls the table.
_SHAPE = ("task_id", "status", "result", "date_done", "traceback")
#: NULL without `result_extended`; not there at all in tables of an old Celery.
_EXTENDED = ("name", "worker", "retries", "queue")
_TABLES = """
SELECT c.oid::regclass::text, array_agg(a.attname::text)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace <> 'pg_catalog'::regnamespace
GROUP BY c.oid HAVING array_agg(a.attname::text) @> %s ORDER BY 1
"""


def require_driver() -> None:
    """UsageError where psycopg is not there: the harness could start a server and never ask it anything."""
    try:
        import psycopg  # noqa: F401
    except ImportError as exc:
        raise UsageError(f"PostgreSQL needs psycopg 3 ({exc})", hint="pip install 'celery-harness[postgres]'") from exc


def connect(endpoint: Endpoint, database: str = DATABASE, *, seconds: int = 10) -> psycopg.Connection[Any]:
    """The monitor's connection, in autocommit. psycopg.Error where there is none to be had.

    Everything is said here, because libpq takes what is not from the user's PG* variables and files. The certificate is not
    looked at: whether it is a good one is the app's question (a scenario may want a bad one), and that the server is ours is
    known by its pid and the password that was made for the run.
    """
    import psycopg

    settings = {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        "password": endpoint.password,
        "dbname": database,
        "sslmode": "require" if endpoint.tls else "disable",
        # With a root certificate that is there, 'require' would verify: libpq looks for one in the home folder.
        "sslrootcert": "/nonexistent/root.crt",
        "gssencmode": "disable",
        "connect_timeout": seconds,
        "client_encoding": "utf8",
        "application_name": "celery-harness",
        "options": "-c timezone=UTC -c statement_timeout=30s",
        "target_session_attrs": "any",
    }
    try:
        ipaddress.ip_address(endpoint.host)
        settings["hostaddr"] = endpoint.host
    except ValueError:
        pass
    # Nothing is prepared: statements are few, and a plan must not outlive a table that the app drops.
    return psycopg.connect(autocommit=True, prepare_threshold=None, **settings)  # type: ignore[arg-type]


class PostgresInspector:
    """See `BrokerInspector`. PostgreSQL holds results and no messages: what asks for messages finds none."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def depth(self) -> tuple[int, int]:
        """(0, 0)."""
        return 0, 0

    def look(self, wall_offset: float) -> Sequence[Held]:
        """Nothing."""
        return ()

    def duplicate(
        self, queue: str, *, share: float, count: int | None, together: bool, rng: random.Random, seen: set[str], only: str = ""
    ) -> int:
        """EnvironmentFault: there is nothing that could be delivered twice."""
        raise EnvironmentFault("PostgreSQL holds no messages", where=queue, hint="aim message faults at the broker")

    def flush(self) -> int:
        """0: nothing waits to be delivered."""
        return 0

    def results(self) -> dict[str, dict[str, Any]]:
        """Task id -> status, date_done (ISO, UTC), traceback; result and children where they are JSON; name, worker, retries, queue
        where `result_extended` stores them. Read from every table of the shape of Celery's; {} where there is none yet.
        """
        found: dict[str, dict[str, Any]] = {}
        with self._connection() as connection:
            for table, columns in connection.execute(_TABLES, (list(_SHAPE),)).fetchall():
                found.update(_read(connection, table, set(columns)))
        return found

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        require_driver()
        import psycopg

        try:
            with connect(self._endpoint) as connection:
                yield connection
        except psycopg.Error as exc:
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            raise EnvironmentFault(f"PostgreSQL does not answer: {exc}", where=where, hint="its log is kept with the run") from exc

    def close(self) -> None:
        """Nothing is kept open between looks."""


def _read(connection: psycopg.Connection[Any], table: str, columns: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = [*_SHAPE, *(c for c in (*_EXTENDED, "children") if c in columns)]
    # A regclass prints quoted where it must be.
    for row in connection.execute(f"SELECT {', '.join(wanted)} FROM {table}".encode()):
        document = {name: value for name, value in zip(wanted, row, strict=True) if value is not None or name not in _EXTENDED}
        done = document["date_done"]
        document["date_done"] = None if done is None else done.isoformat()
        for name in ("result", "children"):
            known, value = _decoded(document.pop(name, None))
            if known:
                document[name] = value
        yield str(document["task_id"]), document


def _decoded(raw: bytes | None) -> tuple[bool, Any]:
    """(is it JSON, the value). A pickle is never loaded; NULL is no value."""
    if raw is None:
        return True, None
    try:
        return True, json.loads(raw)
    except (ValueError, RecursionError):
        return False, None
