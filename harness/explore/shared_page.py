"""The page that the supervisor and every child of the zygote have in common; its layout is that of the agent's shared_page.py."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from harness.model.exploration import Place

__all__ = ["SharedPage"]

_SIZE = 1 << 20
_CLOCKS = struct.Struct("<qqqq")
_PLACES, _PLACE, _PLACE_COUNT = 128, struct.Struct("<IIII"), 64
_END_OF_TEXTS, _TEXTS = 2048, 2052
_LENGTH = struct.Struct("<I")
_SECOND = 1_000_000_000


class SharedPage:
    """How far the clocks of the task are ahead, in nanoseconds, and where its threads are."""

    def __init__(self, descriptor: int, root: Path) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE, mmap.MAP_SHARED)
        os.close(descriptor)
        self._root = root
        self._texts: dict[int, tuple[str, str, str]] = {}
        self.wall = 0  # of what tells the time of day
        self.running = 0  # of what only runs

    def begin(self, later: float, slept: int) -> None:
        """Of a delivery. ``slept``: nanoseconds by which clocks that only run are ahead in this process already."""
        self._memory[_PLACES : _TEXTS + _LENGTH.size] = bytes(_TEXTS + _LENGTH.size - _PLACES)
        _LENGTH.pack_into(self._memory, _END_OF_TEXTS, _TEXTS)
        self._texts.clear()
        self.wall, self.running = round(later * _SECOND), slept
        self._show()

    def pass_time(self, nanoseconds: int, *, running: bool = True) -> None:
        """The task has slept so long, for itself. ``running``: the clocks that only run show it too."""
        self.wall += nanoseconds
        self.running += nanoseconds if running else 0
        self._show()

    def now(self, clock: int) -> int:
        """As the task sees it, in nanoseconds."""
        return time.clock_gettime_ns(clock) + (self.wall if clock in (0, 5, 11) else self.running)

    def _show(self) -> None:
        _CLOCKS.pack_into(self._memory, 0, *divmod(self.wall, _SECOND), *divmod(self.running, _SECOND))

    def place(self, thread: int, main: int) -> Place | None:
        """The user's innermost line of a thread; of one that runs none, or of another program, that of the main thread."""
        found = None
        for number in range(_PLACE_COUNT):
            entry = _PLACE.unpack_from(self._memory, _PLACES + number * _PLACE.size)
            if not entry[0]:
                break
            if entry[1] and entry[0] in (thread, main):
                found = entry
                if entry[0] == thread:
                    break
        if found is None:
            return None
        module, function, file = self._text(found[1])
        return Place(module, function, self.relative(file), found[2], found[3])

    def relative(self, file: str) -> str:
        """To the project's folder, where it lies below it."""
        path, root = Path(file).resolve(), self._root.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else file

    def _text(self, at: int) -> tuple[str, str, str]:
        found = self._texts.get(at)
        if found is None:
            (length,) = _LENGTH.unpack_from(self._memory, at)
            text = self._memory[at + _LENGTH.size : at + _LENGTH.size + length].decode("utf-8", "replace")
            module, function, file = [*text.split("\0"), "", ""][:3]
            found = self._texts[at] = (module, function, file)
        return found

    def close(self) -> None:
        """Our view of it."""
        self._memory.close()
