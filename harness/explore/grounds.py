"""What a certificate rests on, gathered: from the app's examination, the scenario, the first world and the project's files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.explore.proof import Plain
from harness.model.certificate import Grounds
from harness.model.scenario import ExploreItem
from harness.scenario import LoadedScenario

__all__ = ["App", "environment_of", "grounds_of"]

_SYSTEM = {"app", "path", "setup", "broker", "backend", "redelivery", "services", "env", "config", "egress"}
_LOCKS = (
    *("requirements*.lock", "requirements*.txt", "requirements/*.txt", "constraints*.txt"),
    *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pylock*.toml"),
)
_SECRET = re.compile(r"pass(word|wd)?$|secret|token|credential|api_?key", re.IGNORECASE)
#: Where the task stands says nothing about it: its module's hash does.
_PLACE = ("file", "line")


@dataclass(frozen=True, slots=True)
class App:
    """What the agent's program `check` says of an app that can be imported (docs/journal.md, "Questions and answers")."""

    modules: Mapping[str, str]
    settings: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    environment: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> App:
        """From its answer to a question with ``grounds``."""
        settings = {**answer["settings"], **answer["changed"]}
        return cls(answer["modules"], settings, answer["described"], environment_of(answer))


def environment_of(answer: Mapping[str, Any]) -> str:
    """``python 3.11, celery 5.6.0, x86_64``."""
    python = ".".join(str(answer["python"]).split(".")[:2])
    return f"python {python}, celery {answer['celery']}, {answer['machine']}"


def grounds_of(
    loaded: LoadedScenario, item: ExploreItem, app: App, *, first_world: Mapping[str, str], ran: Iterable[str], root: Path, plain: Plain
) -> Grounds:
    """``ran``: files of the user's modules beside those that the app imports, absolute or relative to ``root``."""
    files = {*app.modules.values(), *(str(root / file) for file in ran)}
    hashes = {_relative(Path(file), root): _hash(Path(file)) for file in files}
    own = {name: value for name, value in app.tasks.get(item.task, {}).items() if name not in _PLACE}
    if item.is_drawn:
        own |= {"examples": item.examples, "seed": loaded.scenario.seed}
    return Grounds(
        modules={name: digest for name, digest in sorted(hashes.items()) if digest},
        settings=plain.of(app.settings),
        task=plain.of(own),
        first_world=dict(first_world),
        system=plain.of(_system(loaded)),
        locks={_relative(path, root): _hash(path) for pattern in _LOCKS for path in sorted(root.glob(pattern)) if path.is_file()},
    )


def _system(loaded: LoadedScenario) -> dict[str, Any]:
    written = loaded.scenario.system.model_dump(mode="json", include=_SYSTEM, exclude_defaults=True)
    written |= {
        "app": loaded.scenario.system.app,
        "broker": loaded.scenario.system.broker_spec.model_dump(mode="json", exclude_defaults=True),
    }
    return {name: _without_secrets(value) for name, value in written.items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "**" if _SECRET.search(name) and isinstance(item, str) else _without_secrets(item) for name, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, (list, tuple)) else value


def _relative(path: Path, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _hash(path: Path) -> str:
    """'' for a file that is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
