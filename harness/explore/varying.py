"""What varies by itself from one execution to the next, learnt from executions that should have been equal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from harness.explore.leaves import Path, kind_of, leaves
from harness.model.world import Collection, Row

__all__ = ["TOKEN", "Collections", "Habit", "Varying", "telling", "tokens"]

#: By 'store.collection'.
Collections = Mapping[str, Collection]
#: (collection, kind of row, path)
_Place = tuple[str, str, Path]

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|\d{10,19}\.\d+"
_TEMPORARY = r"tmp[a-z0-9_]{8}(?![A-Za-z0-9_])"  # names as Python's tempfile makes them: an underscore in one is no separator
#: Of a file: its content may vary without its size, or with it.
_SIZE, _DIGEST = ("size",), ("sha256",)
#: The smallest parts of a text that vary as one.
TOKEN = re.compile(f"({_UUID}|{_TIME}|{_TEMPORARY}|[A-Za-z0-9]+)")
_IS_UUID, _IS_TIME = re.compile(_UUID), re.compile(_TIME)
#: Fewer characters may be equal by accident: that two such are the same says nothing.
_TELLING = 8
_UUID_LENGTH = 36
#: Bytes by which files that vary inside may differ in their size although they did not when they were seen.
_LEEWAY = 8
_LONG = 4096


def tokens(text: str) -> list[str]:
    """What lies between tokens and the tokens, in turn: separators at even places."""
    return TOKEN.split(text)


def telling(token: str) -> bool:
    """Is it long enough that nobody makes it twice by accident, and no time of day?"""
    return len(token) >= _TELLING and not _IS_TIME.fullmatch(token)


@dataclass
class Habit:
    """How the values at one place vary. ``constant``: token place -> the token that is there each time.

    ``shape``: the separators, where they are always the same. ``only_uuids``: known without having been learnt.
    """

    shape: tuple[str, ...] | None = None
    constant: dict[int, str] = field(default_factory=dict)
    samples: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)  # from … to, of what should have been equal
    only_uuids: bool = False

    def add(self, value: Any) -> None:
        """One more value that was seen here."""
        if not isinstance(value, str):
            return
        parts = tokens(value)
        shape = tuple(parts[::2])
        if self.samples == 0:
            self.shape, self.constant = shape, dict(enumerate(parts[1::2]))
        elif shape != self.shape:
            self.shape, self.constant = None, {}
        else:
            self.constant = {n: token for n, token in enumerate(parts[1::2]) if self.constant.get(n) == token}
        self.samples += 1

    def add_sizes(self, one: int, other: int) -> None:
        """Of two contents, or texts, that should have been equal."""
        low, high = min(one, other), max(one, other)
        for n, (least, most) in enumerate(self.sizes):
            if least - _leeway(least, most) <= low and high <= most + _leeway(least, most):
                self.sizes[n] = (min(least, low), max(most, high))
                return
        self.sizes.append((low, high))

    def about(self, size: int) -> int | str:
        """The same for sizes that do not differ more than those that were seen: half of a file is another than all of it."""
        for n, (least, most) in enumerate(self.sizes):
            if least - _leeway(least, most) <= size <= most + _leeway(least, most):
                return f"#{n}"
        return size

    @property
    def shapeless(self) -> bool:
        """Do texts here differ in more than their words, or are they so long that where a crash cuts them off is a matter of luck?"""
        long = any(most > _LONG for _, most in self.sizes)
        return self.samples > 0 and (self.shape is None or long) and not self.only_uuids

    def free(self, parts: Sequence[str]) -> Iterator[int]:
        """Which tokens of a text (as `tokens` gives it) vary, by their places from 0."""
        other_shape = not self.only_uuids and (self.shape is None or tuple(parts[::2]) != self.shape)
        for place, token in enumerate(parts[1::2]):
            if self.only_uuids:
                if _IS_UUID.fullmatch(token):
                    yield place
            elif other_shape or self.constant.get(place) != token:
                yield place


def _leeway(least: int, most: int) -> int:
    return max(_LEEWAY, 4 * (most - least))


class Varying:
    """``known``: tokens that the first world holds; they are never taken for random ones, wherever they turn up.

    Ids of messages are others each time that a call is published: wherever a task writes its own, it is one of these.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._ids: set[str] = set()
        self._habits: dict[_Place, Habit] = {}
        self._keys: dict[str, set[Any]] = defaultdict(set)  # collection -> keys of rows that were there each time
        self._names: dict[str, set[tuple[str, str]]] = defaultdict(set)  # collection -> (before, after) of keys that vary within

    def name_id(self, text: str) -> None:
        """A message has this id."""
        if _IS_UUID.fullmatch(text):
            self._ids.add(text)

    def ids_in(self, text: str) -> list[str]:
        """Those of messages that stand in a text."""
        if not self._ids or len(text) < _UUID_LENGTH or "-" not in text:
            return []
        return [found for found in _IS_UUID.findall(text) if found in self._ids]

    def _place(self, path: Path) -> Path:
        """With one name for all ids of messages: what a task keeps under its own id is what the next one keeps under that."""
        if not self._ids or not any(isinstance(part, str) and len(part) >= _UUID_LENGTH for part in path):
            return path
        return tuple(_IS_UUID.sub(self._hidden, part) if isinstance(part, str) else part for part in path)

    def _hidden(self, found: re.Match[str]) -> str:
        return "<id>" if found[0] in self._ids else found[0]

    def always(self, collection: str, path: Path) -> None:
        """UUIDs at this path vary, whatever kind of row."""
        self._habits[collection, "*", path] = Habit(only_uuids=True)

    def remember(self, collections: Collections) -> None:
        """The first world."""
        for collection in collections.values():
            for row in collection.rows:
                for _, value in leaves(row):
                    if isinstance(value, str):
                        self.known.update(tokens(value)[1::2])

    def habit(self, name: str, kind: str, path: Path) -> Habit | None:
        """None for a place whose values do not vary."""
        if not self._habits:
            return None
        place = self._place(path)
        return self._habits.get((name, kind, place)) or self._habits.get((name, "*", place))

    def kind(self, name: str, collection: Collection, row: Row) -> str:
        """As `kind_of`, but for keys that vary without having the look of it."""
        key = row.get(collection.key[0]) if len(collection.key) == 1 else None
        if isinstance(key, str) and key not in self._keys[name]:
            for before, after in sorted(self._names[name]):
                if len(key) > len(before) + len(after) and key.startswith(before) and key.endswith(after):
                    return f"{before}*{after}"
        return kind_of(collection, row)

    def learn(self, samples: Sequence[Collections]) -> None:
        """From worlds that should be equal."""
        for name in sorted(set.intersection(*(set(sample) for sample in samples))):
            for first, second in combinations([sample[name] for sample in samples], 2):
                self._learn(name, first, second)

    def _learn(self, name: str, first: Collection, second: Collection) -> None:
        ours, theirs = list(first.rows), list(second.rows)
        if len(first.key) == 1:
            self._keys[name] |= _keys(first) & _keys(second)
        for row in list(ours):
            if row in theirs:
                ours.remove(row)
                theirs.remove(row)
        pairs = list(_pairs(first, ours, theirs))
        for one, other in pairs:
            self._compare(name, first, one, other)

    def _compare(self, name: str, collection: Collection, one: Row, other: Row) -> None:
        left, right = dict(leaves(one)), dict(leaves(other))
        if left.keys() != right.keys():
            return
        if len(collection.key) == 1 and kind_of(collection, one) != kind_of(collection, other):
            self._names[name].add(_around(str(one[collection.key[0]]), str(other[collection.key[0]])))
        kind = self.kind(name, collection, one)
        made_up = {*collection.surrogate, *collection.references}
        for path, value in left.items():
            if value == right[path] or value is None or right[path] is None or path[0] in made_up:
                continue
            habit = self._habits.setdefault((name, kind, self._place(path)), Habit())
            habit.add(value)
            habit.add(right[path])
            if isinstance(value, str) and isinstance(right[path], str):
                habit.add_sizes(len(value), len(right[path]))
        if left.get(_DIGEST) != right.get(_DIGEST) and isinstance(left.get(_SIZE), int):
            self._habits.setdefault((name, kind, _SIZE), Habit()).add_sizes(left[_SIZE], right[_SIZE])


def _keys(collection: Collection) -> set[Any]:
    return {row.get(collection.key[0]) for row in collection.rows}


def _around(one: str, other: str) -> tuple[str, str]:
    """What two keys have in common at both ends, up to the last separator."""
    before = 0
    while before < min(len(one), len(other)) and one[before] == other[before]:
        before += 1
    after = 0
    while after < min(len(one), len(other)) - before and one[-1 - after] == other[-1 - after]:
        after += 1
    head = re.match(r".*[^A-Za-z0-9]|", one[:before], re.DOTALL)
    tail = re.search(r"[^A-Za-z0-9].*$|$", one[len(one) - after :] if after else "", re.DOTALL)
    assert head is not None and tail is not None
    return head[0], tail[0]


def _pairs(collection: Collection, ours: list[Row], theirs: list[Row]) -> Iterator[tuple[Row, Row]]:
    """The same row in two worlds: by its key where the app chose it, else by which are most alike. Kind by kind."""
    natural = collection.key if not set(collection.key) & set(collection.surrogate) else ()
    if natural:
        by_key = {repr([row.get(c) for c in natural]): row for row in theirs}
        for row in list(ours):
            if (same := by_key.get(repr([row.get(c) for c in natural]))) is not None:
                ours.remove(row)
                theirs.remove(same)
                yield row, same
    for alike in (True, False):
        candidates = sorted(
            (_distance(one, other), n, m)
            for n, one in enumerate(ours)
            for m, other in enumerate(theirs)
            if not alike or kind_of(collection, one) == kind_of(collection, other)
        )
        used: tuple[set[int], set[int]] = (set(), set())
        for _, n, m in candidates:
            if n not in used[0] and m not in used[1]:
                used[0].add(n)
                used[1].add(m)
                yield ours[n], theirs[m]
        ours[:] = [row for n, row in enumerate(ours) if n not in used[0]]
        theirs[:] = [row for m, row in enumerate(theirs) if m not in used[1]]


def _distance(one: Row, other: Row) -> int:
    left, right = dict(leaves(one)), dict(leaves(other))
    return sum(1 for path in left.keys() | right.keys() if left.get(path, ...) != right.get(path, ...))
