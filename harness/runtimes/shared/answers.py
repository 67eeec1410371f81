"""What an app answered when it was examined, for as long as nothing has changed that the answer could depend on.

It depends on the question, on the settings and environment of the child, and on files: those that the child opened, folders that it
listed, both of which it tells, and names that were not there, which a new file could take. So a fingerprint is the state of the
ones, the names in the others, and name, size and time of every file of the project. An answer for which the child asked another
program, a database or the network is not kept.
"""

from __future__ import annotations

import copy
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Answers"]

#: More names than these are not looked at twice: asking the app again is as quick.
_MOST_NAMES = 20_000
#: Nobody imports from these by a bare name, and tools write to them all the time.
_SKIPPED = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn"})
_NO_FILES = ("/proc/", "/sys/", "/dev/")
#: A file system's clock moves in steps of up to 10 ms: what was written in the last one may be written again unseen.
_TICK = 20_000_000


#: Path, size and time of the last change; a folder has neither.
_Entry = tuple[str, int, int]


@dataclass(frozen=True)
class _Known:
    answer: dict[str, Any]
    project: frozenset[_Entry]
    files: Mapping[str, tuple[int, ...]]


class Answers:
    """By question: anything that can be compared, in which everything but files is said."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}

    def _still(self, question: Any, root: Path, reports: Path) -> dict[str, Any] | None:
        """The answer of before; None where there is none, or something has changed since."""
        known = self._known.get(question)
        if known is None:
            return None
        if _states(known.files) == known.files and _project(root, reports) == known.project:
            return copy.deepcopy(known.answer)
        del self._known[question]
        return None

    def ask(
        self, question: Any, root: Path, reports: Path, child: Callable[[], dict[str, Any]], *, own: Collection[Path]
    ) -> dict[str, Any]:
        """The answer of before where it still holds, else the child's; a good one is kept, if it says which ``files`` it is made of, and
        has no ``doubts``.

        ``root``: the project; what is below it counts but for ``reports``. ``own``: folders of the run's own, whose files say nothing.
        """
        if (known := self._still(question, root, reports)) is not None:
            return known
        before, begun = _project(root, reports), time.time_ns()
        answer = child()
        files, doubts = answer.pop("files", None), answer.pop("doubts", None)
        if answer.get("ok") and isinstance(files, list) and not doubts and before is not None:
            states = _states(name for name in files if not name.startswith((*(f"{folder}/" for folder in own), *_NO_FILES)))
            settled = all(max(state[:2], default=0) < begun - _TICK for state in states.values())
            if settled and before == _project(root, reports):
                self._known[question] = _Known(copy.deepcopy(answer), before, states)
        return answer


def _states(files: Iterable[str]) -> dict[str, tuple[int, ...]]:
    return {name: _state(name) for name in files}


def _state(name: str) -> tuple[int, ...]:
    try:
        found = os.stat(name)  # noqa: PTH116 (a thousand of them)
        if stat.S_ISDIR(found.st_mode):
            return (0, 0, hash(frozenset(os.listdir(name)) - _SKIPPED))  # noqa: PTH208
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _project(root: Path, reports: Path) -> frozenset[_Entry] | None:
    found = set()
    for entry in _walk(str(root), str(reports)):
        found.add(entry)
        if len(found) > _MOST_NAMES:
            return None
    return frozenset(found)


def _walk(folder: str, reports: str) -> Iterator[_Entry]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name in _SKIPPED or entry.path == reports:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield entry.path, 0, 0
            yield from _walk(entry.path, reports)
        else:
            yield _file(entry)


def _file(entry: os.DirEntry[str]) -> _Entry:
    try:
        found = entry.stat()  # of what a link leads to
    except OSError:
        return entry.path, -1, 0
    return entry.path, found.st_size, found.st_mtime_ns
