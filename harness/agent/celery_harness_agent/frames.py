"""Which frames are the user's: below the project folder, not in an installed package, not the standard library."""

from __future__ import annotations

import inspect
import linecache
import os
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Iterator

STDLIB = str(Path(os.__file__).resolve().parent) + os.sep
_OURS = str(Path(__file__).resolve().parent) + os.sep
INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


class Frames:
    """Answers for one project folder. Answers per file name are kept: the question is asked often."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root).rstrip(os.sep) + os.sep
        self._known: dict[str, bool] = {}

    def is_user(self, filename: str) -> bool:
        """Is this file of the user's own code?"""
        known = self._known.get(filename)
        if known is None:  # "<string>" and "<frozen runpy>" are no files, though they resolve into the current folder
            path = os.path.realpath(filename)
            known = (
                not filename.startswith("<")
                and path.startswith(self._root)
                and not path.startswith((STDLIB, _OURS))
                and not any(part in path for part in INSTALLED)
            )
            self._known[filename] = known
        return known

    def innermost(self, traceback: TracebackType | None) -> tuple[str | None, int | None]:
        """File and line of the user's innermost frame of a traceback; (None, None): it has none."""
        found: tuple[str | None, int | None] = (None, None)
        while traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if self.is_user(filename):
                found = (filename, traceback.tb_lineno)
            traceback = traceback.tb_next
        return found

    def of_exception(self, exc: BaseException | None) -> tuple[str | None, int | None]:
        """Like `innermost`, for what an exception carries; for none: (None, None)."""
        return self.innermost(exc.__traceback__) if isinstance(exc, BaseException) else (None, None)

    def user_frames(self, frame: FrameType | None) -> Iterator[FrameType]:
        """The user's frames from the innermost outwards."""
        while frame is not None:
            if self.is_user(frame.f_code.co_filename):
                yield frame
            frame = frame.f_back

    def stack(self, frame: FrameType | None, limit: int = 20) -> list[str]:
        """The user's frames as "file:line function", innermost first."""
        lines = []
        for found in self.user_frames(frame):
            lines.append(f"{found.f_code.co_filename}:{found.f_lineno:d} {found.f_code.co_name}")
            if len(lines) == limit:
                break
        return lines


def code_of(function: Any) -> CodeType | None:
    """The code of the user's own function below decorators and Celery's autoretry; None: it has none (a C callable)."""
    try:
        function = inspect.unwrap(function)
    except ValueError:
        return None
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def place_of(task: Any) -> tuple[str | None, int | None]:
    """File and line of a task's function: its `def`, not its first decorator."""
    code = code_of(task.run)
    if code is None:
        return None, None
    line = code.co_firstlineno
    while linecache.getline(code.co_filename, line).lstrip().startswith(("@", "#")):
        line += 1
    if not linecache.getline(code.co_filename, line).lstrip().startswith(("def ", "async def ")):
        line = code.co_firstlineno
    return code.co_filename, line
