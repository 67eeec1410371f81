"""What `compare` is given: runs' folders, result files, folders of runs; and settings of a side, as KEY=VALUE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from harness.errors import HarnessError, UsageError
from harness.model.quantities import parse_share
from harness.model.result import RunResult
from harness.scenario import LoadedScenario

__all__ = ["Run", "parse_failure", "read_side", "scenario_with"]

_FAIL_ON = re.compile(r"regression(?::(.+))?")
_SYSTEM = ("config", "workers", "env", "services")


class Run(NamedTuple):
    """A result, and the folder that it lies in."""

    result: RunResult
    folder: Path


def read_side(names: Sequence[str], reports: Path) -> list[Run]:
    """All runs that these name: a run's folder or id, a result.json, a folder of runs. UsageError for what holds none."""
    files: list[Path] = []
    for name in names:
        files += [file for file in _files(name, reports) if file.resolve() not in {known.resolve() for known in files}]
    return [_read(file) for file in files]


def _files(name: str, reports: Path) -> list[Path]:
    for path in (Path(name), reports / name):
        if path.is_file():
            return [path]
        if (path / "result.json").is_file():
            return [path / "result.json"]
        if path.is_dir():
            below = [file for file in sorted(path.glob("*/result.json")) if not file.parent.is_symlink()]
            if below:
                return below
    raise UsageError(f"there is no run in {name} or {reports / name}", hint="name a run's folder, its result.json, or a folder of runs")


def _read(file: Path) -> Run:
    try:
        return Run(RunResult.model_validate_json(file.read_bytes()), file.parent)
    except ValidationError as exc:
        raise UsageError(f"{file} is not a result of this version: {exc.errors()[0]['msg']}") from exc
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror}") from exc


def parse_failure(text: str) -> float | None:
    """``regression:10%`` -> 0.1, ``regression`` -> 0.0, '' -> None. UsageError for anything else."""
    if not text:
        return None
    found = _FAIL_ON.fullmatch(text)
    try:
        if found is not None:
            return parse_share(found[1]) if found[1] else 0.0
    except ValueError:
        pass
    raise UsageError(f"--fail-on {text} means nothing", hint="write regression, or regression:10% for what is worse by more than that")


def scenario_with(path: Path, settings: Sequence[str], option: str, seed: int | None) -> LoadedScenario:
    """The file's one cell with settings on top, checked as if they stood in it. ``option``: for messages, ``--a``.

    UsageError for a setting that cannot be read, that the scenario refuses, and where more than one cell is left.
    """
    from harness.assembly import registry
    from harness.runtimes.shared.leftovers import claimed_folder
    from harness.scenario import load_scenarios
    from harness.scenario.loader import written_out

    changes: dict[str, Any] = {}
    for setting in settings:
        _set(changes, setting, option)
    if not changes:
        cells = load_scenarios(path, registry(), seed=seed)
    else:
        with claimed_folder("compare") as folder:
            file = folder.resolve() / path.name
            file.write_text(written_out({"extends": str(path.resolve()), **changes}), encoding="utf-8")
            try:
                cells = load_scenarios(file, registry(), seed=seed)
            except HarnessError as exc:
                place = re.compile(re.escape(str(file)) + r"(:\d+)*")
                raise UsageError(
                    place.sub(option, str(exc)), hint=f"{option} {f' {option} '.join(settings)} is merged into {path}"
                ) from None
    if len(cells) != 1:
        keys = " ".join(f"matrix.{name}={value}" for name, value in cells[0].cell.items())
        raise UsageError(f"{path} has {len(cells)} cells, and a side is one of them", hint=f"choose it, such as {option} {keys}")
    return replace(cells[0], path=path)


def _set(changes: dict[str, Any], setting: str, option: str) -> None:
    """``task_acks_late=true`` is a setting of the app; ``workers.pay.concurrency=4``, ``matrix.broker=redis`` are keys of the scenario."""
    key, sign, text = setting.partition("=")
    names = key.strip().split(".")
    if not sign or not all(names):
        raise UsageError(
            f"{option} {setting} is not KEY=VALUE", hint=f"such as {option} task_acks_late=true or {option} workers.pay.concurrency=4"
        )
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        raise UsageError(f"{option} {setting}: the value is no YAML", hint="put it between quotation marks") from None
    if len(names) == 1:
        names = ["system", "config", *names]
    elif names[0] in _SYSTEM:
        names = ["system", *names]
    elif names[0] == "matrix":
        value = [value]
    inner = changes
    for name in names[:-1]:
        inner = inner.setdefault(name, {})
    inner[names[-1]] = value
