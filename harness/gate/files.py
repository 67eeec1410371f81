"""Reading `gate.json` and the baseline: a file of another version, or a broken one, is refused with what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import UsageError
from harness.model.gate import BASELINE_SCHEMA, GATE_SCHEMA, Baseline, GateResult

__all__ = ["baseline_text", "read_baseline", "read_gate"]

_Document = TypeVar("_Document", bound=BaseModel)


def read_gate(path: Path) -> GateResult:
    """UsageError where it is not there, or not a gate's result of this version."""
    return _read(path, GateResult, GATE_SCHEMA, what="the result of a gate", remedy="run `celery-harness gate` again with this version")


def read_baseline(path: Path) -> Baseline | None:
    """None where there is no such file. UsageError for one that cannot be read, or of another version."""
    if not path.exists():
        return None
    remedy = "write it anew: `celery-harness gate`, then `celery-harness baseline accept`; or take the committed one back with git"
    return _read(path, Baseline, BASELINE_SCHEMA, what="a baseline", remedy=remedy)


def _read(path: Path, model: type[_Document], version: int, *, what: str, remedy: str) -> _Document:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), hint=remedy) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the file cannot be read: {exc}", where=str(path), hint=remedy) from None
    try:
        document = json.loads(text)
    except ValueError as exc:
        place = f"{path}:{exc.lineno}:{exc.colno}" if isinstance(exc, json.JSONDecodeError) else str(path)
        raise UsageError(
            f"this is not JSON: {exc.msg if isinstance(exc, json.JSONDecodeError) else exc}", where=place, hint=remedy
        ) from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise UsageError(f"this is not {what}: it has no schema_version", where=str(path), hint=remedy)
    if document["schema_version"] != version:
        found = document["schema_version"]
        raise UsageError(f"this is {what} of schema version {found}; this harness reads {version}", where=str(path), hint=remedy)
    try:
        return model.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise UsageError(f"this is not {what} of this version: {at}: {first['msg']}", where=str(path), hint=remedy) from None


def baseline_text(baseline: Baseline) -> str:
    """The committed file: keys in order, two spaces, a newline at its end; nothing where a figure is not known."""
    document: dict[str, Any] = json.loads(baseline.model_dump_json(exclude_none=True))
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
