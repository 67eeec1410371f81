"""Writing a report's file so that a reader sees the whole of it or nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault

__all__ = ["schema_lines", "write_text"]


def write_text(path: Path, text: str) -> Path:
    """Write through a temporary neighbour and rename it into place; lone surrogates become question marks.

    Raises `EnvironmentFault` where the folder cannot be written (read-only, full disk).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return path


def schema_lines(document: Mapping[str, Any], deeper: Collection[str] = ("$defs", "properties")) -> str:
    """A JSON Schema, one key per line, and of definitions and properties each on its own: a diff shows which part changed."""
    told = [
        f"{json.dumps(key)}: {schema_lines(value, ()) if key in deeper else json.dumps(value, separators=(',', ':'))}"
        for key, value in document.items()
    ]
    return "{\n" + ",\n".join(told) + "\n}"


def _unwritable(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"the report cannot be written: {error.strerror or error}",
        where=str(path),
        hint="free some space, or choose another folder with --reports DIR",
    )
