"""`[tool.celery-harness.gate]` of pyproject.toml, and what the command line says before it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from harness.model.quantities import Duration, Share
from harness.scenario.project import PROJECT_FILE, ProjectTable, project_table, unknown_key

__all__ = ["RUNTIMES", "GateSettings", "gate_settings", "reports_of"]

RUNTIMES = ("containers", "processes")


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
    table = project_table(root, "gate")
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = GateSettings.model_validate({**table.values, **chosen})
    except ValidationError as exc:
        raise _refused(exc, table, chosen) from None
    if settings.runtime not in RUNTIMES:
        raise _unpinned(settings.runtime, table, on_command_line="runtime" in chosen)
    return settings


def reports_of(root: Path, asked: str | None) -> Path:
    """Where a gate writes, whatever else is wrong with its settings: where it was ``asked`` to, or the section says, or the default."""
    with contextlib.suppress(UsageError):
        asked = asked or project_table(root, "gate").values.get("reports")
    return root / (asked if asked and isinstance(asked, str) else GateSettings.model_fields["reports"].default)


def _refused(exc: ValidationError, table: ProjectTable, chosen: Mapping[str, Any]) -> UsageError:
    """The first thing that is wrong, with its place: a line of the file, or the option."""
    first = exc.errors()[0]
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return unknown_key(key, (name.replace("_", "-") for name in GateSettings.model_fields), table.where(key), table.title)
    why = first["msg"].removeprefix("Value error, ")
    return UsageError(f"`{key}`: {why}", where=f"--{key}") if key in chosen else table.wrong(key, why)


def _unpinned(runtime: str, table: ProjectTable, *, on_command_line: bool) -> UsageError:
    hint = f'write --runtime processes or --runtime containers, or runtime = "processes" under {table.title} in {PROJECT_FILE}'
    where = "" if not runtime else "--runtime" if on_command_line else table.where("runtime")
    if runtime == "auto":
        why = "a gate pins its runtime: what `auto` takes depends on the machine, so two gates of one commit could run differently"
        return UsageError(why, where=where, hint=hint)
    if runtime:
        return UsageError(f"there is no runtime {runtime!r}", where=where, hint=hint)
    return UsageError("the runtime of a gate is pinned, and none is named", hint=hint)
