"""Temporary folders, removed until they are gone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

__all__ = ["remove_folder"]

_GONE_SECONDS = 5.0


def remove_folder(folder: Path) -> None:
    """With all below it; never raises. Who was killed a moment ago may still write into it: then once more, for 5 s at most."""
    deadline = time.monotonic() + _GONE_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > deadline:
            return
        time.sleep(0.02)
