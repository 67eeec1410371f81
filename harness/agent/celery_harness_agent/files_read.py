"""Files of the project that its code reads, beside its modules: what it does may be another thing with other ones.

Some are not there: a module that it tries to import, a file that it tries to open. Folders are among them, whose names it asks for.
"""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import sys
from typing import Any, Callable, Iterator

from celery_harness_agent.frames import Frames

__all__ = ["FilesRead", "database_path"]

#: By which events a process tells that it starts a program, and which of its arguments name it.
_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")
#: What other tools keep there says nothing about the project.
_OTHERS = (".egg-info" + os.sep, ".dist-info" + os.sep, os.sep + ".git" + os.sep, os.sep + "__pycache__" + os.sep)
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120 (as `abspath` below)
_IMPORTS = "<frozen importlib"


class FilesRead:
    """Told by the interpreter's audit events: what a C library opens by itself is not among them."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._paths: dict[str, None] = {}
        self._absent: dict[str, None] = {}
        self._names: dict[str, None] = {}  # of modules that the user's code has asked for

    def events(self, *, programs: bool = False) -> dict[str, Callable[[str, Any], None]]:
        """For `Guard.install`. ``programs``: those that are started, and files that they are given, too."""
        self._watch_import_module()
        found: dict[str, Callable[[str, Any], None]] = {
            "open": self._opened,
            "import": self._imported,
            "os.listdir": self._listed,
            "os.scandir": self._listed,
            "sqlite3.connect": self._connected,
        }
        if programs:
            found.update(dict.fromkeys(_STARTS, self._started))
        return found

    def take(self) -> list[str]:
        """Absolute paths, and from here on none of them."""
        paths, self._paths = self._paths, {}
        absent, self._absent = self._absent, {}
        whole = {os.path.abspath(path) for path in paths}  # noqa: PTH100 (links are followed by `is_user`)
        found = {path for path in whole if self._frames.is_user(path) and _is_data(path)}
        found.update(path for path in absent if not os.path.lexists(path))
        found.update(self._never_found())
        return sorted(found)

    def _opened(self, _: str, arguments: Any) -> None:
        path, _mode, flags = arguments
        if isinstance(path, str) and isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY:
            self._note(path)

    def _note(self, path: str) -> None:
        self._paths[path] = None
        if self._frames.is_user(path) and not os.path.lexists(path) and not any(part in path for part in _OTHERS):
            self._absent[os.path.abspath(path)] = None  # noqa: PTH100 (as above)

    def _imported(self, _: str, arguments: Any) -> None:
        name = arguments[0]
        if name not in self._names:
            asker = _asker(through_imports=True)
            if asker and self._frames.is_user(asker):
                self._names[name] = None

    def _watch_import_module(self) -> None:
        """For which the interpreter has no event."""
        before = importlib.import_module

        @functools.wraps(before)
        def import_module(name: str, package: "str | None" = None) -> Any:
            if isinstance(name, str) and not name.startswith("."):
                self._imported("import", (name,))
            return before(name, package)

        importlib.import_module = import_module

    def _never_found(self) -> Iterator[str]:
        """Where the modules would be that were asked for in vain: who adds one of them changes what the code does."""
        names, self._names = self._names, {}
        for name in names:
            if name not in sys.modules:
                for folder in dict.fromkeys(os.path.abspath(entry) for entry in sys.path):  # noqa: PTH100 (as above)
                    path = os.path.join(folder, *name.split("."))  # noqa: PTH118 (as above)
                    for would_be in (path + ".py", os.path.join(path, "__init__.py")):  # noqa: PTH118 (as above)
                        if self._frames.is_user(would_be) and not os.path.lexists(would_be):
                            yield would_be

    def _listed(self, _: str, arguments: Any) -> None:
        folder = os.curdir if arguments[0] is None else arguments[0]
        if isinstance(folder, str) and self._frames.is_user(os.path.join(folder, "x")) and _asker(through_imports=False):  # noqa: PTH118
            self._note(folder)

    def _connected(self, _: str, arguments: Any) -> None:
        if path := database_path(arguments[0]):
            self._paths[path] = None

    def _started(self, _: str, arguments: Any) -> None:
        for given in arguments[:2]:
            for word in given if isinstance(given, (list, tuple)) else (given,):
                text = os.fsdecode(word) if isinstance(word, (str, bytes, os.PathLike)) else ""
                self._paths.update(dict.fromkeys([text, *_words(text)]))


def database_path(database: Any) -> str:
    """What `sqlite3.connect` is given, a path or a URI, as a path; '' for anything else."""
    text = os.fsdecode(database) if isinstance(database, (str, bytes, os.PathLike)) else ""
    return text[len("file:") :].partition("?")[0] if text.startswith("file:") else text


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # quotes that nobody closes
        return command.split()


def _asker(*, through_imports: bool) -> str:
    """The file of the code whose call has led to this event; "" where that is the import system, unless we look ``through_imports``."""
    frame = sys._getframe(3)  # beyond us, who asks us, and the hook
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_IMPORTS):
            if not through_imports:
                return ""
        elif not file.startswith(_OURS):
            return file
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _is_data(path: str) -> bool:
    return not any(part in path + os.sep for part in _OTHERS) and (os.path.isfile(path) or os.path.isdir(path))  # noqa: PTH112, PTH113 (at each delivery)
