"""What an app's image must hold: its requirements file, its pyproject.toml, or the environment that it runs in here."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import System
from harness.runtimes.containers.building import Content
from harness.scenario.project import read_toml

__all__ = ["Requirements", "find_requirements"]

_INCLUDE = re.compile(r"^(-r|-c|--requirement|--constraint)(?:\s+|\s*=\s*|(?=\S))(\S+)\s*$")
_EDITABLE = re.compile(r"^(?:-e|--editable)(?:\s+|=)")
_EXTRAS = re.compile(r"^(.*?)(?:\[([^\]]*)\])?$")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_BUILD_HINT = "use a Dockerfile instead: `build: .` under `system`"
#: Installers, which every Python image has; another version of theirs changes nothing that runs.
_INSTALLERS = {"pip", "setuptools", "wheel", "celery-harness"}
_FREEZE = """
import importlib.metadata as m, json
print(json.dumps([(d.metadata["Name"], d.version, d.read_text("direct_url.json") or "") for d in m.distributions()]))
"""


@dataclass
class Requirements:
    """Files for pip, ``requirements.txt`` first among them. ``where``: what they were made from; ``left_out``: in words."""

    where: str
    files: dict[str, Content] = field(default_factory=dict)
    left_out: Sequence[str] = ()

    def parts(self) -> list[str | bytes]:
        """Everything that decides what is installed, for a digest."""
        found: list[str | bytes] = []
        for name, data in sorted(self.files.items()):
            found += [name, data if isinstance(data, bytes) else data.read_bytes()]
        return found


def find_requirements(root: Path, system: System, python: str) -> Requirements:
    """`requirements:` of the scenario, else requirements.txt or pyproject.toml of the app's folder or the project's.

    Where a project has neither, the image gets what ``python``'s environment has, version by version: there the app is known to
    run. ScenarioError for a file that is not there or cannot be met in an image.
    """
    if system.requirements:
        path = root / system.requirements
        if not path.is_file():
            raise ScenarioError(f"requirements: there is no file {system.requirements}", where=str(root))
        return _of_project(path, required=True) or _of_file(path)
    for folder in dict.fromkeys([(root / system.path).resolve(), root.resolve()]):
        if (folder / "requirements.txt").is_file():
            return _of_file(folder / "requirements.txt")
        if (folder / "pyproject.toml").is_file() and (found := _of_project(folder / "pyproject.toml", required=False)):
            return found
    return _of_environment(python)


def _of_project(path: Path, *, required: bool) -> Requirements | None:
    """None for a file of another kind, or one that has settings of tools only and is not asked for by name."""
    if path.suffix != ".toml":
        return None
    lines = _dependencies(path, ())
    if lines is None and not required:
        return None
    if lines is None:
        raise ScenarioError("no [project] with dependencies is in this file", where=str(path), hint=_BUILD_HINT)
    return Requirements(str(path), {"requirements.txt": "\n".join([*lines, ""]).encode()})


def _dependencies(path: Path, extras: Sequence[str]) -> list[str] | None:
    """[project].dependencies with these extras; None where the file says nothing of them."""
    document = read_toml(path)
    project: dict[str, Any] = document.get("project") or {}
    if "dependencies" in project.get("dynamic", ()) or (not project and "poetry" in document.get("tool", {})):
        raise ScenarioError(
            "its dependencies are not written in [project].dependencies",
            where=str(path),
            hint="export them to requirements.txt (e.g. `poetry export`, `uv export`, `pip-compile`), or " + _BUILD_HINT,
        )
    if "dependencies" not in project:
        return None
    lines = [str(line) for line in project["dependencies"]]
    for extra in extras:
        lines += [str(line) for line in project.get("optional-dependencies", {}).get(extra, ())]
    return lines


def _of_file(path: Path) -> Requirements:
    found = Requirements(str(path))
    _read(path, "requirements.txt", found, {})
    return found


def _read(path: Path, name: str, found: Requirements, names: dict[Path, str]) -> None:
    """Put a requirements file under ``name``; what it includes gets names of its own, since its folders do not exist inside."""
    names[path.resolve()] = name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"cannot be read: {exc}", where=str(path)) from exc
    moved: list[str] = []
    for number, line in enumerate(lines, start=1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not bare:
            continue
        moved += _moved(bare, path, f"{path}:{number}", found, names)
    found.files[name] = "\n".join([*moved, ""]).encode()


def _moved(line: str, path: Path, where: str, found: Requirements, names: dict[Path, str]) -> list[str]:
    """The line as it holds inside."""
    include = _INCLUDE.match(line)
    if include and "://" not in include[2]:
        target = path.parent / include[2]
        if not target.is_file():
            raise ScenarioError(f"there is no file {include[2]}", where=where)
        if target.resolve() not in names:
            _read(target, f"requirements-{len(names)}.txt", found, names)
        return [f"{include[1]} {names[target.resolve()]}"]
    named = _EDITABLE.sub("", line)
    if named == line and not line.startswith((".", "/", "file:")):
        return [line]
    if "://" in named and not named.startswith("file:"):
        return [line]
    match = _EXTRAS.match(named.removeprefix("file://").removeprefix("file:"))
    assert match is not None
    target = (path.parent / match[1].strip()).resolve()
    if target.is_file() and target.name.endswith(_ARCHIVES):
        found.files[target.name] = target
        return [f"./{target.name}"]
    extras = [extra.strip() for extra in (match[2] or "").split(",") if extra.strip()]
    # The project itself is mounted into the container; what it needs is not.
    inside = (
        _dependencies(target / "pyproject.toml", extras)
        if target == path.parent.resolve() and (target / "pyproject.toml").is_file()
        else None
    )
    if inside is None:
        raise ScenarioError(
            f"{line!r} names a folder of this machine, which an image made from requirements cannot hold", where=where, hint=_BUILD_HINT
        )
    return inside


def _of_environment(python: str) -> Requirements:
    try:
        done = subprocess.run([python, "-c", _FREEZE], capture_output=True, text=True, timeout=60, check=True)
        listed: list[tuple[str, str, str]] = [tuple(entry) for entry in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise EnvironmentFault(
            f"the project has no requirements.txt and no pyproject.toml, and {python} could not be asked: {exc}"
        ) from exc
    kept = {name.lower(): f"{name}=={version}" for name, version, url in listed if name and not url and name.lower() not in _INSTALLERS}
    left_out = sorted({name for name, _, url in listed if name and url and name.lower() not in _INSTALLERS})
    where = f"{python} (the project has neither requirements.txt nor pyproject.toml)"
    if "celery" not in kept:
        raise ScenarioError(f"nothing says what the workers' image must hold, and Celery is not in the environment of {python}",
                            hint="write a requirements.txt beside your app, or `image:` or `build:` under `system`")  # fmt: skip
    return Requirements(where, {"requirements.txt": "\n".join([*sorted(kept.values()), ""]).encode()}, left_out)
