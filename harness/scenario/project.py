"""A project's own settings: tables of its pyproject.toml, and errors about them that name the line and the nearest key."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.scenario.names import known, nearest

__all__ = ["PROJECT_FILE", "ProjectTable", "project_table", "read_toml", "unknown_key"]

PROJECT_FILE = "pyproject.toml"
#: Every table of ours lies below it.
_OURS = ("tool", "celery-harness")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)$")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[\w-]+")
_DOTTED = rf"(?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")


@dataclass(frozen=True, slots=True)
class ProjectTable:
    """One table, read. ``values`` is empty where the file or the table is not there; ``names``: ``("tool", "celery-harness", "gate")``."""

    values: Mapping[str, Any]
    names: tuple[str, ...]
    path: Path
    text: str = field(default="", repr=False)

    @property
    def title(self) -> str:
        """``[tool.celery-harness.gate]``."""
        return f"[{'.'.join(self.names)}]"

    def where(self, key: str = "") -> str:
        """``file:line`` of a key, else of the table, else the file alone.

        The library tells no lines of what it has read, so the text is searched: lines that look like keys inside a string of several
        lines may be taken for one.
        """
        wanted = (*self.names, key) if key else self.names
        best, found = len(_OURS) - 1, 0
        for number, path in _written(self.text):
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(path, wanted, strict=False)))
            if shared > best:
                best, found = shared, number
        return f"{self.path}:{found}" if found else str(self.path)

    def refuse_unknown(self, keys: Iterable[str]) -> None:
        """UsageError at the first key that is none of these."""
        possible = tuple(keys)
        for key in self.values:
            if key not in possible:
                raise unknown_key(key, possible, self.where(key), self.title)

    def wrong(self, key: str, why: str, hint: str = "") -> UsageError:
        """What to raise where a key holds something else than it may."""
        return UsageError(f"`{key}`: {why}", where=self.where(key), hint=hint)


def project_table(root: Path, *names: str) -> ProjectTable:
    """The table ``[tool.celery-harness.NAMES]`` of the project in the folder ``root``.

    A file that does not speak of us is not ours to read: whether it is TOML matters to others. UsageError, with the place, for one
    that speaks of us and cannot be read, and where the name stands for something else than a table.
    """
    path = root / PROJECT_FILE
    wanted = (*_OURS, *names)
    if not path.is_file():
        return ProjectTable({}, wanted, path)
    text = _text(path)
    if _OURS[-1] not in text:
        return ProjectTable({}, wanted, path)
    value: Any = _parsed(text, path)
    for depth, name in enumerate(wanted, 1):
        value = value.get(name, {})
        if not isinstance(value, dict):
            found = ProjectTable({}, wanted[:depth], path, text)
            raise UsageError(f"`{name}` is a table: write {found.title}", where=found.where())
    return ProjectTable(value, wanted, path, text)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. UsageError with ``file:line:column`` where it is none, and for one that cannot be read."""
    return _parsed(_text(path), path)


def unknown_key(key: str, possible: Iterable[str], where: str, inside: str = "") -> UsageError:
    """What to raise for a key that is none of the ``possible`` ones; ``inside``: what it was written into."""
    names = tuple(possible)
    return UsageError(f"there is no key `{key}`{f' in {inside}' if inside else ''}{nearest(key, names)}", where=where, hint=known(names))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the file cannot be read: {exc}", where=str(path)) from None


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise UsageError("Python 3.10 alone cannot read TOML", where=str(path), hint="pip install tomli") from None
    try:
        document: dict[str, Any] = toml.loads(text)
    except ValueError as exc:
        place = _PLACE.search(str(exc))
        where = f"{path}:{place[1]}:{place[2]}" if place else str(path)
        raise UsageError(f"this is not TOML: {_PLACE.sub('', str(exc)).strip()}", where=where) from None
    return document


def _written(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line, full name) of every table and key that begins on a line of its own."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            yield number, table
        elif key := _KEY.match(line):
            yield number, (*table, *_parts(key[1]))


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
