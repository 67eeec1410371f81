"""A YAML document as plain values that know where they were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Entry", "Fields", "Items", "Place", "Scalar", "Tree", "child", "describe", "find", "place_of", "plain", "planted", "scalars"]

Step: TypeAlias = "str | int"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, number, true, false or null. ``text``: as it was written; '' with null: nothing was written."""

    value: str | int | float | bool | None
    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Tree, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a mapping, and where its key stands."""

    key: Place
    value: Tree


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the order of the file."""

    entries: Mapping[str, Entry]
    place: Place

    def get(self, key: str) -> Tree | None:
        """The value, or None where the key is not there."""
        entry = self.entries.get(key)
        return entry.value if entry else None


Tree: TypeAlias = "Scalar | Items | Fields"


def plain(tree: Tree) -> Any:
    """Python's own dicts, lists and values."""
    if isinstance(tree, Fields):
        return {key: plain(entry.value) for key, entry in tree.entries.items()}
    if isinstance(tree, Items):
        return [plain(item) for item in tree.items]
    return tree.value


def planted(value: Any, place: Place) -> Tree:
    """The reverse of `plain`: everything stands at one place."""
    if isinstance(value, Mapping):
        return Fields({key: Entry(place, planted(inner, place)) for key, inner in value.items()}, place)
    if isinstance(value, (list, tuple)):
        return Items(tuple(planted(inner, place) for inner in value), place)
    return Scalar(value, place, str(value))


def child(tree: Tree, step: Step) -> Tree | None:
    """The value one step further in, if there is one."""
    if isinstance(tree, Fields):
        return tree.get(step) if isinstance(step, str) else None
    if isinstance(tree, Items) and isinstance(step, int):
        return tree.items[step] if 0 <= step < len(tree.items) else None
    return None


def find(tree: Tree, *path: Step) -> Tree | None:
    """The value at a path, or None."""
    here: Tree | None = tree
    for step in path:
        here = child(here, step) if here is not None else None
    return here


def place_of(tree: Tree, path: Sequence[Step], *, key: bool = False) -> Place:
    """Where a path's value stands (or its key, with ``key``); where it is not written, its nearest ancestor that is."""
    place = tree.place
    for number, step in enumerate(path):
        if key and number == len(path) - 1 and isinstance(tree, Fields) and step in tree.entries:
            return tree.entries[str(step)].key
        inner = child(tree, step)
        if inner is None:
            break
        tree, place = inner, inner.place
    return place


def scalars(tree: Tree, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Scalar]]:
    """Every scalar with its path, in the order of the file."""
    if isinstance(tree, Fields):
        for key, entry in tree.entries.items():
            yield from scalars(entry.value, (*path, key))
    elif isinstance(tree, Items):
        for number, item in enumerate(tree.items):
            yield from scalars(item, (*path, number))
    else:
        yield path, tree


def describe(tree: Tree) -> str:
    """For people: ``a list``, ``a mapping``, ``nothing``, or the value as it was written."""
    if isinstance(tree, Fields):
        return "a mapping"
    if isinstance(tree, Items):
        return "a list"
    if tree.value is None:
        return f"`{tree.text}`" if tree.text else "nothing"
    text = tree.text if len(tree.text) <= 60 else f"{tree.text[:57]}..."
    if isinstance(tree.value, bool):
        return f"`{text}`"
    return f"the number {text}" if isinstance(tree.value, (int, float)) else f"`{text}`"
