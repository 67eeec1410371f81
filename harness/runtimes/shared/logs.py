"""Logs: their last lines, and a run's part of one that several runs write."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

__all__ = ["append_new", "log_tail"]


def log_tail(path: Path, lines: int = 12) -> tuple[str, ...]:
    """The last lines of a log, for errors and reports."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 16_384))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]


def append_new(source: Path, begin: int, target: Path) -> int:
    """Append to ``target`` what ``source`` holds from byte ``begin`` on; where that ended. No OSError: the run is over without its log."""
    if source == target:
        return begin
    with contextlib.suppress(OSError), source.open("rb") as written:
        written.seek(begin)
        with target.open("ab") as log:
            shutil.copyfileobj(written, log)
        return written.tell()
    return begin
