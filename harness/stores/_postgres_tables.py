"""What a PostgreSQL database holds: its tables as the catalogue describes them, and their rows as JSON-able values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from harness.model.world import Row

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

__all__ = ["Column", "Table", "hold", "moved", "released", "rows", "tables"]

#: Ordinary tables and the roots of partitioned ones; not what the server, a session or an extension keeps for itself.
_TABLES = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname <> 'public', n.nspname, c.relname
"""
_COLUMNS = """
SELECT a.attrelid::int8, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attidentity <> '', a.attgenerated <> '',
  coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''), a.attnotnull
FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""
_KEYS = """
SELECT i.indrelid::int8, a.attname::text
FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place), pg_catalog.pg_attribute a
WHERE i.indrelid = ANY(%s::oid[]) AND i.indisprimary AND k.place <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.attnum
ORDER BY i.indrelid, k.place
"""
#: A constraint to a partitioned table has copies for its partitions, of which it is the parent.
_REFERENCES = """
SELECT r.conrelid::int8, a.attname::text, r.confrelid::int8, b.attname::text
FROM pg_catalog.pg_constraint r, unnest(r.conkey, r.confkey) k (here, there), pg_catalog.pg_attribute a, pg_catalog.pg_attribute b
WHERE r.contype = 'f' AND r.conparentid = 0 AND r.conrelid = ANY(%s::oid[])
  AND a.attrelid = r.conrelid AND a.attnum = k.here AND b.attrelid = r.confrelid AND b.attnum = k.there
ORDER BY r.oid
"""
#: The first file is the snapshot's, the second the one of now: TRUNCATE and rewriting ALTERs change it, and to a snapshot that
#: is older the table looks empty (https://www.postgresql.org/docs/current/mvcc-caveats.html).
_MOVED = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384
  AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid))
"""
#: Defaults that make a value up: a counter or a random id. (`now()` is no id, so it is none.)
_MADE_UP = re.compile(r"\b(nextval|gen_random_uuid|uuidv4|uuidv7|uuid_generate_v(1|1mc|4)|gen_random_bytes)\(")


@dataclass(frozen=True, slots=True)
class Column:
    """``made_up``: by a sequence or at random, where the app gives no value. ``derived``: GENERATED … STORED or VIRTUAL."""

    name: str
    type: str
    made_up: bool
    derived: bool
    definition: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table, or one partitioned one with all its partitions. ``references``: column -> 'table.column'."""

    oid: int
    schema: str
    table: str
    partitioned: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    references: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """'orders', and 'billing.orders' outside the schema public."""
        return _name(self.schema, self.table)

    @property
    def stored(self) -> tuple[Column, ...]:
        """Without what follows from other columns."""
        return tuple(c for c in self.columns if not c.derived)

    def source(self) -> sql.Composed:
        """What stands after FROM: an ordinary table without those that inherit from it, which are tables of their own."""
        from psycopg import sql

        return sql.SQL("{}{}").format(sql.SQL("" if self.partitioned else "ONLY "), sql.Identifier(self.schema, self.table))


def _name(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"


def tables(connection: psycopg.Connection[Any]) -> list[Table]:
    """All tables of the app, by schema (public first) and name."""
    found = connection.execute(_TABLES).fetchall()
    oids = [oid for oid, *_ in found]
    names = {oid: _name(schema, table) for oid, schema, table, _ in found}
    columns: dict[int, list[Column]] = {oid: [] for oid in oids}
    for oid, name, kind, identity, derived, default, required in connection.execute(_COLUMNS, (oids,)):
        definition = f"{name} {kind} {identity} {derived} {default} {required}"
        columns[oid].append(Column(name, kind, identity or bool(_MADE_UP.search(default)), derived, definition))
    keys: dict[int, list[str]] = {oid: [] for oid in oids}
    for oid, name in connection.execute(_KEYS, (oids,)):
        keys[oid].append(name)
    references: dict[int, dict[str, str]] = {oid: {} for oid in oids}
    for oid, name, target, there in connection.execute(_REFERENCES, (oids,)):
        if target in names:
            references[oid].setdefault(name, f"{names[target]}.{there}")
    return [
        Table(oid, schema, table, kind == "p", tuple(columns[oid]), tuple(keys[oid]), tuple(references[oid].items()))
        for oid, schema, table, kind in found
    ]


def hold(connection: psycopg.Connection[Any], there: Sequence[Table]) -> None:
    """Lock tables for the transaction; as its first statement, so that its snapshot is taken under the locks."""
    from psycopg import sql

    if there:
        names = sql.SQL(", ").join(sql.Identifier(t.schema, t.table) for t in there)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


@contextmanager
def released(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Locks taken inside end with it, and not with the transaction: a reader of many tables holds up an ALTER of one the less.

    The snapshot is the transaction's and stays.
    """
    connection.execute("SAVEPOINT look")
    yield
    connection.execute("ROLLBACK TO SAVEPOINT look")
    connection.execute("RELEASE SAVEPOINT look")


def moved(connection: psycopg.Connection[Any]) -> bool:
    """Has a table got a new file since the transaction's snapshot? Then that may have shown it empty."""
    row = connection.execute(_MOVED).fetchone()
    return bool(row and row[0])


def rows(connection: psycopg.Connection[Any], table: Table) -> tuple[Row, ...]:
    """In the order of the key, else of their text."""
    from psycopg import sql

    columns = table.stored
    if not columns:
        count = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table.source())).fetchone()
        return ({},) * int(count[0] if count else 0)
    names = sql.SQL(", ").join(sql.Identifier(c.name) for c in columns)
    # r.*, because r alone is a column where one has that name.
    query = sql.SQL("SELECT pg_catalog.row_to_json(r.*)::text FROM (SELECT {} FROM {}) r{}").format(names, table.source(), _order(table))
    found = [text for (text,) in connection.execute(query)]
    if not table.key:
        found.sort()
    raw = [c.name for c in columns if c.type == "bytea"]
    return tuple(_row(text, raw) for text in found)


def _order(table: Table) -> sql.Composable:
    from psycopg import sql

    if not table.key:
        return sql.SQL("")
    return sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(sql.Identifier("r", name) for name in table.key))


def _row(text: str, raw: Sequence[str]) -> Row:
    row: dict[str, Any] = json.loads(text, parse_float=_number, parse_int=_integer)
    for name in raw:
        if row[name] is not None:
            row[name] = f"x'{row[name][2:]}'"
    return row


def _integer(text: str) -> int | str:
    """Python refuses to read more than 4,300 digits; PostgreSQL has numbers of 131,072."""
    return int(text) if len(text) < 4_000 else text


def _number(text: str) -> int | float | str:
    """A numeric with digits behind the point, or a float: equal numbers are equal values, however many zeros they end in.

    One that a float cannot hold stays as it is written, so that a difference in its last digit is one.
    """
    value = float(text)
    if "e" in text.lower():
        return value
    exact = Decimal(text)
    if exact == exact.to_integral_value():
        return int(exact)
    return value if Decimal(repr(value)) == exact else text
