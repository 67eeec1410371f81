"""Worlds as flat rows: nested values by leaf path, ignored leaves left out, shared lists taken apart; and what changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from harness.model.world import Collection, Row, World

__all__ = ["FIELD", "ITEM", "Change", "Flat", "Meta", "Reader", "changes", "expires", "raw_changes"]

#: One row: leaf path -> scalar.
Flat = dict[str, Any]
_Parts = list[Any] | dict[str, Any]
#: Collection -> (rows that went, rows that came).
Change = dict[str, tuple[list[Flat], list[Flat]]]
_RawChange = dict[str, tuple[list[Row], list[Row]]]

#: Suffix of the collection that holds the elements of a shared list, and the leaf that holds each of them.
ITEM = "[]"
#: The same for the fields of a shared mapping; there it is also the key.
FIELD = "{}"
_NO_ROWS: tuple[Row, ...] = ()
_EXPIRY = re.compile(r"(?:^|[._])(?:p?ttl|expir(?:y|es|e|ation)(?:_at|_in)?|lease_until|locked_until|valid_until)$")
_NO_EXPIRY = (None, -1, -2, "", 0, ("bool", False))


@dataclass(frozen=True, slots=True)
class Meta:
    """What the store says about a collection, with references resolved to full names."""

    name: str
    key: tuple[str, ...]
    surrogate: frozenset[str]
    references: Mapping[str, tuple[str, str]]


@dataclass
class Reader:
    """Selects and flattens. ``shared``: (collection, column) of lists and texts that several calls add to."""

    observe: frozenset[str] = frozenset()
    ignore: tuple[str, ...] = ()
    shared: set[tuple[str, str]] = field(default_factory=set)
    fleeting: set[str] = field(default_factory=set)  # collections whose expiring rows went by themselves in a clean pass: left out
    metas: dict[str, Meta] = field(default_factory=dict)
    _ignored: dict[tuple[str, str], bool] = field(default_factory=dict)

    def learn_metas(self, worlds: Iterable[World]) -> None:
        """Collect keys, surrogates and references of all collections in these worlds."""
        found: dict[str, Collection] = {}
        for world in worlds:
            found.update(self.collections(world))
        for name, collection in found.items():
            references = {c: self._target(name, t, found) for c, t in collection.references.items() if not self.ignores(name, c)}
            key = collection.key if not any(self.ignores(name, c) for c in collection.key) else ()
            surrogate = frozenset(c for c in collection.surrogate if c not in references)
            self.metas[name] = Meta(name, key, surrogate, references)

    @staticmethod
    def _target(name: str, target: str, found: Mapping[str, Collection]) -> tuple[str, str]:
        collection, _, column = target.rpartition(".")
        if collection in found:
            return collection, column
        return f"{name.partition('.')[0]}.{collection}", column

    def collections(self, world: World) -> dict[str, Collection]:
        """The observed collections that are not ignored as a whole."""
        return {
            name: col
            for name, col in world.collections().items()
            if (not self.observe or name.partition(".")[0] in self.observe) and not any(fnmatchcase(name, p) for p in self.ignore)
        }

    def ignores(self, collection: str, path: str) -> bool:
        """Is this leaf left out, by its own name or a parent's?"""
        known = self._ignored.get((collection, path))
        if known is None:
            short = collection.partition(".")[2]
            parents = [path] + [path[:i] for i, c in enumerate(path) if c == "."]
            names = [f"{c}.{p}" for c in (collection, short) for p in parents]
            known = any(fnmatchcase(n, p) for n in names for p in self.ignore)
            self._ignored[collection, path] = known
        return known

    def split(self, collection: str, row: Row) -> Iterator[tuple[str, Flat]]:
        """The flat row, and one more for each element of its shared lists and mappings."""
        flat: Flat = {}
        if collection in self.fleeting and expires(row):
            return
        skip = _told_by_text(row)
        for column, raw in row.items():
            if column in skip:
                continue
            if (collection, column) in self.shared and (parts := parts_of(raw)) is not None:
                yield from self._parts(collection, column, row, parts)
            else:
                self._flatten(collection, column, parsed(raw), flat)
        if flat or not row:  # with every column ignored nothing is left, not even their number
            yield collection, flat

    def _parts(self, collection: str, column: str, row: Row, parts: _Parts) -> Iterator[tuple[str, Flat]]:
        owner = {c: row.get(c) for c in self.metas[collection].key if c != column}
        suffix = FIELD if isinstance(parts, dict) else ITEM
        name = f"{collection}.{column}{suffix}"
        for field_name, value in parts.items() if isinstance(parts, dict) else ((None, v) for v in parts):
            item: Flat = dict(owner)
            if field_name is not None:
                item[FIELD] = field_name
            self._flatten(name, ITEM, parsed(value), item)
            yield name, item

    def _flatten(self, collection: str, path: str, value: Any, into: Flat) -> None:
        if self.ignores(collection, path):
            return
        if isinstance(value, Mapping) and value:
            for k, v in value.items():
                self._flatten(collection, f"{path}.{k}", parsed(v), into)
        elif isinstance(value, (list, tuple)) and value:
            for i, v in enumerate(value):
                self._flatten(collection, f"{path}.{i}", parsed(v), into)
        else:
            into[path] = scalar(value)

    def flat(self, world: World) -> dict[str, list[Flat]]:
        """All observed rows by collection."""
        out: dict[str, list[Flat]] = {}
        for name, collection in self.collections(world).items():
            out.setdefault(name, [])
            for row in collection.rows:
                for part, flat in self.split(name, row):
                    out.setdefault(part, []).append(flat)
        return out

    def share(self, collection: str, column: str) -> None:
        """From now on this column's lists are taken apart."""
        self.shared.add((collection, column))
        owner = self.metas[collection]
        references = dict(owner.references) | {key: (collection, key) for key in owner.key if key in owner.surrogate}
        name = f"{collection}.{column}"
        self.metas[name + ITEM] = Meta(name + ITEM, (), frozenset(), references)
        self.metas[name + FIELD] = Meta(name + FIELD, (*owner.key, FIELD), frozenset(), references)


def expires(row: Mapping[str, Any]) -> bool:
    """Does the row say that it goes by itself: a key with a time to live, a lease?"""
    return any(v not in _NO_EXPIRY and v is not False and _EXPIRY.search(p) for p, v in row.items())


def scalar(value: Any) -> Any:
    """A value that compares by meaning: True is not 1, NaN equals itself, floats to 12 digits."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float):
        return ("nan",) if value != value else float(f"{value:.12g}")
    if isinstance(value, int):
        return value
    return ("empty", type(value).__name__) if isinstance(value, (list, tuple, dict)) else str(value)


def parsed(value: Any) -> Any:
    """A text that is a JSON object or list counts as what it says."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def parts_of(value: Any) -> _Parts | None:
    """The elements of a list, the fields of a mapping (or of pairs such as a sorted set's), the lines of a text; else None."""
    value = parsed(value)
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(v, (list, tuple)) and len(v) == 2 and isinstance(v[0], str) for v in value):
            pairs = {v[0]: v[1] for v in value}
            return pairs if len(pairs) == len(value) else list(value)
        return list(value)
    if isinstance(value, str) and ("\n" in value or not value):
        return value.splitlines()
    return None


def _without_told(row: Row) -> Row:
    told = _told_by_text(row)
    return {c: v for c, v in row.items() if c not in told} if told else row


def _told_by_text(row: Row) -> tuple[str, ...]:
    """A file's size and digest say nothing that its whole text doesn't."""
    text = row.get("text")
    whole = isinstance(text, str) and row.get("size") == len(text.encode(errors="surrogatepass"))
    return ("size", "sha256") if whole and "sha256" in row else ()


def raw_changes(reader: Reader, before: World, after: World) -> _RawChange:
    """Rows that went and came between two worlds, per collection that changed at all."""
    if before is after:
        return {}
    old, new = reader.collections(before), reader.collections(after)
    found: _RawChange = {}
    for name in {**old, **new}:
        a = old[name].rows if name in old else _NO_ROWS
        b = new[name].rows if name in new else _NO_ROWS
        if a is not b:
            went, came = _difference(a, b)
            if went or came:
                found[name] = (went, came)
    return found


def changes(reader: Reader, raw: _RawChange) -> Change:
    """The same as flat rows; elements of shared lists that stayed are not mentioned."""
    found: Change = {}
    for name, (went, came) in raw.items():
        old, new = _trim_shared(reader, name, went, came)
        for rows, side in ((old, 0), (new, 1)):
            for row in rows:
                for part, flat in reader.split(name, row):
                    found.setdefault(part, ([], []))[side].append(flat)
    for part, (old_flat, new_flat) in list(found.items()):
        found[part] = _cancel(old_flat, new_flat, lambda r: frozenset(r.items()))
    return {name: sides for name, sides in found.items() if sides[0] or sides[1]}


def _trim_shared(reader: Reader, name: str, went: Sequence[Row], came: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    columns = [c for n, c in reader.shared if n == name]
    if not columns:
        return went, came
    key = reader.metas[name].key
    partners = {tuple(r.get(k) for k in key): i for i, r in enumerate(came)}
    old, new = [_without_told(r) for r in went], [_without_told(r) for r in came]
    for i, row in enumerate(went):
        j = partners.get(tuple(row.get(k) for k in key))
        if j is None:
            continue
        for column in columns:
            was, now = parts_of(old[i].get(column)), parts_of(new[j].get(column))
            if isinstance(was, list) and isinstance(now, list):
                head = _common(was, now)
                tail = _common(was[head:][::-1], now[head:][::-1])
                old[i] = {**old[i], column: was[head : len(was) - tail]}
                new[j] = {**new[j], column: now[head : len(now) - tail]}
    return old, new


def _common(a: Sequence[Any], b: Sequence[Any]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _difference(a: Sequence[Row], b: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Walks both in step, which costs one comparison per row where a store keeps its order, then cancels what moved."""
    went: list[Row] = []
    came: list[Row] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] is b[j] or a[i] == b[j]:
            i += 1
            j += 1
        elif j + 1 < len(b) and a[i] == b[j + 1]:
            came.append(b[j])
            j += 1
        elif i + 1 < len(a) and a[i + 1] == b[j]:
            went.append(a[i])
            i += 1
        else:
            went.append(a[i])
            came.append(b[j])
            i += 1
            j += 1
    went.extend(a[i:])
    came.extend(b[j:])
    return _cancel(went, came, lambda r: json.dumps(r, sort_keys=True, default=repr))


def _cancel(went: list[Any], came: list[Any], identity: Callable[[Any], Any]) -> tuple[list[Any], list[Any]]:
    if not went or not came:
        return went, came
    spare = Counter(identity(r) for r in came)
    left = []
    for row in went:
        name = identity(row)
        if spare[name]:
            spare[name] -= 1
        else:
            left.append(row)
    kept = []
    for row in reversed(came):
        name = identity(row)
        if spare[name]:
            spare[name] -= 1
            kept.append(row)
    return left, kept[::-1]
