"""The last lines of a log."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["log_tail"]


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
