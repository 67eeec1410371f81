"""A world: the state of all stores as others see it, in a form that compares and prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["Collection", "Row", "StoreState", "World", "sharing"]

#: Column -> value. Values are None, bool, int, float, str, or nested lists and dicts of these.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Collection:
    """Rows of one kind: a table, a key space, a folder, an endpoint's requests. Order has no meaning.

    ``key``: columns that identify a row across observations, if any. ``surrogate``: columns whose values the store
    made up itself (autoincrement): compared by isomorphism only. ``references``: column -> 'collection.column' it points to.
    """

    name: str
    rows: tuple[Row, ...]
    key: tuple[str, ...] = ()
    surrogate: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreState:
    """Everything that one store holds, by collection name."""

    store: str
    collections: Mapping[str, Collection]


@dataclass(frozen=True, slots=True)
class World:
    """The states of all observed stores, by the name that the scenario gives them."""

    stores: Mapping[str, StoreState]

    def collections(self) -> dict[str, Collection]:
        """All collections as 'store.collection'."""
        return {f"{s}.{c}": col for s, state in self.stores.items() for c, col in state.collections.items()}


def sharing(world: World, before: World) -> World:
    """The same world, with rows that are as they were shared with ``before``: a look after each of 1,500 calls must not fill the memory."""
    stores = {}
    for name, state in world.stores.items():
        old = before.stores[name].collections if name in before.stores else {}
        collections = {c: replace(col, rows=_shared(col.rows, old[c].rows if c in old else ())) for c, col in state.collections.items()}
        stores[name] = StoreState(state.store, collections)
    return World(stores)


def _shared(rows: tuple[Row, ...], before: tuple[Row, ...]) -> tuple[Row, ...]:
    if rows == before:
        return before
    same = tuple(old if new == old else new for new, old in zip(rows, before, strict=False))
    return same + rows[len(same) :]
