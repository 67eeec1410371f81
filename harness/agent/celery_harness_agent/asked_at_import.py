"""Files of the services that the app reads while it is imported: a worker that is started again reads them anew, in another world."""

from __future__ import annotations

import os
from typing import Any, Callable, Sequence

__all__ = ["AskedAtImport"]


class AskedAtImport:
    """Told by the interpreter's audit events, between `watch` and `taken`. Whether a file is there, asked without opening it, has none; and
    who opens a database then most often makes its tables, or keeps the connection, which is refused.
    """

    def __init__(self) -> None:
        self._folders = []  # type: list[str]
        self._paths = {}  # type: dict[str, None]

    def watch(self, folders: Sequence[str]) -> None:
        """Folders, or single files, of the services."""
        self._folders = [folder.rstrip(os.sep) for folder in folders]

    def beside(self, events: "dict[str, Callable[[str, Any], None]]") -> "dict[str, Callable[[str, Any], None]]":
        """These, and ours before them."""
        tell = events["open"]

        def opened(event: str, arguments: Any) -> None:
            if self._folders:
                self._note(*arguments)
            tell(event, arguments)

        return {**events, "open": opened}

    def _note(self, path: Any, _mode: Any, flags: Any) -> None:
        if isinstance(path, (str, bytes, os.PathLike)) and isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY:
            text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (links are no others)
            if any(text == folder or text.startswith(folder + os.sep) for folder in self._folders):
                self._paths[text] = None

    def taken(self) -> "list[str]":
        """Paths, in the order in which they were opened; nothing is watched any more."""
        self._folders = []
        return list(self._paths)
