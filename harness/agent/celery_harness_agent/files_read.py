"""Files of the project that its code reads, beside its modules: what it does may be another thing with other ones."""

from __future__ import annotations

import os
import shlex
from typing import Any, Callable

from celery_harness_agent.frames import Frames

__all__ = ["FilesRead"]

#: By which events a process tells that it starts a program, and which of its arguments name it.
_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")
#: What other tools keep there says nothing about the project.
_OTHERS = (".egg-info" + os.sep, ".dist-info" + os.sep, os.sep + ".git" + os.sep, os.sep + "__pycache__" + os.sep)


class FilesRead:
    """Told by the interpreter's audit events: what a C library opens by itself is not among them."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._paths: dict[str, None] = {}

    def events(self, *, programs: bool = False) -> dict[str, Callable[[str, Any], None]]:
        """For `Guard.install`. ``programs``: those that are started, and files that they are given, too."""
        found: dict[str, Callable[[str, Any], None]] = {"open": self._opened}
        if programs:
            found.update(dict.fromkeys(_STARTS, self._started))
        return found

    def take(self) -> list[str]:
        """Absolute paths of those that are there, and from here on none of them."""
        paths, self._paths = self._paths, {}
        whole = {os.path.abspath(path) for path in paths}  # noqa: PTH100 (links are followed by `is_user`)
        return sorted(path for path in whole if self._frames.is_user(path) and _is_data(path))

    def _opened(self, _: str, arguments: Any) -> None:
        path, _mode, flags = arguments
        if isinstance(path, str) and isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY:
            self._paths[path] = None

    def _started(self, _: str, arguments: Any) -> None:
        for given in arguments[:2]:
            for word in given if isinstance(given, (list, tuple)) else (given,):
                text = os.fsdecode(word) if isinstance(word, (str, bytes, os.PathLike)) else ""
                self._paths.update(dict.fromkeys([text, *_words(text)]))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # quotes that nobody closes
        return command.split()


def _is_data(path: str) -> bool:
    return not any(part in path for part in _OTHERS) and os.path.isfile(path)  # noqa: PTH113 (asked at each delivery)
