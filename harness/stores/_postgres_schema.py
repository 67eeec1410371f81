"""What a PostgreSQL database is made of, as far as the app can change it: columns, rules of tables, indexes, triggers, views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.model.world import Collection
from harness.stores._postgres_tables import tables

if TYPE_CHECKING:
    import psycopg

__all__ = ["schema"]

#: Of the tables: (table, what, how PostgreSQL would write it). An index that a constraint needs says the same again, and does no harm.
_RULES = """
SELECT conrelid::int8, 'constraint', conname::text, pg_catalog.pg_get_constraintdef(oid)
FROM pg_catalog.pg_constraint WHERE conrelid = ANY(%(oids)s::oid[])
UNION ALL SELECT i.indrelid::int8, 'index', c.relname::text, pg_catalog.pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid AND i.indrelid = ANY(%(oids)s::oid[])
UNION ALL SELECT tgrelid::int8, 'trigger', tgname::text, pg_catalog.pg_get_triggerdef(oid)
FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY(%(oids)s::oid[])
"""
_VIEWS = """
SELECT c.relname::text, pg_catalog.pg_get_viewdef(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""


def schema(connection: psycopg.Connection[Any]) -> Collection:
    """A row for each; sorted."""
    found = tables(connection)
    names = {table.oid: table.name for table in found}
    told = [("column", table.name, column.name, column.definition) for table in found for column in table.columns]
    told += [(kind, names[oid], name, text) for oid, kind, name, text in connection.execute(_RULES, {"oids": list(names)})]
    told += [("view", "", name, text) for name, text in connection.execute(_VIEWS)]
    return Collection(
        "~schema", tuple({"type": kind, "name": name, "table": table, "sql": text} for kind, table, name, text in sorted(told))
    )
