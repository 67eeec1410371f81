"""What a certificate rests on, gathered: from the app's examination, the scenario, the first world and the project's files."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.explore.proof import Plain
from harness.model.certificate import ABSENT, Grounds, kind_of
from harness.model.scenario import ExploreItem
from harness.scenario import LoadedScenario

__all__ = ["App", "Seen", "environment_of", "grounds_of", "unfounded", "without_secrets"]

_SYSTEM = {"app", "path", "setup", "broker", "backend", "redelivery", "services", "env", "config", "egress"}
_LOCKS = (
    *("requirements*.lock", "requirements*.txt", "requirements/*.txt", "constraints*.txt"),
    *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pylock*.toml"),
)
_SECRET = re.compile(r"pass(word|wd)?$|secret|token|credential|api_?key", re.IGNORECASE)
#: Of an address: a name, a password, or both.
_USER = re.compile(r"(?<=://)[^\s/]*@")
#: Names that are drawn, or are of a day.
_DRAWN = re.compile(r"\d{4}|[0-9a-f]{8}|^tmp")
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


@dataclass
class Seen:
    """Modules and lock files as they were when they were first seen: a certificate is of these, whatever they are once it is written."""

    root: Path
    #: Nothing has been imported before; since the epoch, in ns.
    since: int = field(default_factory=time.time_ns)
    _hashes: dict[Path, str] = field(default_factory=dict)
    _locks: dict[Path, str] | None = None
    _late: dict[Path, None] = field(default_factory=dict)
    _absent: set[Path] = field(default_factory=set)

    def look(self, files: Iterable[str]) -> None:
        """Lock files with the first ones. What was written between the beginning and now may have been imported before that."""
        if self._locks is None:
            self._locks = _locks(self.root)
        for path in sorted({(self.root / file).resolve() for file in files} - self._hashes.keys()):
            self._hashes[path] = _hash(path)
            if _changed_at(path) > self.since:
                self._late[path] = None

    def look_at_data(self, files: Iterable[str]) -> tuple[str, ...]:
        """As `look`, for other files and folders of the project, also such as are not there: those of them that are no product of this
        run. Of a name that looks drawn nothing follows where there is none.
        """
        root, known = self.root.resolve(), []
        for path in sorted({Path(file).resolve() for file in files}):
            if path.is_relative_to(root) and (path in self._hashes or _changed_at(path) <= self.since):
                if not path.exists():
                    if _DRAWN.search(path.name):
                        continue
                    self._absent.add(path)
                known.append(str(path))
        self.look(known)
        return tuple(known)

    def hash_of(self, path: Path) -> str:
        """As it was first seen; '' for a file that was not there."""
        self.look([str(path)])
        return self._hashes[path.resolve()]

    def locks(self) -> dict[str, str]:
        """By their paths below the project's folder."""
        self.look(())
        return {_relative(path, self.root): digest for path, digest in sorted((self._locks or {}).items())}

    def changed(self) -> Iterator[str]:
        """What is another one now, or was written meanwhile, each in words."""
        for path, digest in sorted(self._hashes.items()):
            if path in self._absent:
                if path.exists():
                    yield f"{kind_of(path.name)} {_relative(path, self.root)} came while it was explored"
            elif not digest:
                yield f"module {_relative(path, self.root)} cannot be read"
            elif path in self._late or _hash(path) != digest:
                yield f"{kind_of(path.name)} {_relative(path, self.root)} changed while it was explored"
        before, now = self._locks or {}, _locks(self.root)
        for path in sorted(path for path in {*before, *now} if before.get(path) != now.get(path)):
            yield f"lock file {_relative(path, self.root)} changed while it was explored"


def grounds_of(
    loaded: LoadedScenario, item: ExploreItem, app: App, *, first_world: Mapping[str, str], ran: Iterable[str], seen: Seen, plain: Plain
) -> Grounds:
    """``ran``: files of the user's modules beside those that the app imports, absolute or relative to the project's folder."""
    files = {*app.modules.values(), *(str(seen.root / file) for file in ran)}
    hashes = {_relative(Path(file), seen.root): seen.hash_of(Path(file)) for file in files}
    own = {name: value for name, value in app.tasks.get(item.task, {}).items() if name not in _PLACE}
    if loaded.scenario.semantics:  # of what it publishes too
        own |= {"semantics": dict(loaded.scenario.semantics)}
    if item.is_drawn:
        own |= {"examples": item.examples, "seed": loaded.scenario.seed}
    return Grounds(
        modules={name: digest or ABSENT for name, digest in sorted(hashes.items())},
        settings=without_secrets(plain.of(app.settings)),
        task=plain.of(own),
        first_world=dict(first_world),
        system=plain.of(_system(loaded)),
        locks=seen.locks(),
    )


def unfounded(task: str, app: App, seen: Seen) -> str:
    """Why a certificate of this task would rest on nothing that changes with it, in words; '' where its own file is a ground."""
    if task not in app.tasks:
        own = task.startswith("celery.")  # of any other the exploration says that it is not there, with the nearest names
        return f"{task} has no certificate: it is Celery's own" if own else ""
    file = app.tasks[task].get("file")
    if not file:
        return f"{task} has no certificate: where its function is written cannot be told"
    if (path := (seen.root / file).resolve()) in {Path(module).resolve() for module in app.modules.values()}:
        return "" if seen.hash_of(path) else f"{task} has no certificate: {path} cannot be read"
    return f"{task} has no certificate: it is written in {path}, and no module of the project is that file"


def _system(loaded: LoadedScenario) -> dict[str, Any]:
    written = loaded.scenario.system.model_dump(mode="json", include=_SYSTEM, exclude_defaults=True)
    written |= {
        "app": loaded.scenario.system.app,
        "broker": loaded.scenario.system.broker_spec.model_dump(mode="json", exclude_defaults=True),
    }
    return {name: without_secrets(value) for name, value in written.items()}


def without_secrets(value: Any, *, secret: bool = False) -> Any:
    """``**`` for texts whose names speak of a secret (``secret``: that of the whole value does), and for users in addresses."""
    if isinstance(value, str):
        return "**" if secret else _USER.sub("**@", value)
    if isinstance(value, Mapping):
        return {name: without_secrets(item, secret=secret or bool(_SECRET.search(str(name)))) for name, item in value.items()}
    return [without_secrets(item, secret=secret) for item in value] if isinstance(value, (list, tuple)) else value


def _relative(path: Path, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _locks(root: Path) -> dict[Path, str]:
    return {path.resolve(): _hash(path) for pattern in _LOCKS for path in root.glob(pattern) if path.is_file()}


def _changed_at(path: Path) -> int:
    """Since the epoch, in ns: the kernel's own time of the last change, which no program sets. 0 for a file that is not there."""
    try:
        return path.stat().st_ctime_ns
    except OSError:
        return 0


def _hash(path: Path) -> str:
    """'' for a file that is not there. Of a folder: of the names in it."""
    try:
        if path.is_dir():
            names = sorted(one.name for one in path.iterdir() if one.name != "__pycache__" and not one.name.startswith("."))
            return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
