"""`result.json`: the whole result, one top-level key per line, in a versioned schema that is committed beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from harness.model.result import SCHEMA_VERSION, RunResult
from harness.reporting.files import write_text

__all__ = ["SCHEMA_FILE", "JsonWriter", "result_document", "result_schema", "result_text", "schema_text", "write_schema"]

#: The committed schema; `write_schema` writes it anew.
SCHEMA_FILE = Path(__file__).with_name("result.schema.json")


class JsonWriter:
    """The machine's copy of the result."""

    name: ClassVar[str] = "json"
    filename: ClassVar[str] = "result.json"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `result.json` into the run's folder."""
        return write_text(folder / self.filename, result_text(result))


def result_document(result: RunResult) -> dict[str, Any]:
    """The result as plain JSON values; a figure that is no number (NaN, infinity) is null, as JSON knows none."""
    document: dict[str, Any] = json.loads(result.model_dump_json())
    return document


def result_text(result: RunResult) -> str:
    """One top-level key per line: short enough to read, and a diff shows which part changed."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in result_document(result).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def result_schema() -> dict[str, Any]:
    """JSON Schema of `result.json`, from the model."""
    schema = RunResult.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"celery-harness result, version {SCHEMA_VERSION}",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(result_schema(), indent=2) + "\n"


def write_schema() -> Path:
    """Write the committed schema anew, after a change of the model."""
    return write_text(SCHEMA_FILE, schema_text())
