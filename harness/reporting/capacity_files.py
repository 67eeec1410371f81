"""The files of a search: `capacity.json` (or stress, soak) for programs, in a committed schema, and a page for people."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.model.searching import SEARCH_SCHEMA, SearchResult
from harness.reporting.capacity_page import search_page
from harness.reporting.files import write_text

__all__ = ["SCHEMA_FILE", "schema_text", "write_schema", "write_search"]

#: The committed schema; `write_schema` writes it anew.
SCHEMA_FILE = Path(__file__).with_name("capacity.schema.json")


def write_search(result: SearchResult, folder: Path) -> list[Path]:
    """Both, into the folder; their paths. Raises `EnvironmentFault` where they cannot be written."""
    return [
        write_text(folder / f"{result.kind}.json", result.model_dump_json(indent=1) + "\n"),
        write_text(folder / f"{result.kind}.html", search_page(result)),
    ]


def schema_text() -> str:
    """JSON Schema of the three files, from the model."""
    schema = SearchResult.model_json_schema(mode="serialization")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"celery-harness search, version {SEARCH_SCHEMA}",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return _lines(document) + "\n"


def _lines(document: Mapping[str, Any], deeper: Collection[str] = ("$defs", "properties")) -> str:
    """One key per line, and of definitions and properties each on its own: short enough to read, and a diff shows which part changed."""
    told = [
        f"{json.dumps(key)}: {_lines(value, ()) if key in deeper else json.dumps(value, separators=(',', ':'))}"
        for key, value in document.items()
    ]
    return "{\n" + ",\n".join(told) + "\n}"


def write_schema() -> Path:
    """Write the committed schema anew, after a change of the model."""
    return write_text(SCHEMA_FILE, schema_text())
