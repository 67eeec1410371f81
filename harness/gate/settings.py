"""`[tool.celery-harness.gate]` of pyproject.toml, and what the command line says before it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from harness.model.quantities import Duration, Share
from harness.scenario.names import nearest

__all__ = ["RUNTIMES", "GateSettings", "gate_settings"]

RUNTIMES = ("containers", "processes")
_FILE = "pyproject.toml"
_SECTION = ("tool", "celery-harness", "gate")
_TITLE = f"[{'.'.join(_SECTION)}]"


def _split(value: Any) -> Any:
    """``"a, b"`` is short for ``["a", "b"]``."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class GateSettings(BaseModel):
    """How a gate is run; keys as on the command line. Paths are relative to the project's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"))

    files: _Words = Field(default=("scenarios",), min_length=1)
    tags: _Words = ("ci",)
    budget: Duration = Field(default=300.0, gt=0)
    runtime: str = ""
    baseline: str = "celery-harness-baseline.json"
    allow_overrides: bool = False
    require_all: bool = False
    reports: str = "reports"
    confirm: bool = True
    tolerance: Share = Field(default=0.10, gt=0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    samples: int = Field(default=1, ge=1, le=100)


def gate_settings(root: Path, given: Mapping[str, Any]) -> GateSettings:
    """The project's section, and over it what was ``given`` on the command line (by key; None: not given).

    UsageError with the key's place for what cannot be used, and for a runtime that is not pinned.
    """
    path = root / _FILE
    section, text = _section(path)
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = GateSettings.model_validate({**section, **chosen})
    except ValidationError as exc:
        raise _refused(exc, path, text, chosen) from None
    if settings.runtime not in RUNTIMES:
        raise _unpinned(settings.runtime, path, text, on_command_line="runtime" in chosen)
    return settings


def _section(path: Path) -> tuple[Mapping[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, ""
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the file cannot be read: {exc}", where=str(path)) from None
    if _SECTION[1] not in text:
        return {}, text
    try:
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise UsageError(f"{_TITLE} cannot be read by Python 3.10 alone", where=str(path), hint="pip install tomli") from None
    try:
        value: Any = toml.loads(text)
    except ValueError as exc:
        found = re.search(r"at line (\d+), column (\d+)", str(exc))
        where = f"{path}:{found[1]}:{found[2]}" if found else str(path)
        raise UsageError(f"this is not TOML: {exc}", where=where) from None
    for name in _SECTION:
        value = value.get(name, {}) if isinstance(value, dict) else {}
    if not isinstance(value, dict):
        raise UsageError(f"`{_SECTION[-1]}` is a table: write {_TITLE}", where=str(path))
    return value, text


def _refused(exc: ValidationError, path: Path, text: str, chosen: Mapping[str, Any]) -> UsageError:
    """The first thing that is wrong, with its place: a line of the file, or the option."""
    first = exc.errors()[0]
    key = str(first["loc"][0])
    where = f"--{key}" if key in chosen else _place(path, text, key)
    if first["type"] == "extra_forbidden":
        known = [name.replace("_", "-") for name in GateSettings.model_fields]
        return UsageError(f"there is no `{key}` in {_TITLE}{nearest(key, known)}", where=where, hint=f"known: {', '.join(sorted(known))}")
    return UsageError(f"`{key}`: {first['msg'].removeprefix('Value error, ')}", where=where)


def _unpinned(runtime: str, path: Path, text: str, *, on_command_line: bool) -> UsageError:
    hint = f'write --runtime processes or --runtime containers, or runtime = "processes" under {_TITLE} in {_FILE}'
    where = "" if not runtime else "--runtime" if on_command_line else _place(path, text, "runtime")
    if runtime == "auto":
        why = "a gate pins its runtime: what `auto` takes depends on the machine, so two gates of one commit could run differently"
        return UsageError(why, where=where, hint=hint)
    if runtime:
        return UsageError(f"there is no runtime {runtime!r}", where=where, hint=hint)
    return UsageError("the runtime of a gate is pinned, and none is named", hint=hint)


def _place(path: Path, text: str, key: str) -> str:
    """The library gives no lines for keys, so the key is looked for below its section's title; else the title's line, or the file."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    title = next((number for number, line in enumerate(lines, 1) if line.replace('"', "").replace(" ", "") == _TITLE), 0)
    if not title:
        return str(path)
    for number, line in enumerate(lines[title:], title + 1):
        if line.startswith("["):
            break
        if line.partition("=")[0].strip().strip("\"'") == key:
            return f"{path}:{number}"
    return f"{path}:{title}"
