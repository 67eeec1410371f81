"""What a crash of the first delivery leaves, and how that ends when nothing else happens: the map of stops."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from harness.explore.spots import Spot
from harness.model.exploration import Wake
from harness.ports.exploring import Node, Surroundings

__all__ = ["Trail", "wakes_of"]

_NAMED = 24  # differences that are kept
_DRAWN = 500  # wakes; of a task with more of them the first


class Trail:
    """What leads to what without a crash. ``first``: of the first delivery, number of the stop and what a kill there leaves, in order."""

    def __init__(self) -> None:
        self.first: list[tuple[int, Spot]] = []
        self._leads: dict[Hashable, set[Hashable]] = {}
        self._followed: set[Hashable] = set()

    def lead(self, origin: Hashable, key: Hashable) -> None:
        """The one comes to the other by itself."""
        self._leads.setdefault(origin, set()).add(key)

    def follow(self, key: Hashable) -> None:
        """All that it leads to is known."""
        self._followed.add(key)

    def reaches(self, key: Hashable) -> Iterator[tuple[Hashable, bool]]:
        """All that it comes to, itself too; whether that was followed."""
        seen, coming = {key}, [key]
        while coming:
            at = coming.pop()
            further = self._leads.get(at, set())
            yield at, at in self._followed or bool(further)
            coming += further - seen
            seen |= further


def wakes_of(
    trail: Trail, wrong: Iterable[tuple[Hashable, str, Iterable[Mapping[str, Any]]]], seen: Surroundings, first: Node, stops: int
) -> tuple[Wake, ...]:
    """``stops``: of the first delivery, its ack not counted; ``first``: the world before the call.

    ``wrong``: key, word and differences of each spot that is not allowed.
    """
    faults: dict[Hashable, tuple[str, Iterable[Mapping[str, Any]]]] = {}
    for key, word, differences in wrong:
        faults.setdefault(key, (word, differences))
    numbers: dict[Hashable, int] = {}
    wakes: list[Wake] = []
    for place, (stop, spot) in enumerate(trail.first):
        last = trail.first[place + 1][0] - 1 if place + 1 < len(trail.first) else max(stop, stops)
        world = numbers.setdefault(spot.key, len(numbers) + 1)
        if len(wakes) == _DRAWN:
            break
        if wakes and wakes[-1].world == world:
            wakes[-1] = _until(wakes[-1], last)
            continue
        word, differences, known = "", [], True
        for key, followed in trail.reaches(spot.key):
            known = known and followed
            if key in faults and not word:
                word, differences = faults[key][0], list(faults[key][1])[:_NAMED]
        holds = seen.differences(first, spot.node, first)
        ends = word or ("same" if known else "open")
        wakes.append(Wake(stop, last, world, tuple(holds[:_NAMED]), len(holds), ends, tuple(differences)))
    return tuple(wakes)


def _until(wake: Wake, last: int) -> Wake:
    return Wake(wake.first, last, wake.world, wake.holds, wake.changed, wake.ends, wake.differences)
