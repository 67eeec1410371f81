"""What an answer about the app is made of, so that it can be told later whether it still holds."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["Sources"]

#: Beyond these nobody can say what was learnt: another program, a library in C, another machine, a file that C opens by itself.
_DOUBTFUL = frozenset(
    {
        "ctypes.dlopen",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
        "sqlite3.connect",
        "subprocess.Popen",
    }
)
_READING = frozenset({"open", "os.listdir", "os.scandir"})


class Sources:
    """An audit hook: files that were opened, folders that were listed (the import system lists those on the path), and doubts."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._doubts: set[str] = set()

    def install(self) -> None:
        """From here on."""
        note = self._note

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _READING:
                note(event, arguments[0])
            elif event in _DOUBTFUL and (event != "ctypes.dlopen" or arguments[0] is not None):  # None: the interpreter itself
                self._doubts.add(event)

        sys.addaudithook(hook)

    def _note(self, event: str, name: Any) -> None:
        if name is None:
            name = "."
        if isinstance(name, int):
            if event != "open":  # a file's descriptor comes from somewhere that was seen; a folder's may be from anywhere
                self._doubts.add(event)
            return
        self._read.add(os.path.abspath(os.fsdecode(name)))  # noqa: PTH100 (a hook may call nothing that opens files itself)

    def files(self) -> list[str]:
        """Sources of modules, and what the app read beside them; a module's compiled form says no more than its source does."""
        modules = {str(found) for module in list(sys.modules.values()) if (found := getattr(module, "__file__", None))}
        return sorted(name for name in self._read | modules if not name.endswith(".pyc"))

    def doubts(self) -> list[str]:
        """Why the answer may be another one the next time although no file has changed; empty: it can't."""
        return sorted(self._doubts)
