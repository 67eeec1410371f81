"""In which order rows came: by the numbers that their store gave them, or as a store lists what has no key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.freezing import Change, Freezer, changes
from harness.explore.varying import Collections, Varying
from harness.ports.exploring import Node
from harness.ports.store import ListsInOrder, Store

__all__ = ["Order", "out_of_order"]


class Order:
    """Of what has come since the first world, of which it is told by `begin`."""

    def __init__(self, varying: Varying, stores: Mapping[str, Store]) -> None:
        self._varying = varying
        self._listed = {name for name, store in stores.items() if isinstance(store, ListsInOrder)}
        self._base: Collections = {}
        self._given: Mapping[tuple[str, str], set[Any]] = {}

    def begin(self, first: Node, given: Mapping[tuple[str, str], set[Any]]) -> None:
        """``given``: as `Freezer` has it."""
        self._base, self._given = first.world.collections(), given

    def of(self, node: Node) -> Mapping[str, Sequence[str]]:
        """See `KnowsOrder`."""
        found = changes(self._base, node.world.collections())
        frozen = Freezer(self._varying, self._given).freeze(found)
        rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for place, (change, row) in enumerate(zip(found, frozen, strict=True)):
            rank = self._rank(change, place)
            if rank is not None:
                rows[change.name].append((rank, row.text))
        return {name: [text for _, text in sorted(one)] for name, one in rows.items() if len({text for _, text in one}) > 1}

    def _rank(self, change: Change, place: int) -> int | None:
        collection = change.collection
        store, _, name = change.name.partition(".")
        if change.sign == "-" or "~" in name:
            return None
        if not collection.key:
            return place if store in self._listed else None
        number = change.row.get(collection.key[0])
        return number if collection.key == collection.surrogate and len(collection.key) == 1 and isinstance(number, int) else None


def out_of_order(expected: Mapping[str, Sequence[str]], found: Mapping[str, Sequence[str]]) -> set[str]:
    """Collections that have the same rows in another order."""
    return {
        name for name, rows in expected.items() if list(found.get(name, ())) != list(rows) and sorted(found.get(name, ())) == sorted(rows)
    }
