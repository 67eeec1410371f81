"""The effects of each call, from the first clean pass: which cells it changed and which rows it added or took away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.checks._worlds.lens import Ident, Labels, Lens, State, View
from harness.checks._worlds.read import Change, Flat

__all__ = ["ABSENT", "Effects", "Touch", "arguments_of", "gather", "named_by", "new_ids", "owners_of", "settle_ownership"]

#: A leaf or row that is not there.
ABSENT = ("absent",)


@dataclass(frozen=True, slots=True)
class Touch:
    """What one call did to one identity. ``count``: rows added (or taken away) of a bag; ``old``/``new``: a cell's leaves."""

    call: int
    count: int = 0
    old: State | None = None
    new: State | None = None

    def leaves(self) -> Iterator[tuple[str, Any, Any]]:
        """(path, old, new) of the leaves that the call changed."""
        old, new = self.old or {}, self.new or {}
        for path in {**old, **new}:
            a, b = old.get(path, ABSENT), new.get(path, ABSENT)
            if a != b:
                yield path, a, b


@dataclass
class Effects:
    """All effects of the first clean pass."""

    touches: dict[Ident, list[Touch]] = field(default_factory=dict)
    by_call: dict[int, dict[Ident, Touch]] = field(default_factory=dict)
    rows: dict[Ident, Flat] = field(default_factory=dict)
    own: dict[tuple[int, Ident], bool] = field(default_factory=dict)
    maker: dict[tuple[str, str, Any], int] = field(default_factory=dict)  # (collection, column, made-up id) -> call that made it

    def is_own(self, call: int, ident: Ident) -> bool:
        """Could no other call have left this effect in its place?"""
        return self.own.get((call, ident), True)


def gather(lens: Lens, order: Sequence[int], changes: Mapping[int, Change], labels: Labels) -> Effects:
    """Effects per call, in the order of the pass."""
    found = Effects()
    for call in order:
        mine: dict[Ident, Touch] = {}
        went, came = View(), View()
        for view, side in ((went, 0), (came, 1)):
            for collection, sides in changes[call].items():
                _look(lens, view, collection, sides[side], labels)
        for ident in {**went.cells, **came.cells}:
            old, new = _only(went.cells.get(ident)), _only(came.cells.get(ident))
            if old != new:
                mine[ident] = Touch(call, 0, old, new)
        for ident in {**went.bags, **came.bags}:
            count = came.bags.get(ident, 0) - went.bags.get(ident, 0)
            if count:
                mine[ident] = Touch(call, count)
        found.rows.update({**went.rows, **came.rows})
        found.by_call[call] = mine
        for ident, touch in mine.items():
            found.touches.setdefault(ident, []).append(touch)
    return found


def _look(lens: Lens, view: View, collection: str, rows: Sequence[Flat], labels: Labels) -> None:
    for row in rows:
        looked = lens.view_row(collection, row, labels)
        if looked is None:
            continue
        ident, state = looked
        view.rows[ident] = row
        if state is None:
            view.bags[ident] = view.bags.get(ident, 0) + 1
        else:
            view.cells.setdefault(ident, []).append(state)


def _only(states: list[State] | None) -> State | None:
    return states[-1] if states else None


def new_ids(lens: Lens, order: Sequence[int], changes: Mapping[int, Change]) -> dict[str, dict[tuple[Any, ...], tuple[int, Flat]]]:
    """Rows with ids that a store made up during the pass: collection -> ids -> (call that added it, the row as it came)."""
    found: dict[str, dict[tuple[Any, ...], tuple[int, Flat]]] = {}
    for call in order:
        for collection, (_, came) in changes[call].items():
            columns = sorted(lens.metas[collection].surrogate)
            for row in came if columns else ():
                ids = tuple(row.get(c) for c in columns)
                if any(lens.is_new(collection, c, v) for c, v in zip(columns, ids, strict=True)):
                    first = found.setdefault(collection, {}).get(ids)
                    found[collection][ids] = (first[0] if first else call, row)
    return found


# --- whose effect is it? ----------------------------------------------------------------------------------------------


def settle_ownership(lens: Lens, effects: Effects, tasks: Mapping[int, str], arguments: Mapping[int, frozenset[Any]]) -> None:
    """An effect that not every call of the task has may be the first comer's (INSERT OR IGNORE of a shared row).

    It is the call's own only if it names an argument that no other call has.
    """
    shapes: dict[int, Counter[Any]] = {call: Counter(_shape(i, t) for i, t in mine.items()) for call, mine in effects.by_call.items()}
    usual: dict[str, Counter[Any]] = {}
    for call, shape in shapes.items():
        usual[tasks[call]] = usual[tasks[call]] & shape if tasks[call] in usual else Counter(shape)
    owners = owners_of(arguments)
    for call, mine in effects.by_call.items():
        for ident, touch in mine.items():
            shape_of = _shape(ident, touch)
            regular = usual[tasks[call]][shape_of] == shapes[call][shape_of]
            effects.own[call, ident] = regular or call in named_by(lens.telling(ident, effects.rows.get(ident, {})), owners)


def _shape(ident: Ident, touch: Touch) -> tuple[Any, ...]:
    if ident[2] == "bag":
        return ident[0], ident[1], touch.count
    return ident[0], ident[1], touch.old is None, touch.new is None, frozenset(p for p, _, _ in touch.leaves())


def owners_of(arguments: Mapping[int, frozenset[Any]]) -> dict[Any, int]:
    """Argument -> the only call that has it."""
    counted: Counter[Any] = Counter(a for mine in arguments.values() for a in mine)
    return {a: call for call, mine in arguments.items() for a in mine if counted[a] == 1}


def named_by(row: Flat, owners: Mapping[Any, int]) -> set[int]:
    """Calls whose own arguments the row holds, as a leaf or as a word of one."""
    found = set()
    for leaf in row.values():
        if leaf in owners:
            found.add(owners[leaf])
        elif isinstance(leaf, str):
            for word in _words(leaf):
                if word in owners:
                    found.add(owners[word])
                elif word.isdecimal() and len(word) < 19 and int(word) in owners:
                    found.add(owners[int(word)])
    return found


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text[:2000]).split()


def arguments_of(text: str) -> frozenset[Any]:
    """Scalars in a call's arguments that can identify it: numbers and words. Cut arguments tell nothing."""
    try:
        value = json.loads(text)
    except ValueError:
        return frozenset()
    found: set[Any] = set()

    def walk(v: Any) -> None:
        if isinstance(v, Mapping):
            for inner in v.values():
                walk(inner)
        elif isinstance(v, list):
            for inner in v:
                walk(inner)
        elif isinstance(v, (str, int)) and not isinstance(v, bool) and v != "":
            found.add(v)

    walk(value)
    return frozenset(found)
