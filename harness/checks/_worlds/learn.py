"""What varies by itself: found by holding the two clean passes, which differ in order, concurrency and clock, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from harness.checks._worlds.lens import DANGLING, Kind, KindLens, Labels, Lens
from harness.checks._worlds.read import Flat
from harness.model.masks import DIGITS, DROP, FORMATS, RAW, TYPE, masked, template, token

__all__ = ["Passes", "learn"]

_World = Mapping[str, Sequence[Flat]]
_Columns = dict[str, list[Any]]
_MISSING = ("missing",)
_MOST_PAIRS = 24
_MOST_KINDS = 8


@dataclass
class Passes:
    """The final worlds of both clean passes, flat, and what the first one's calls tell."""

    first: _World
    second: _World
    fixed: dict[tuple[str, str], set[Any]]
    mutable: dict[str, set[str]]
    names_own_id: Callable[[str, str], bool]  # (collection, column): does every call bring the ids of the rows that it adds?
    #: Numbers in other values are ids of rows where the passes tell so. Here: collections in which they are ids wherever
    #: they can be; None: nowhere are they ids.
    eager: frozenset[str] | None = frozenset()
    first_labels: Labels = field(default_factory=dict)
    second_labels: Labels = field(default_factory=dict)


def learn(lens: Lens, passes: Passes) -> None:
    """Fill the lens, collection by collection, those that are pointed to first."""
    lens.fixed, lens.mutable = passes.fixed, passes.mutable
    for collection in order_of(lens):
        _learn_collection(lens, collection, passes)
        for column in [c for c in lens.surrogates(collection) if c in lens.metas[collection].key]:
            if _is_natural(lens, collection, column, passes):
                lens.natural.add((collection, column))
                _learn_collection(lens, collection, passes)
        _colour(lens, collection, passes)
    # Now that all ids are known: what seemed to vary may be the id of a row of a collection that was learnt later.
    for collection in order_of(lens):
        if collection in (passes.eager or ()) or any(one.levels for (name, _), one in lens.kinds.items() if name == collection):
            _learn_collection(lens, collection, passes)
    passes.first_labels.clear()
    passes.second_labels.clear()
    for collection in order_of(lens):
        _colour(lens, collection, passes)
        both = (passes.first_labels, passes.second_labels)
        if lens.mutable.get(collection) and lens.surrogates(collection) and all(_unique(lens, collection, labels) for labels in both):
            lens.coloured.add(collection)


def _colour(lens: Lens, collection: str, passes: Passes) -> None:
    for world, labels in ((passes.first, passes.first_labels), (passes.second, passes.second_labels)):
        lens.colours(collection, world.get(collection, ()), labels)


def order_of(lens: Lens) -> list[str]:
    """Collections, targets of references before those that point to them; rings are broken anywhere."""
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done or name in path or name not in lens.metas:
            return
        leaks = [target for (owner, _), one in lens.kinds.items() if owner == name for target in one.leaked.values()]
        for target, _ in [*lens.metas[name].references.values(), *leaks]:
            visit(target, (*path, name))
        done[name] = None

    for name in sorted(lens.metas, key=lambda n: (not lens.metas[n].surrogate, n)):
        visit(name, ())
    return list(done)


def _unique(lens: Lens, collection: str, labels: Labels) -> bool:
    named = [labels.get((collection, c), {}) for c in lens.surrogates(collection)]
    return all(len(set(ids.values())) == len(ids) for ids in named)


def _is_natural(lens: Lens, collection: str, column: str, passes: Passes) -> bool:
    """The 'made-up' id follows from the arguments: same rows, same ids, though the order was another."""
    if not passes.names_own_id(collection, column):
        return False
    a, b = ([r for r in w.get(collection, ()) if lens.is_new(collection, column, r.get(column))] for w in (passes.first, passes.second))
    ids = sorted(v for r in a if isinstance(v := r.get(column), int))
    if ids != sorted(v for r in b if isinstance(v := r.get(column), int)) or len(ids) < 3:
        return False
    if ids != list(range(ids[0], ids[0] + len(ids))):
        return True
    in_step = [p for p in _paths(a, b, exclude=[column]) if all(_number_in(r.get(p)) == r.get(column) for r in (*a, *b))]
    sides = ((a, passes.first_labels), (b, passes.second_labels))
    first, second = ({_content(lens, collection, r, labels, in_step): r.get(column) for r in rows} for rows, labels in sides)
    return first == second and len(first) == len(a)


def _number_in(value: Any) -> int | None:
    found = token(value)
    return found[1] if found else None


def _content(lens: Lens, collection: str, row: Flat, labels: Labels, without: Sequence[str]) -> Any:
    hidden = {*lens.surrogates(collection), *without}
    kind = lens.lens_of(collection, lens.kind_of(collection, row))
    shown = {p: lens.leaf(collection, kind, p, v, labels) for p, v in row.items() if p not in hidden and kind.levels.get(p, RAW) < DROP}
    return tuple(sorted(shown.items()))


# --- one collection ---------------------------------------------------------------------------------------------------


def _learn_collection(lens: Lens, collection: str, passes: Passes) -> None:
    lens.merged.discard(collection)
    lens.discriminators[collection] = _discriminators(lens, collection, passes)
    kinds = _by_kind(lens, collection, passes)
    if any(len(a) != len(b) for a, b in kinds.values()) and any(k[0] == "key" for k in kinds):
        # Texts in keys vary freely: a template per key says nothing, so all rows are one kind.
        sizes = [sum(len(side[i]) for side in kinds.values()) for i in (0, 1)]
        if sizes[0] == sizes[1]:
            lens.merged.add(collection)
            kinds = _by_kind(lens, collection, passes)
    for kind, (a, b) in kinds.items():
        lens.kinds[collection, kind] = _learn_kind(lens, collection, kind, a, b, passes)


def _discriminators(lens: Lens, collection: str, passes: Passes) -> tuple[str, ...]:
    """Columns of few, recurring texts (method, path, topic), where rows have no key of their own that tells kinds apart."""
    a, b = ([r for r in w.get(collection, ()) if lens.kind_of(collection, r)[0] in ("bag", "new")] for w in (passes.first, passes.second))
    found = []
    for path in _paths(a, b, exclude=lens.metas[collection].references):
        if "." in path or not all(isinstance(r.get(path), str) for r in (*a, *b)):
            continue
        texts = Counter(template(r[path]) for r in a)
        if len(texts) <= _MOST_KINDS and min(texts.values(), default=0) > 1 and texts == Counter(template(r[path]) for r in b):
            found.append(path)
    return tuple(found)


def _by_kind(lens: Lens, collection: str, passes: Passes) -> dict[Kind, tuple[list[Flat], list[Flat]]]:
    kinds: dict[Kind, tuple[list[Flat], list[Flat]]] = {}
    for side, world in enumerate((passes.first, passes.second)):
        for row in world.get(collection, ()):
            kinds.setdefault(lens.kind_of(collection, row), ([], []))[side].append(row)
    return kinds


def _learn_kind(lens: Lens, collection: str, kind: Kind, a: list[Flat], b: list[Flat], passes: Passes) -> KindLens:
    if len(a) != len(b):
        return KindLens(uncounted=True)
    key = lens.metas[collection].key
    if kind[0] not in ("key", "fixed"):
        return _Solver(lens, collection, a, b, passes).solve(prefer=())
    cells = _learn_cells(lens, collection, key, a, b, passes)
    if cells is not None and (kind[0] == "fixed" or (not cells.whole and collection not in (passes.eager or ()))):
        return cells
    bag = _Solver(lens, collection, a, b, passes).solve(prefer=key)
    if cells is None or (bag.leaked and (len(bag.levels) < len(cells.levels) or not cells.whole)):
        return bag
    return bag if len(cells.whole) > 1 and len(bag.levels) + len(bag.leaked) < len(cells.levels) else cells


def _learn_cells(lens: Lens, collection: str, key: Sequence[str], a: list[Flat], b: list[Flat], passes: Passes) -> KindLens | None:
    """Leaf by leaf over rows with the same key; None where the keys themselves vary."""
    first = {tuple(r.get(c) for c in key): r for r in a}
    second = {tuple(r.get(c) for c in key): r for r in b}
    if first.keys() != second.keys() or len(first) != len(a):
        return None
    found = KindLens()
    made_up = lens.metas[collection].surrogate
    for path in _paths(a, b, exclude={*key, *made_up}):
        pairs = [
            (_read(lens, collection, r, path, passes.first_labels), _read(lens, collection, second[k], path, passes.second_labels))
            for k, r in first.items()
        ]
        level = next(n for n in (RAW, FORMATS, DIGITS, TYPE, DROP) if n == DROP or all(masked(x, n) == masked(y, n) for x, y in pairs))
        if level != RAW:
            found.levels[path] = level
            if len(pairs) > 1 and Counter(x for x, _ in pairs) == Counter(y for _, y in pairs):
                found.whole.add(path)
    return found


def _paths(a: Iterable[Flat], b: Iterable[Flat], exclude: Iterable[str]) -> list[str]:
    skip = set(exclude)
    paths: dict[str, None] = {}
    for rows in (a, b):
        for row in rows:
            paths.update(dict.fromkeys(row))
    return [p for p in paths if p not in skip]


def _read(lens: Lens, collection: str, row: Flat, path: str, labels: Labels) -> Any:
    if path not in row:
        return _MISSING
    return lens.leaf(collection, _PLAIN, path, row[path], labels)


_PLAIN = KindLens()


class _Solver:
    """Finds the least blurring under which two lists of rows hold the same rows."""

    def __init__(self, lens: Lens, collection: str, a: list[Flat], b: list[Flat], passes: Passes) -> None:
        self.lens, self.collection, self.passes = lens, collection, passes
        self.rows = (a, b)
        hidden = {c for c in lens.metas[collection].surrogate if (collection, c) not in lens.natural}
        self.paths = _paths(a, b, exclude=hidden)
        labels = (passes.first_labels, passes.second_labels)
        self.raw: tuple[_Columns, _Columns] = tuple(  # type: ignore[assignment]
            {p: [_read(lens, collection, r, p, labels[i]) for r in self.rows[i]] for p in self.paths} for i in (0, 1)
        )
        self.now: tuple[_Columns, _Columns] = (dict(self.raw[0]), dict(self.raw[1]))
        self.found = KindLens(by_key=False)

    def solve(self, prefer: Sequence[str]) -> KindLens:
        """Column by column first, then together."""
        if self.passes.eager and self.collection in self.passes.eager:
            for path in self.paths:
                self._leak(path)
        for path in self.paths:
            alike = path in self.found.leaked or Counter(self.raw[0][path]) == Counter(self.raw[1][path])
            if not alike and not self._leak(path):
                self._set(path, next(n for n in (FORMATS, DIGITS, TYPE, DROP) if n == DROP or self._same_column(path, n)))
        if not self._same() and not self._explain_by_ids() and not self._one(prefer) and not self._two():
            self._greedy()
        return self.found

    def _set(self, path: str, level: int, *, whole: bool = False) -> None:
        for i in (0, 1):
            self.now[i][path] = [masked(v, level) if level != DROP else None for v in self.raw[i][path]]
        if level == RAW:
            self.found.levels.pop(path, None)
        else:
            self.found.levels[path] = level
        if whole:
            self.found.whole.add(path)
        else:
            self.found.whole.discard(path)

    def _same_column(self, path: str, level: int) -> bool:
        return Counter(masked(v, level) for v in self.raw[0][path]) == Counter(masked(v, level) for v in self.raw[1][path])

    def _joint(self, side: int) -> Counter[Any]:
        return Counter(zip(*(self.now[side][p] for p in self.paths), strict=True)) if self.paths else Counter()

    def _same(self) -> bool:
        return self._joint(0) == self._joint(1)

    def _leak(self, path: str) -> bool:
        """The value holds the id of a row that the store made up: what counts is which row."""
        if self.passes.eager is None:
            return False
        for target in sorted((t for t, ids in self.passes.first_labels.items() if ids), key=lambda t: not self._speaks_of(path, t[0])):
            columns = [self._named(i, path, target) for i in (0, 1)]
            if columns[0] is not None and columns[1] is not None and Counter(columns[0]) == Counter(columns[1]):
                self.now[0][path], self.now[1][path] = columns[0], columns[1]
                self.found.leaked[path] = target
                return True
        return False

    def _speaks_of(self, path: str, collection: str) -> bool:
        """'payment-7' and body.payment mean payments, where several collections would do."""
        noun = collection.rpartition(".")[2].rstrip("s").lower()
        return noun in path.lower() or noun in str(self.raw[0][path][:1]).lower()

    def _named(self, side: int, path: str, target: tuple[str, str]) -> list[Any] | None:
        labels = (self.passes.first_labels, self.passes.second_labels)[side]
        named = []
        for value in self.raw[side][path]:
            found = token(value)
            label = self.lens.label(target, found[1], labels) if found else DANGLING
            if found is None or label == DANGLING:
                return None
            named.append((found[0], label, found[2]))
        return named or None

    def _explain_by_ids(self) -> bool:
        for path in [p for p in self.paths if p not in self.found.levels and p not in self.found.leaked]:
            kept = (self.now[0][path], self.now[1][path])
            if self._leak(path):
                if self._same():
                    return True
                self.now[0][path], self.now[1][path] = kept
                del self.found.leaked[path]
        return False

    def _candidates(self, prefer: Sequence[str]) -> list[str]:
        """Those that look like a number given in order come first."""
        free = [p for p in self.paths if p not in self.found.levels and p not in self.found.leaked]
        return sorted(free, key=lambda p: (p not in prefer, not self._sequence(p), p))

    def _sequence(self, path: str) -> bool:
        numbers = [found[1] for v in self.raw[0][path] if (found := token(v)) is not None]
        return len(numbers) == len(self.raw[0][path]) and len(set(numbers)) == len(numbers)

    def _one(self, prefer: Sequence[str]) -> bool:
        for level in (FORMATS, DIGITS, TYPE, DROP):
            for path in self._candidates(prefer):
                self._set(path, level, whole=True)
                if self._same():
                    return True
                self._set(path, RAW)
        return False

    def _two(self) -> bool:
        for pair in combinations(self._candidates(())[:_MOST_PAIRS], 2):
            for path in pair:
                self._set(path, DROP, whole=True)
            if self._same():
                self._sharpen(pair)
                return True
            for path in pair:
                self._set(path, RAW)
        return False

    def _greedy(self) -> None:
        dropped: list[str] = []
        while not self._same():
            left = [p for p in self.paths if self.found.levels.get(p, RAW) < DROP]
            best = max(left, key=self._matching_without)
            alike = Counter(self.raw[0][best]) == Counter(self.raw[1][best])
            self.found.leaked.pop(best, None)
            self._set(best, DROP, whole=alike)
            if alike:
                dropped.append(best)
        self._sharpen(dropped)

    def _matching_without(self, path: str) -> int:
        kept = (self.now[0][path], self.now[1][path])
        for i in (0, 1):
            self.now[i][path] = [None] * len(self.rows[i])
        matching = sum((self._joint(0) & self._joint(1)).values())
        self.now[0][path], self.now[1][path] = kept
        return matching

    def _sharpen(self, paths: Iterable[str]) -> None:
        for path in paths:
            for level in (RAW, FORMATS, DIGITS, TYPE):
                self._set(path, level, whole=level != RAW)
                if self._same():
                    break
            else:
                self._set(path, DROP, whole=True)
