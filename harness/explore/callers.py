"""Which line is named where an effect happens in a function that several others call: the line that calls it.

What is wrong is that this call stands there, before or after another, not that there is a function that sends requests. But where one
and the same call of a function has several effects, that function is where they stand beside one another, so its own line is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from harness.explore.clean import Clean
from harness.explore.confirm import Replayed
from harness.explore.shared_page import Called
from harness.explore.watching import Effect
from harness.model.exploration import Place, Stop

__all__ = ["Callers", "effects_of", "plain"]


def effects_of(clean: Clean) -> Iterator[Stop]:
    """The stops of an execution whose calls made another world."""
    for number, ending in enumerate(clean.endings):
        seen = sorted(stop for delivery, stop in clean.seen if delivery == number)
        for before, stop in pairwise(seen):
            if clean.seen[number, before].key != clean.seen[number, stop].key:
                yield ending.stops[stop - 2]
        last = number == len(clean.endings) - 1
        if ending.stops and seen and not (last and clean.seen[number, seen[-1]].key == clean.end.key):
            yield ending.stops[-1]


def plain(stops: Iterable[Stop]) -> tuple[Stop, ...]:
    """At their own lines, without those that called them."""
    return tuple(replace(stop, place=stop.place.plain()) if isinstance(stop.place, Called) else stop for stop in stops)


class Callers:
    """``modules``: name -> file of the user's; ``task``: its file and the line of its function; ``effects``: of a clean execution."""

    def __init__(self, modules: Mapping[str, str], task: Mapping[str, object], effects: Iterable[Stop] = ()) -> None:
        self._files = tuple(sorted(modules.values()))
        self._task = _function_at(task.get("file"), task.get("line"))
        self._effects = [stop.place for stop in effects if isinstance(stop.place, Called)]

    def replayed(self, walked: Replayed) -> Replayed:
        """The same with the lines that are named."""
        endings = tuple(replace(ending, stops=tuple(map(self.named, ending.stops))) for ending in walked.endings)
        return replace(walked, endings=endings, struck=tuple(stop and self.named(stop) for stop in walked.struck))

    def effects(self, listed: Sequence[Sequence[Effect]]) -> list[list[Effect]]:
        """Likewise, of each delivery."""
        self._effects += [one.stop.place for made in listed for one in made if isinstance(one.stop.place, Called)]
        return [[replace(one, stop=self.named(one.stop)) for one in made] for made in listed]

    def named(self, stop: Stop) -> Stop:
        """The stop at the line that is named; `Place.inner` is where it stands, if that is another."""
        place = stop.place
        if not isinstance(place, Called):
            return stop
        chain = (place.plain(), *place.by)
        level = next((n for n in range(len(chain)) if self._tells(chain, n)), len(chain) - 1)
        inner = f"{place.file}:{place.line}, {place.function}" if level else ""
        return replace(stop, place=replace(chain[level], inner=inner))

    def _tells(self, chain: Sequence[Place], level: int) -> bool:
        """Is there nothing better than this line among those that called it?"""
        name = chain[level].function.rpartition(".")[2]
        is_called_by_others = name.startswith("__") or (name.isidentifier() and _calls(name, self._files) > 1)
        if name == self._task or not is_called_by_others:
            return True
        return any(self._beside(chain, level, (other.plain(), *other.by)) for other in self._effects)

    @staticmethod
    def _beside(chain: Sequence[Place], level: int, other: Sequence[Place]) -> bool:
        """Has the same call of its function another effect, at another line?"""
        above = chain[level + 1 :]
        at = len(other) - len(above) - 1
        if at < 0 or tuple(other[at + 1 :]) != tuple(above):
            return False
        here, there = chain[level], other[at]
        return (here.file, here.function) == (there.file, there.function) and here.line != there.line


def _function_at(file: object, line: object) -> str:
    """The name of the function that is defined there; '' where that cannot be told."""
    try:
        text = Path(str(file)).read_text(errors="replace").splitlines()[int(str(line)) - 1]
    except (OSError, ValueError, IndexError):
        return ""
    found = re.match(r"\s*(?:async\s+)?def\s+(\w+)", text)
    return found[1] if found else ""


@lru_cache(maxsize=1024)
def _calls(name: str, files: tuple[str, ...]) -> int:
    """How often a function of this name is called in the user's code, whatever it is a function of."""
    pattern = re.compile(rf"(?<!def )(?<![\w]){re.escape(name)}\s*\(")
    return sum(len(pattern.findall(text)) for text in map(_code, files))


@lru_cache(maxsize=4096)
def _code(file: str) -> str:
    """Without what stands behind a # in a line."""
    try:
        return re.sub(r"#.*", "", Path(file).read_text(errors="replace"))
    except OSError:
        return ""
