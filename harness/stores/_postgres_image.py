"""Images of a PostgreSQL database: its rows and sequences in memory, and its schema as a database of its own beside it.

Rows are put back while the app stays connected. Only where tables are gone or have been altered since is the database made
anew from the copy, which cuts connections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.stores._postgres_client import DATABASE, OWNER
from harness.stores._postgres_tables import Table, released, tables

if TYPE_CHECKING:
    import psycopg

__all__ = ["Image", "copy_schema", "recreate", "take", "write_back"]

#: Of a table beside its columns; what the rows obey or set off.
_RULES = """
SELECT pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE conrelid = %(oid)s
UNION ALL SELECT pg_catalog.pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index WHERE indrelid = %(oid)s
UNION ALL SELECT pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal
ORDER BY 1
"""
_SEQUENCES = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' ORDER BY 1, 2
"""
#: A connection of ours may take a moment to go, and CREATE DATABASE waits for that.
_CONNECTED = "SELECT FROM pg_catalog.pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND usename <> current_user"
_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Image:
    """``rows``: table -> (what its definition was, its rows as COPY has them). ``sequences``: name -> (last value, was it given out).

    ``schema``: the database that holds the same tables; '' where none could be made because the app was connected.
    """

    rows: dict[_Name, tuple[str, bytes]]
    sequences: dict[_Name, tuple[int, bool]]
    schema: str = ""

    @property
    def fingerprint(self) -> str:
        """Equal for two images of the same schema: a name for its copy."""
        parts = repr(sorted((name, definition) for name, (definition, _) in self.rows.items())) + repr(sorted(self.sequences))
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()


def take(connection: psycopg.Connection[Any]) -> Image:
    """Of the transaction's snapshot; sequences are as they are now (they belong to no transaction)."""
    with released(connection):
        found = tables(connection)
        definitions = [_definition(connection, table) for table in found]
    rows = {}
    for table, definition in zip(found, definitions, strict=True):
        with released(connection):
            rows[table.schema, table.table] = (definition, _copy_out(connection, table))
    with released(connection):
        return Image(rows, _sequences(connection))


def _definition(connection: psycopg.Connection[Any], table: Table) -> str:
    rules = [text for (text,) in connection.execute(_RULES, {"oid": table.oid})]
    return repr((table.partitioned, [c.definition for c in table.columns], table.key, rules))


def _columns(table: Table) -> Any:
    from psycopg import sql

    return sql.SQL(", ").join(sql.Identifier(c.name) for c in table.stored)


def _copy_out(connection: psycopg.Connection[Any], table: Table) -> bytes:
    from psycopg import sql

    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(_columns(table), table.source())
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        return b"".join(copy)


def _sequences(connection: psycopg.Connection[Any]) -> dict[_Name, tuple[int, bool]]:
    from psycopg import sql

    found = {}
    for schema, name in connection.execute(_SEQUENCES).fetchall():
        row = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))).fetchone()
        assert row is not None  # a sequence is a table of one row
        found[schema, name] = (int(row[0]), bool(row[1]))
    return found


def copy_schema(admin: psycopg.Connection[Any], name: str) -> bool:
    """Make database ``name`` a copy of the app's, once; False where the app is connected, since PostgreSQL then cannot.

    It would wait 5 s for clients to leave, so they are counted first.
    """
    import psycopg
    from psycopg import sql

    if admin.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,)).fetchone() is not None:
        return True
    if admin.execute(_CONNECTED, (DATABASE,)).fetchone() is not None:
        return False
    try:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(DATABASE)))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def recreate(admin: psycopg.Connection[Any], template: str = "") -> None:
    """The app's database anew: as ``template`` is, or empty. Connections to it are cut."""
    from psycopg import sql

    database = sql.Identifier(DATABASE)
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
    # template0 is as initdb made it: nothing that anybody put into template1.
    parts = (database, sql.Identifier(OWNER), sql.Identifier(template or "template0"))
    admin.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*parts))


def write_back(connection: psycopg.Connection[Any], image: Image) -> bool:
    """In the transaction of the caller; False where a table of the image is not there as it was, and nothing is done then.

    Tables that came since are dropped. Those that hold what they held are left alone: a later restore has the less to do.
    Triggers and foreign keys keep still meanwhile: all rows are as they were, and so is what they refer to.
    """
    from psycopg import sql

    present = {(t.schema, t.table): t for t in tables(connection)}
    if any(name not in present or _definition(connection, present[name]) != definition for name, (definition, _) in image.rows.items()):
        return False
    connection.execute("SET LOCAL session_replication_role = replica")
    # The stamp of `touched` is made of transactions: this is one, also where no row changes.
    connection.execute("SELECT pg_catalog.txid_current()")
    for name in [name for name in present if name not in image.rows]:
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(*name)))
    for name, (_, rows) in image.rows.items():
        _replace(connection, present[name], rows)
    _set(connection, image.sequences)
    return True


def _replace(connection: psycopg.Connection[Any], table: Table, rows: bytes) -> None:
    from psycopg import sql

    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.source()))
    if _copy_out(connection, table) == rows:
        return
    connection.execute(sql.SQL("DELETE FROM {}").format(table.source()))
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.schema, table.table), _columns(table))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.write(rows)


def _set(connection: psycopg.Connection[Any], sequences: dict[_Name, tuple[int, bool]]) -> None:
    from psycopg import sql

    there: Sequence[_Name] = connection.execute(_SEQUENCES).fetchall()
    for name, (value, called) in sequences.items():
        if name in there:
            regclass = sql.Literal(sql.Identifier(*name).as_string(connection))
            connection.execute(sql.SQL("SELECT pg_catalog.setval({}, {}, {})").format(regclass, sql.Literal(value), sql.Literal(called)))
