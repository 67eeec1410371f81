"""Numbers that each crash takes up by as much, such as the fence of a lease that every delivery takes anew: they would make worlds without
end. What a task did with them when crash after crash had left the same but for them, it is taken to do beyond that; this is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from harness.explore.freezing import Change, changes
from harness.explore.leaves import leaves
from harness.explore.spots import Spot
from harness.explore.varying import Collections, Varying
from harness.model.masks import number
from harness.model.world import Collection
from harness.ports.exploring import KnowsTurns, Node, Surroundings

__all__ = ["TURNS", "Turns", "learn_turning"]

#: So many crashes one after another, each leaving the number raised and nothing else changed. Who gives up after so many is still seen.
TURNS = 6

_Place = tuple[str, str, tuple[Any, ...]]


class Turns:
    """Watches the paths of a graph."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._knows = surroundings if isinstance(surroundings, KnowsTurns) else None
        self._nodes: dict[Hashable, Node] = {}
        self._all: list[Node] = []
        self.alike = False  # has any number come to be so?

    def keep(self, node: Node) -> None:
        """It has a key, which it has to keep."""
        self._all.append(node)

    def visit(self, spot: Spot) -> None:
        """Before anything is delivered there. From now on worlds may count as one that would not have."""
        if self._knows is None:
            return
        self._nodes[spot.key] = spot.node
        last = spot.steps[-TURNS:]
        if len(last) < TURNS or any(step.delivery.killed_at is None for step in last):
            return
        nodes = [self._nodes[step.origin] for step in last if step.origin in self._nodes]
        if len(nodes) == TURNS:
            self.alike |= self._knows.turning([*nodes, spot.node], self._all, self._surroundings.again)


def learn_turning(
    varying: Varying, forget: Callable[[], None], nodes: Sequence[Node], known: Iterable[Node], again: Callable[[Node], Node]
) -> bool:
    """``nodes``: one after another on a path; ``known``: all that have keys: none of these gets another one. See `Varying.turning`.

    Whether anything is alike since.
    """
    worlds = [node.world.collections() for node in nodes]
    places = _raised(varying, worlds)
    if not places or not places.keys() - varying.turning.keys():
        return False
    before = dict(varying.turning)
    varying.turning.update((place, low) for place, (low, _) in places.items())
    forget()
    alike = len({again(node).key for node in nodes[1:]}) == 1  # else something else differs, which nobody sees in the services
    varying.turning.clear()
    varying.turning.update(before)
    if alike:
        highest = {place: high for place, (_, high) in places.items() if place not in before}
        for node in known:
            for place, value in _values(varying, node.world.collections(), highest):
                highest[place] = max(highest[place], value)
        varying.turning.update((place, high + 1) for place, high in highest.items())
    forget()
    return alike


def _raised(varying: Varying, worlds: Sequence[Collections]) -> dict[_Place, tuple[int, int]]:
    """Place -> (its second value, its last): nothing else has changed but what varies. {} where anything has."""
    found: dict[_Place, list[int]] = {}
    steps: set[tuple[tuple[_Place, int], ...]] = set()
    for before, after in pairwise(worlds):
        raised = _between(varying, before, after)
        if not raised:
            return {}
        steps.add(tuple(sorted(((place, new - old) for place, (old, new) in raised.items()), key=repr)))
        for place, (_, new) in raised.items():
            found.setdefault(place, []).append(new)
    return {place: (values[0], values[-1]) for place, values in found.items()} if len(steps) == 1 else {}


def _between(varying: Varying, before: Collections, after: Collections) -> dict[_Place, tuple[int, int]]:
    rows: dict[tuple[str, str], dict[str, Change]] = defaultdict(dict)
    listed = changes(before, after)
    for change in listed:
        rows[change.name, varying.row(change.name, change.collection, change.row)][change.sign] = change
    if len(listed) != 2 * len(rows) or any(not row or both.keys() != {"-", "+"} for (_, row), both in rows.items()):
        return {}
    raised: dict[_Place, tuple[int, int]] = {}
    for (name, row), both in rows.items():
        was, now = (dict(leaves(both[sign].row)) for sign in "-+")
        if was.keys() != now.keys():
            return {}
        kind, collection = varying.kind(name, both["+"].collection, both["+"].row), both["+"].collection
        for path, value in now.items():
            if value == was[path] or varying.habit(name, kind, path) is not None:
                continue
            old, new = _whole(was[path]), _whole(value)
            if path[0] in (*collection.surrogate, *collection.references) or old is None or new is None or new <= old:
                return {}
            raised[name, row, path] = old, new
    return raised


def _values(varying: Varying, world: Collections, places: Iterable[_Place]) -> Iterator[tuple[_Place, int]]:
    for name, row, path in places:
        collection = world.get(name)
        for one in collection.rows if collection else ():
            count = _whole(dict(leaves(one)).get(path))
            if count is not None and varying.row(name, collection or Collection(name, ()), one) == row:
                yield (name, row, path), count


def _whole(value: Any) -> int | None:
    """The whole number that it is, also where a store keeps numbers as text."""
    found = None if isinstance(value, bool) else number(value)
    return found if isinstance(found, int) else None
