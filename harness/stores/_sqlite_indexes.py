"""What full-text indexes hold whose content is kept in another table, or nowhere: SQLite reads that table where a row of the index is asked
for, so that the rows do not show whether the index has them.

https://sqlite.org/fts5.html#external_content_and_contentless_tables, https://sqlite.org/fts5.html#the_fts5vocab_virtual_table_module,
https://sqlite.org/fts3.html#fts4aux
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.world import Collection

__all__ = ["Elsewhere", "content_elsewhere", "index_of"]

_INDEX = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+(fts[45])\s*\(", re.IGNORECASE | re.DOTALL)
_OPTION = r"\b{}\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|\[([^\]]*)\]|`([^`]*)`|([^\s,)]*))"
_CONTENT, _ROWID = (re.compile(_OPTION.format(name), re.IGNORECASE) for name in ("content", "content_rowid"))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the content is that an index is of. ``table``: '' where it is kept nowhere; ``rowid``: what numbers its rows; '' is the key."""

    module: str
    table: str
    rowid: str


def content_elsewhere(sql: str | None) -> Elsewhere | None:
    """None for what is no such index. ``sql``: by which the table was made."""
    made = _INDEX.match(sql or "")
    if made is None or sql is None:
        return None
    content = _CONTENT.search(sql, made.end())
    if content is None:
        return None
    rowid = _ROWID.search(sql, made.end())
    return Elsewhere(made[1].lower(), _said(content), _said(rowid) if rowid else "")


def _said(found: re.Match[str]) -> str:
    return next((text for text in found.groups() if text is not None), "")


def index_of(connection: sqlite3.Connection, name: str, of: Elsewhere, collections: Mapping[str, Collection]) -> Collection:
    """Which words it has: of FTS5 with the row and the place of each, of FTS4 how often."""
    module, columns = ("fts5vocab", "doc, term, col, offset") if of.module == "fts5" else ("fts4aux", "term, col, documents, occurrences")
    given = ["main", _quoted(name), *(["instance"] if module == "fts5vocab" else [])]
    vocabulary = f"temp.{_VOCABULARY}"
    connection.execute(f"CREATE VIRTUAL TABLE {vocabulary} USING {module}({', '.join(given)})")
    try:
        found = connection.execute(f"SELECT {columns} FROM {vocabulary} ORDER BY {columns}").fetchall()
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.execute(f"DROP TABLE {vocabulary}")
    if of.module != "fts5":
        return Collection(f"{name}~index", tuple(dict(zip(columns.split(", "), row, strict=True)) for row in found))
    words: dict[int, list[Any]] = defaultdict(list)
    for doc, *word in found:
        words[doc].append(word)
    rows = tuple({"row": doc, "words": listed} for doc, listed in words.items())
    return Collection(f"{name}~index", rows, key=("row",), references=_references(of, collections))


_VOCABULARY = "celery_harness_words"


def _references(of: Elsewhere, collections: Mapping[str, Collection]) -> dict[str, str]:
    """To the row that it is of, where the store numbers these."""
    table = collections.get(of.table)
    made_up = table.surrogate if table is not None else ()
    return {"row": f"{of.table}.{made_up[0]}"} if made_up and of.rowid.lower() in ("", "rowid", made_up[0].lower()) else {}


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
