"""Which processes run a task at this moment, by their own journals (docs/journal.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

__all__ = ["running"]


def running(journal: Path, pids: Iterable[int]) -> set[int]:
    """Those whose latest `start` has no `end`. A process without a journal has run nothing."""
    return {pid for pid in pids if any(_runs(path) for path in journal.glob(f"{pid}-*.journal"))}


def _runs(path: Path) -> bool:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return False
    for line in reversed(lines):
        try:
            kind = json.loads(line.strip(b"\0")).get("k")
        except (ValueError, AttributeError):  # zeros behind the last record, or one that is being written
            continue
        if kind in ("start", "end"):
            return bool(kind == "start")
    return False
