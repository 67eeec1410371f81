"""Processor time and memory of a process and all that it started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["family", "use_of"]


def use_of(pid: int) -> tuple[float, int] | None:
    """(processor seconds, children that have ended included; resident bytes, shared pages once for each process); None: it is gone."""
    seconds, size, alive = 0.0, 0, False
    for member in family(pid):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(member)
            with process.oneshot():
                spent = process.cpu_times()
                seconds += spent.user + spent.system + getattr(spent, "children_user", 0.0) + getattr(spent, "children_system", 0.0)
                size += process.memory_info().rss
            alive = alive or member == pid
    return (seconds, size) if alive else None


def family(pid: int) -> Iterator[int]:
    """It, its children, theirs. By the kernel's own lists where it has them: 20 µs each, when a look at every process takes 10 ms."""
    yield pid
    tasks = Path(f"/proc/{pid}/task")
    if not (tasks / str(pid) / "children").exists():
        with contextlib.suppress(psutil.Error):
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    with contextlib.suppress(OSError):
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                for child in (task / "children").read_text().split():
                    yield from family(int(child))
