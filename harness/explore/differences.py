"""Between two worlds that should be equal: which rows, for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.explore.canonical import Atom, Frozen, canonical
from harness.explore.freezing import Change, Freezer, changes
from harness.explore.varying import Collections, Varying
from harness.model.world import Collection, Row

__all__ = ["brief", "differences", "shares"]

_MOST = 8
_LONGEST = 80
#: Characters before the first one that differs, where a long text is cut.
_BEFORE = 20
_SHARES = "shares a value with "
_WORLDS = ("before", "after", "expected")
_Given = Mapping[tuple[str, str], set[Any]]
_Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Side:
    """One world's changes since the first one, frozen."""

    listed: Sequence[Change]
    frozen: Sequence[Frozen]

    def counts(self) -> Counter[str]:
        return Counter(row.text for row in self.frozen)

    def by_text(self) -> dict[str, Change]:
        return {row.text: change for change, row in zip(self.listed, self.frozen, strict=True)}


def differences(
    varying: Varying,
    given: _Given,
    base: Collections,
    expected: Collections,
    found: Collections,
    before: Collections,
    *,
    times: Sequence[float] = (),
) -> tuple[_Entry, ...]:
    """`collection`, `row` and what was there `before`, is `after`, and was `expected`.

    A row that is found again by its key: its columns that differ, None where it is not there. Any other: how often there is one like
    it. Nothing where the worlds are the same up to what varies by itself and the numbers that stores give. All of them, with whole
    values: `brief` is for people. ``times``: what the task's clock showed in ``base``, in ``expected`` and in ``found``.
    """
    spans = [(times[0], at) for at in times[1:]] if times else [None, None]
    right, wrong = (_side(varying, given, base, world, span) for world, span in zip((expected, found), spans, strict=True))
    if canonical(right.frozen) == canonical(wrong.frozen):
        return ()
    more, fewer = wrong.counts() - right.counts(), right.counts() - wrong.counts()
    if not more and not fewer:
        return tuple(_same_rows(wrong, right))
    known = {**right.by_text(), **wrong.by_text()}
    entries: dict[str, _Entry] = {}
    bags = []
    for text in sorted({*more, *fewer}):
        change = known[text]
        key = _key(change, given)
        if key is None:
            bags.append(text)
        else:
            worlds = [_by_key(world.get(change.name), key) for world in (before, found, expected)]
            if worlds[1] == worlds[2]:  # a damaged table has it twice
                bags.append(text)
                continue
            entries.setdefault(repr((change.name, key)), _keyed(change.name, key, *worlds))
    was = _side(varying, given, base, before).counts()
    return (*entries.values(), *_bag_entries(bags, known, was, wrong, right))


def brief(listed: Sequence[Mapping[str, Any]]) -> tuple[_Entry, ...]:
    """Few enough, and each small enough, for people: of long values that differ, what is around the place where they do."""
    return tuple(_brief_entry(one) for one in listed[:_MOST])


def shares(difference: Mapping[str, Any]) -> bool:
    """Is it of rows that are alike one by one, and that differ in which of them have a value in common?"""
    return str(difference.get("after")).startswith(_SHARES)


def _side(varying: Varying, given: _Given, base: Collections, world: Collections, span: tuple[float, float] | None = None) -> _Side:
    listed = changes(base, world)
    return _Side(listed, Freezer(varying, given, span=span).freeze(listed))


# --- rows that are found again --------------------------------------------------------------------------------------


def _key(change: Change, given: _Given) -> dict[str, Any] | None:
    """What the row is known by in every world; None for a row without a key, or whose key the store made up during the run."""
    collection = change.collection
    if not collection.key or any(column not in change.row for column in collection.key):
        return None
    key = {column: change.row[column] for column in collection.key}
    made_up = [column for column in key if column in collection.surrogate]
    return key if all(key[column] in given.get((change.name, column), ()) for column in made_up) else None


def _by_key(collection: Collection | None, key: Mapping[str, Any]) -> Row | None:
    rows = collection.rows if collection else ()
    return next((row for row in rows if all(row.get(column) == value for column, value in key.items())), None)


def _keyed(name: str, key: Mapping[str, Any], before: Row | None, after: Row | None, expected: Row | None) -> _Entry:
    others = [row for row in (after, expected) if row is not None]
    columns = [column for column in others[0] if column not in key] if others else []
    if after is not None and expected is not None:
        columns = [column for column in columns if after.get(column) != expected.get(column)]
    elif len(columns) > 1:
        columns = [column for column in columns if others[0].get(column) not in (None, "")]
    shown = [None if row is None else {column: row.get(column) for column in columns} for row in (before, after, expected)]
    return {"collection": name, "row": dict(key), "before": shown[0], "after": shown[1], "expected": shown[2]}


# --- rows that are counted ------------------------------------------------------------------------------------------


def _bag_entries(texts: Sequence[str], known: Mapping[str, Change], was: Counter[str], wrong: _Side, right: _Side) -> list[_Entry]:
    after, expected = wrong.counts(), right.counts()
    listed = []
    for text in texts:
        change = known[text]
        counts = was[text], after[text], expected[text]
        if change.sign == "-":  # rows of the first world: so many are gone
            there = max(counts)
            counts = there - counts[0], there - counts[1], there - counts[2]
        entry = {"collection": change.name, "row": _telling(change), "before": counts[0], "after": counts[1], "expected": counts[2]}
        listed.append(entry)
    return listed


def _telling(change: Change) -> dict[str, Any]:
    """The row without numbers that the store made up, and without what is empty."""
    made_up = {*change.collection.surrogate, *change.collection.references}
    row = {column: value for column, value in change.row.items() if column not in made_up and value not in (None, "", {}, [])}
    return row or dict(change.row)


def _same_rows(wrong: _Side, right: _Side) -> list[_Entry]:
    """The rows are alike one by one: which of them have a value in common is what differs."""
    after, expected = _shared(wrong), _shared(right)
    known = wrong.by_text()
    listed: list[_Entry] = []
    for text in sorted(text for text in after if after[text] != expected[text]):
        change = known[text]
        shown = [f"{_SHARES}{'; '.join(links[text])}" for links in (after, expected)]
        listed.append({"collection": change.name, "row": _telling(change), "before": None, "after": shown[0], "expected": shown[1]})
    if not listed:
        names = ", ".join(sorted({change.name for change in wrong.listed}))
        told = ("other rows have values in common", "as after one clean execution")
        listed.append({"collection": names, "row": {}, "before": None, "after": told[0], "expected": told[1]})
    return listed


def _shared(side: _Side) -> dict[str, list[str]]:
    """For the rows of each text: with how many rows of which collections each of them has an atom in common."""
    holders: dict[Atom, set[int]] = defaultdict(set)
    for place, row in enumerate(side.frozen):
        for atom in row.atoms:
            holders[atom].add(place)
    links: dict[str, list[str]] = defaultdict(list)
    for place, row in enumerate(side.frozen):
        others = set().union(*(holders[atom] for atom in row.atoms)) - {place}
        counts = Counter(side.listed[other].name for other in others)
        links[row.text].append(", ".join(f"{count} of {name}" for name, count in sorted(counts.items())) or "none")
    return {text: sorted(told) for text, told in links.items()}


# --- for people -----------------------------------------------------------------------------------------------------


def _brief_entry(entry: Mapping[str, Any]) -> _Entry:
    worlds = [entry[name] for name in _WORLDS]
    columns = {column for world in worlds if isinstance(world, dict) for column in world}
    starts = {column: _start([world.get(column) for world in worlds if isinstance(world, dict)]) for column in columns}
    row = entry["row"]
    told = {**entry, "row": {column: _brief(value) for column, value in row.items()} if isinstance(row, dict) else row}
    for name, world in zip(_WORLDS, worlds, strict=True):
        if isinstance(world, dict):
            told[name] = {column: _brief(value, starts[column]) for column, value in world.items()}
    return told


def _start(values: Sequence[Any]) -> int:
    """Where a line of each begins in which they are not the same."""
    texts = {_text(value) for value in values if isinstance(value, (str, list, dict))}
    cut = {text[: _LONGEST - 1] for text in texts}
    if len(cut) == len(texts):
        return 0
    same = next((n for n, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), min(map(len, texts)))
    return max(0, same - _BEFORE)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _brief(value: Any, start: int = 0) -> Any:
    """Small enough for a line."""
    if not isinstance(value, (str, list, dict)):
        return value
    text = _text(value)
    if len(text) <= _LONGEST:
        return value
    start = start if start < len(text) else max(0, len(text) - _BEFORE)
    rest = ("…" if start else "") + text[start:]
    return rest if len(rest) <= _LONGEST else rest[: _LONGEST - 1] + "…"
