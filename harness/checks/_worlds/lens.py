"""How a row is looked at: what identifies it, which leaves are blurred, and which ids stand for other rows.

A *cell* is a row that is found again by its key, so its leaves can change; anything else is one of a *bag* of equal rows,
and only their number counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.checks._worlds.read import Flat, Meta
from harness.model.masks import DROP, RAW, masked, template, token

__all__ = ["DANGLING", "Ident", "Kind", "KindLens", "Labels", "Lens", "State", "View"]

#: (collection, column) of ids that a store made up -> id -> what stands for it, equal in all worlds.
Labels = dict[tuple[str, str], dict[Any, Any]]
#: Rows of a collection that vary alike: how they are identified, and the template of their key.
Kind = tuple[str, ...]
#: What identifies a row in every world: (collection, kind, 'cell' or 'bag', values).
Ident = tuple[str, Kind, str, tuple[Any, ...]]
#: The leaves of a cell, blurred; a bag has none.
State = Mapping[str, Any]

DANGLING = ("points to no row",)
_LATER = ("some row",)


@dataclass
class KindLens:
    """How rows of one kind are looked at. ``whole``: leaves that are compared as one column, because order decides who gets which."""

    by_key: bool = True
    levels: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    leaked: dict[str, tuple[str, str]] = field(default_factory=dict)
    uncounted: bool = False


@dataclass
class View:
    """One world through the lens."""

    cells: dict[Ident, list[State]] = field(default_factory=dict)
    bags: dict[Ident, int] = field(default_factory=dict)
    rows: dict[Ident, Flat] = field(default_factory=dict)  # one example each, for people
    whole: dict[tuple[str, Kind, str], dict[Any, int]] = field(default_factory=dict)


@dataclass
class Lens:
    """What was learnt about all collections. ``fixed``: made-up ids that the setup gives, the same in every pass."""

    metas: Mapping[str, Meta]
    fixed: dict[tuple[str, str], set[Any]] = field(default_factory=dict)
    natural: set[tuple[str, str]] = field(default_factory=set)
    mutable: dict[str, set[str]] = field(default_factory=dict)
    coloured: set[str] = field(default_factory=set)
    merged: set[str] = field(default_factory=set)
    discriminators: dict[str, tuple[str, ...]] = field(default_factory=dict)  # columns that tell kinds of rows without a key apart
    kinds: dict[tuple[str, Kind], KindLens] = field(default_factory=dict)
    _plain: KindLens = field(default_factory=KindLens)

    def surrogates(self, collection: str) -> list[str]:
        """Columns whose values mean nothing by themselves."""
        return [c for c in sorted(self.metas[collection].surrogate) if (collection, c) not in self.natural]

    def is_new(self, collection: str, column: str, value: Any) -> bool:
        """A made-up id that was given during the run."""
        return value not in self.fixed.get((collection, column), ())

    def kind_of(self, collection: str, row: Flat) -> Kind:
        """Rows with the same answer are learnt together."""
        meta = self.metas[collection]
        apart = [template(row.get(c)) for c in self.discriminators.get(collection, ())]
        if not meta.key:
            return ("bag", *apart)
        made_up = [c for c in meta.key if c in meta.surrogate and (collection, c) not in self.natural]
        if made_up:
            return ("new", *apart) if any(self.is_new(collection, c, row.get(c)) for c in made_up) else ("fixed",)
        if collection in self.merged:
            return ("key",)
        return ("key", *(template(row.get(c)) for c in meta.key))

    def lens_of(self, collection: str, kind: Kind) -> KindLens:
        """What was learnt; an unknown kind is looked at as it is."""
        return self.kinds.get((collection, kind), self._plain)

    def leaf(self, collection: str, lens: KindLens, path: str, value: Any, labels: Labels) -> Any:
        """The value as it is compared."""
        target = self.metas[collection].references.get(path)
        if target is not None and value is not None:
            return self.label(target, value, labels)
        leak = lens.leaked.get(path)
        if leak is not None and (found := token(value)) is not None:
            return (found[0], self.label(leak, found[1], labels), found[2])
        return masked(value, lens.levels.get(path, RAW))

    def label(self, target: tuple[str, str], value: Any, labels: Labels) -> Any:
        """What stands for an id: itself where it means something, else the row that it names."""
        meta = self.metas.get(target[0])
        if meta is None or target[1] not in meta.surrogate or target in self.natural:
            return value
        if not self.is_new(*target, value):
            return ("id", value)
        known = labels.get(target)
        return _LATER if known is None else known.get(value, DANGLING)

    def telling(self, ident: Ident, row: Flat) -> Flat:
        """What of a row can name the call that it belongs to: no made-up ids, but what the rows say that those stand for."""
        meta = self.metas[ident[0]]
        lens = self.lens_of(ident[0], ident[1])
        pointing = {p for p, (name, column) in meta.references.items() if name in self.metas and column in self.metas[name].surrogate}
        hidden = {*self.surrogates(ident[0]), *lens.leaked, *pointing}
        told = {p: v for p, v in row.items() if p not in hidden}
        if ident[2] == "bag" or ident[1][0] == "new":
            for path, value in ident[3]:
                if path in hidden:
                    told.update({f"{path}/{i}": v for i, v in enumerate(_said(value))})
        return told

    def view_row(self, collection: str, row: Flat, labels: Labels) -> tuple[Ident, State | None] | None:
        """(identity, leaves) of a cell, (identity, None) of one in a bag; None where rows of this kind are not compared."""
        kind = self.kind_of(collection, row)
        lens = self.lens_of(collection, kind)
        if lens.uncounted:
            return None
        meta = self.metas[collection]
        hidden = {c for c in meta.surrogate if (collection, c) not in self.natural}
        values = {
            p: self.leaf(collection, lens, p, v, labels) for p, v in row.items() if p not in hidden and lens.levels.get(p, RAW) != DROP
        }
        if kind[0] == "fixed":
            return (collection, kind, "cell", tuple(row.get(c) for c in meta.key)), values
        if kind[0] == "key" and lens.by_key:
            identity = tuple(values.pop(c, None) for c in meta.key)
            return (collection, kind, "cell", identity), values
        if kind[0] == "new" and collection in self.coloured:
            state = {p: values.pop(p) for p in self.mutable[collection] if p in values}
            return (collection, kind, "cell", tuple(sorted(values.items()))), state
        return (collection, kind, "bag", tuple(sorted(values.items()))), None

    def view(self, world: Mapping[str, Iterable[Flat]], labels: Labels) -> View:
        """A whole world."""
        seen = View()
        for collection, rows in world.items():
            for row in rows:
                looked = self.view_row(collection, row, labels)
                if looked is None:
                    continue
                ident, state = looked
                seen.rows.setdefault(ident, row)
                if state is None:
                    seen.bags[ident] = seen.bags.get(ident, 0) + 1
                else:
                    seen.cells.setdefault(ident, []).append(state)
                lens = self.lens_of(collection, ident[1])
                for path in lens.whole:
                    column = seen.whole.setdefault((collection, ident[1], path), {})
                    value = self.leaf(collection, self._plain, path, row.get(path), labels)
                    column[value] = column.get(value, 0) + 1
        return seen

    def colours(self, collection: str, rows: Iterable[Flat], labels: Labels) -> None:
        """Add what stands for the new ids of these rows: their own stable leaves, and the rows that they point to."""
        made_up = self.surrogates(collection)
        if not made_up:
            return
        mutable = self.mutable.get(collection, set())
        meta = self.metas[collection]
        for column in made_up:
            labels.setdefault((collection, column), {})
        for row in rows:
            kind = self.kind_of(collection, row)
            lens = self.lens_of(collection, kind)
            seen = {p: v for p, v in row.items() if p not in made_up and p not in mutable and lens.levels.get(p, RAW) != DROP}
            pointers = {**meta.references, **lens.leaked}
            own = {p for p, target in pointers.items() if target[0] == collection and row.get(p) is not None}
            colour = tuple(sorted((p, _LATER if p in own else self.leaf(collection, lens, p, v, labels)) for p, v in seen.items()))
            for column in made_up:
                if self.is_new(collection, column, row.get(column)):
                    labels[collection, column][row.get(column)] = ("row", collection, colour)


def _said(value: Any) -> list[Any]:
    """The plain values in what stands for an id."""
    if not isinstance(value, tuple):
        return [value]
    if value[:1] == ("row",) and len(value) == 3:
        return [v for _, inner in value[2] for v in _said(inner)]
    if value[:1] == ("id",):
        return [value[1]]
    return [v for inner in value if isinstance(inner, tuple) for v in _said(inner)] if len(value) == 3 else []
