"""The page that the supervisor and every child of the zygote have in common; its layout is that of the agent's shared_page.py."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from harness.model.exploration import Place

__all__ = ["Called", "SharedPage"]

_SIZE = 1 << 20
_CLOCKS = struct.Struct("<qqqq")
_DEPTH = 8
_PLACES, _PLACE, _PLACE_COUNT = 128, struct.Struct(f"<{1 + 3 * _DEPTH}I"), 64
_END_OF_TEXTS, _TEXTS = 8192, 8196
_LENGTH = struct.Struct("<I")
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Called(Place):
    """A line, and the lines of the user's from which its function was called, innermost first; some of them, where there are many."""

    by: tuple[Place, ...] = ()

    def plain(self) -> Place:
        """The line alone."""
        return Place(self.module, self.function, self.file, self.line, self.hit)


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

    def place(self, thread: int, main: int) -> Called | None:
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
        places = [self._line(*found[at : at + 3]) for at in range(1, len(found), 3) if found[at]]
        first = places[0]
        return Called(first.module, first.function, first.file, first.line, first.hit, by=tuple(places[1:]))

    def _line(self, code: int, line: int, hit: int) -> Place:
        module, function, file = self._text(code)
        return Place(module, function, self.relative(file), line, hit)

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
