"""What the app has opened while it was imported, by which each of its tasks can write where nobody sees it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from harness.explore.proc import link, numbers, shared_maps
from harness.explore.targets import Targets

__all__ = ["is_index", "unseen_from_the_beginning"]

#: Of the C library: locks, which say nothing to anybody who looks.
_SEMAPHORES = "/dev/shm/sem."
_RING = "anon_inode:[io_uring]"


def is_index(path: str) -> bool:
    """May it be mapped? SQLite's index of its -wal, which whoever opens the database first makes anew; or a semaphore."""
    # As text: asked at stops.
    return path.startswith(_SEMAPHORES) or (path.endswith("-shm") and os.path.exists(path[:-4] + "-wal"))  # noqa: PTH110


def unseen_from_the_beginning(process: int, targets: Targets, connected: Sequence[str] = ()) -> str:
    """'' or, in words, why nothing is proven; a fork has all of it. ``connected``: paths of other programs' sockets, as it has told."""
    if connected:
        return f"the app is connected to {connected[0]} since it was imported, and nobody sees what a task sends there"
    for descriptor in numbers(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            if link(f"/proc/{process}/fd/{descriptor}") == _RING:
                return "the app has set up io_uring while it was imported, whose writes nobody can stop"
    try:
        mapped = shared_maps(process, writable=True)
    except OSError as exc:
        return f"whether the app maps files into its memory cannot be seen: {exc.strerror}"
    seen = [path for path in mapped if targets.of_file(path).kind and not is_index(path)]
    return f"the app maps {seen[0]} into its memory while it is imported, where nobody can see it write" if seen else ""
