"""The files of a search: `capacity.json` (or stress, soak) for programs, in a committed schema, and a page for people."""

from __future__ import annotations

from pathlib import Path

from harness.model.searching import SEARCH_SCHEMA, SearchResult
from harness.reporting.capacity_page import search_page
from harness.reporting.files import schema_lines, write_text

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
    return schema_lines(document) + "\n"


def write_schema() -> Path:
    """Write the committed schema anew, after a change of the model."""
    return write_text(SCHEMA_FILE, schema_text())
