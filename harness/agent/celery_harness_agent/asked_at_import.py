"""Files of the services that the app asks about while it is imported: a worker that is started again asks anew, in another world."""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import sys
from typing import Any, Callable, Sequence

from celery_harness_agent.files_read import database_path

__all__ = ["AskedAtImport"]

#: By these a program asks what a file is without opening it, for which the interpreter has no audit event.
_ASKING = ("stat", "lstat", "access")
#: Who makes a folder, or follows links, asks for what is there only to get on: functions of the standard library's own modules.
_GETTING_ON = frozenset({"makedirs", "mkdir", "realpath", "_joinrealpath", "resolve"})
#: A service's folder, or its file, is there in every world.
_IS_THERE = frozenset({"exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"})
_LIBRARY = frozenset({"os", "pathlib", "posixpath", "genericpath"})
#: Audit events of what takes something away that a crash may have left: none of them changes anything in the first world.
_TAKING = ("os.remove", "os.rmdir", "os.rename", "os.truncate", "shutil.rmtree", "shutil.move")
#: SQLite's actions (sqlite3.h) on rows: delete, insert, read, update.
_ON_ROWS = frozenset({9, 18, 20, 23})


class AskedAtImport:
    """Told by the interpreter's audit events, and by `os.stat` and the like, between `watch` and `taken`. Who opens a database then most
    often makes its tables, or keeps the connection, which is refused; who reads or changes its rows asks.
    """

    def __init__(self) -> None:
        self._folders = []  # type: list[str]
        self._paths = {}  # type: dict[str, None]
        self._before = []  # type: list[tuple[Any, str, Any]]

    def watch(self, folders: Sequence[str]) -> None:
        """Folders, or single files, of the services."""
        self._folders = [folder.rstrip(os.sep) for folder in folders]
        if self._folders:
            for name in _ASKING:
                self._ask_first(os, name)
            for name in _ASKING[:2]:
                self._ask_first(getattr(pathlib, "_NormalAccessor", None), name)  # up to Python 3.10 it has its own
            for name in ("sqlite3", "sqlite3.dbapi2"):
                with contextlib.suppress(ImportError):  # there are Pythons without
                    self._watch_rows(importlib.import_module(name))

    def _ask_first(self, owner: Any, name: str) -> None:
        before = getattr(owner, name, None)
        if before is None:
            return

        def asked(path: Any, *arguments: Any, **named: Any) -> Any:
            self._note_asked(path, sys._getframe(1))
            return before(path, *arguments, **named)

        self._before.append((owner, name, before))
        setattr(owner, name, staticmethod(asked) if isinstance(owner, type) else asked)

    def beside(self, events: "dict[str, Callable[[str, Any], None]]") -> "dict[str, Callable[[str, Any], None]]":
        """These, and ours before them."""
        found = {**events, "open": self._first(self._note, events["open"]), **self._of_folders(events)}
        found.update((name, self._first(self._note_taking, events.get(name, _nobody))) for name in _TAKING)
        return found

    def _of_folders(self, events: "dict[str, Callable[[str, Any], None]]") -> "dict[str, Callable[[str, Any], None]]":
        names = ("os.listdir", "os.scandir")
        return {name: self._first(self._note_listed, events[name]) for name in names if name in events}

    def _first(self, note: "Callable[..., None]", tell: "Callable[[str, Any], None]") -> "Callable[[str, Any], None]":
        def told(event: str, arguments: Any) -> None:
            if self._folders:
                note(*arguments)
            tell(event, arguments)

        return told

    def _note(self, path: Any, _mode: Any, flags: Any) -> None:
        if isinstance(flags, int) and (flags & os.O_ACCMODE != os.O_WRONLY or flags & os.O_TRUNC):
            self._note_path(path)

    def _note_taking(self, *paths: Any) -> None:
        for path in paths:
            self._note_path(path)

    def _watch_rows(self, owner: Any) -> None:
        connect = owner.connect

        def connected(path: Any, *arguments: Any, **named: Any) -> Any:
            connection = connect(path, *arguments, **named)
            database = database_path(path)

            def judge(action: int, table: Any, *_: Any) -> int:
                if action in _ON_ROWS and self._folders and not str(table).startswith("sqlite_"):
                    self._note_path(database)
                return 0

            if self._folders:
                connection.set_authorizer(judge)
            return connection

        self._before.append((owner, "connect", connect))
        owner.connect = connected

    def _note_listed(self, path: Any) -> None:
        self._note_path(os.curdir if path is None else path)

    def _note_asked(self, path: Any, frame: Any) -> None:
        names = set()
        for _ in range(4):
            if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARY:
                break
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        if not names & _GETTING_ON:
            self._note_path(path, but_itself=bool(names & _IS_THERE))

    def _note_path(self, path: Any, *, but_itself: bool = False) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (links are no others)
            if any((text == folder and not but_itself) or text.startswith(folder + os.sep) for folder in self._folders):
                self._paths[text] = None

    def taken(self) -> "list[str]":
        """Paths, in the order in which they were asked about; nothing is watched any more."""
        self._folders = []
        for owner, name, before in self._before:
            setattr(owner, name, before)
        self._before = []
        return list(self._paths)


def _nobody(_event: str, _arguments: Any) -> None:
    """Nobody else listens to it."""
