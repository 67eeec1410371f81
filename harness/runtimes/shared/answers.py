"""What an app answered when it was examined, for as long as nothing has changed that the answer could depend on.

It depends on the question, on the settings and environment of the child, and on files: those that the child opened, which it
tells, and names that were not there, which a new file could take. So a fingerprint is the state of the ones and the names
of all files of the project.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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


@dataclass(frozen=True)
class _Known:
    answer: dict[str, Any]
    names: frozenset[str]
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
        if _states(known.files) == known.files and _names(root, reports) == known.names:
            return copy.deepcopy(known.answer)
        del self._known[question]
        return None

    def ask(self, question: Any, root: Path, reports: Path, child: Callable[[], dict[str, Any]], *, own: Path) -> dict[str, Any]:
        """The answer of before where it still holds, else the child's; a good one is kept, if it says which ``files`` it is made of.

        ``root``: the project; names below it count but for those of ``reports``. ``own``: a folder of the run's own, whose files
        say nothing.
        """
        if (known := self._still(question, root, reports)) is not None:
            return known
        before, begun = _names(root, reports), time.time_ns()
        answer = child()
        files = answer.pop("files", None)
        if answer.get("ok") and isinstance(files, list) and before is not None:
            states = _states(name for name in files if not name.startswith((f"{own}/", *_NO_FILES)))
            settled = all(max(state[:2], default=0) < begun - _TICK for state in states.values())
            if settled and before == _names(root, reports):
                self._known[question] = _Known(copy.deepcopy(answer), before, states)
        return answer


def _states(files: Iterable[str]) -> dict[str, tuple[int, ...]]:
    return {name: _state(name) for name in files}


def _state(name: str) -> tuple[int, ...]:
    try:
        found = os.stat(name)  # noqa: PTH116 (a thousand of them)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _names(root: Path, reports: Path) -> frozenset[str] | None:
    found = set()
    for name in _walk(str(root), str(reports)):
        found.add(name)
        if len(found) > _MOST_NAMES:
            return None
    return frozenset(found)


def _walk(folder: str, reports: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name in _SKIPPED or entry.path == reports:
            continue
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, reports)
