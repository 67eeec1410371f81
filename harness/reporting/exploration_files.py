"""The files of an exploration: `exploration.json` for programs, in a committed schema, and `report.html` for people."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.model.exploration import Exploration
from harness.reporting.files import schema_lines, write_text

__all__ = [
    "EXPLORATION_SCHEMA",
    "FILE",
    "SCHEMA_FILE",
    "Told",
    "document_of",
    "read_told",
    "schema_text",
    "write_exploration",
    "write_page",
    "write_schema",
]

EXPLORATION_SCHEMA = 1
FILE = "exploration.json"
#: The committed schema; `write_schema` writes it anew.
SCHEMA_FILE = Path(__file__).with_name("exploration.schema.json")
_BESIDE = {
    "version": {"const": EXPLORATION_SCHEMA, "description": "of this schema"},
    "target": {"type": "string", "description": "the scenario, or the app"},
    "command": {"type": "string", "description": "shows the same again"},
    "python": {"type": "string", "description": "of the harness; the app's is in `environment`"},
}


@dataclass(frozen=True, slots=True)
class Told:
    """An exploration with what it was asked of, and the command that shows the same."""

    found: Exploration
    target: str
    command: str


def document_of(told: Told) -> dict[str, Any]:
    """One element of `exploration.json`, and what `--json` prints."""
    beside = {"version": EXPLORATION_SCHEMA, "target": told.target, "command": told.command}
    return {**beside, **asdict(told.found), "python": platform.python_version()}


def write_exploration(told: Sequence[Told], folder: Path, root: Path) -> list[Path]:
    """Both files, each in one step: a reader never sees half of one. ``root``: where the places' files lie."""
    text = json.dumps([document_of(one) for one in told], indent=1, default=str) + "\n"
    return [write_text(folder / FILE, text), write_page(told, folder, root)]


def write_page(told: Sequence[Told], folder: Path, root: Path) -> Path:
    """The page alone."""
    from harness.reporting.exploration_page import exploration_page

    page = exploration_page([one.found for one in told], [one.command for one in told], root, title=told[0].target if told else "")
    return write_text(folder / "report.html", page)


def read_told(path: Path) -> list[Told]:
    """What was written. UsageError where it is none of this version."""
    from pydantic import TypeAdapter, ValidationError

    try:
        elements = json.loads(path.read_bytes())
        if not isinstance(elements, list) or not all(isinstance(one, dict) for one in elements):
            raise UsageError(f"{path} is not an exploration")
        old = next((one.get("version") for one in elements if one.get("version") != EXPLORATION_SCHEMA), None)
        if old is not None:
            raise UsageError(f"{path} is of version {old}, not {EXPLORATION_SCHEMA}", hint="explore again")
        reads = TypeAdapter(Exploration)
        return [
            Told(
                reads.validate_python({key: value for key, value in one.items() if key not in _BESIDE}),
                str(one.get("target", "")),
                str(one.get("command", "")),
            )
            for one in elements
        ]
    except ValidationError as exc:
        raise UsageError(f"{path} is not an exploration of this version: {exc.errors()[0]['msg']}") from exc
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc


def schema_text() -> str:
    """JSON Schema of `exploration.json`, from the model."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Exploration).json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    schema["properties"] = {**_BESIDE, **schema["properties"]}
    schema["required"] = list(schema["properties"])
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"celery-harness exploration, version {EXPLORATION_SCHEMA}",
        "type": "array",
        "items": {"$ref": "#/$defs/Exploration"},
        "$defs": {**definitions, "Exploration": schema},
    }
    return schema_lines(document) + "\n"


def write_schema() -> Path:
    """Write the committed schema anew, after a change of the model."""
    return write_text(SCHEMA_FILE, schema_text())
