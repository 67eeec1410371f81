"""Rows made comparable: what varies by itself becomes atoms or signs, and so do numbers that stores gave during the run.

Only what differs from the first world is frozen; rows that are as they were there count by their absence from the list.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.explore.canonical import Atom, Frozen
from harness.explore.deadlines import left_until, moments
from harness.explore.habits import Habit
from harness.explore.leaves import Path, inner, leaves
from harness.explore.reckoned import Reckoned, moment_of
from harness.explore.uneven import is_bytes, plain
from harness.explore.varying import Collections, Varying, says_what_it_is, telling
from harness.model.masks import number
from harness.model.world import Collection, Row

__all__ = ["Change", "Freezer", "changes"]

_MENTIONS = "(?:[-_ ]?(?:id|no|nr|number|pk|key))?[-_:/#= .]*"
#: How far ahead a store's numbers may come to meet one that stands somewhere else.
_AHEAD = 64
#: Characters of a text that may be one random token.
_TOKEN_LENGTHS = (8, 200)
_NUMBER = re.compile(r"(?<!\d)\d{1,18}(?!\d)")
#: As Python writes clocks and random numbers: how many digits it takes is a matter of luck.
_DECIMAL = re.compile(r"(\d{1,9})\.\d{3,}")
#: From here on it may be seconds that run on, of which few executions saw the same by chance.
_CHANGES_SLOWLY = 1000
#: What stands before an id's sign; and how a row's text shows that it has one.
_ID = "~id"
_WITH_ID = json.dumps(_ID)


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is there and was not in the first world (``sign`` +), or the other way round (-)."""

    sign: str
    name: str  # of the collection
    collection: Collection
    row: Row


def changes(base: Collections, found: Collections) -> list[Change]:
    """As multisets."""
    listed = []
    for name in sorted(base.keys() | found.keys()):
        before, after = base.get(name), found.get(name)
        gone, new = _unequal(before.rows if before else (), after.rows if after else ())
        listed += [Change("-", name, before or _empty(name), row) for row in gone]
        listed += [Change("+", name, after or _empty(name), row) for row in new]
    return listed


def _empty(name: str) -> Collection:
    return Collection(name, ())


def _unequal(before: Sequence[Row], after: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    if before is after or before == after:
        return [], []
    # Rows mostly stand where they stood: only the others are worth a text.
    same = min(len(before), len(after))
    places = [n for n in range(same) if before[n] is not after[n] and _written(before[n]) != _written(after[n])]
    old = [*(before[n] for n in places), *before[same:]]
    new = [*(after[n] for n in places), *after[same:]]
    spare = Counter(_written(row) for row in new)
    gone = []
    for row in old:
        if spare[_written(row)]:
            spare[_written(row)] -= 1
        else:
            gone.append(row)
    added = []
    for row in new:
        if spare[_written(row)]:
            spare[_written(row)] -= 1
            added.append(row)
    return gone, added


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


@dataclass
class Freezer:
    """``given``: (collection, column) -> numbers that the store had given in the first world. They are as they are.

    ``now``: the task's wall clock; None where times do not count (the comparison of ends), else a time that varies is past or ahead.
    ``span``: the task's wall clock in the first world and now, which says what times can have been written; None: nobody knows.
    ``ordered``: ids keep their order, which a task can see, so they are numbered by rank; else they are atoms.
    """

    varying: Varying
    given: Mapping[tuple[str, str], set[Any]]
    now: float | None = None
    ordered: bool = False
    span: tuple[float, float] | None = None
    _ids: dict[tuple[str, str], dict[Any, str]] = field(default_factory=dict)
    _names: list[tuple[re.Pattern[str], re.Pattern[str], tuple[str, str]]] = field(default_factory=list)
    _carried: dict[str, int] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)  # numbers that stand where nobody says that an id is meant

    def freeze(self, listed: Sequence[Change]) -> list[Frozen]:
        """One for each."""
        self._find_ids(listed)
        self._find_carried(listed)
        frozen = [self._row(change) for change in listed]
        if self.ordered and self._shows_ranks(listed):
            frozen = [self._row(change) if _WITH_ID in row.text else row for change, row in zip(listed, frozen, strict=True)]
        return frozen

    # --- numbers that stores give -------------------------------------------------------------------------------

    def _find_ids(self, listed: Sequence[Change]) -> None:
        """Those that the store gave since the first world, with what stands for each."""
        for change in listed:
            for column in change.collection.surrogate:
                value = change.row.get(column)
                place = _place(change.name, column)
                if value is not None and value not in self.given.get(place, ()):
                    self._ids.setdefault(place, {})[value] = ""
        for place, ids in self._ids.items():
            for rank, value in enumerate(sorted(ids, key=lambda v: (str(type(v)), v))):
                ids[value] = f"#{rank}"
            words = "|".join(re.escape(word) for word in sorted(_forms(place[0].rpartition(".")[2]), key=len, reverse=True))
            inside = re.compile(f"(?<![A-Za-z])(?:{words}){_MENTIONS}(\\d{{1,18}})(?!\\d)", re.IGNORECASE)
            named = re.compile(f"(?:.*[^a-z])?(?:{words})(?:[-_ ]?(?:id|no|nr|number|pk|key|ref))?", re.IGNORECASE)
            self._names.append((inside, named, place))

    def _shows_ranks(self, listed: Sequence[Change]) -> bool:
        """A rank hides the number. Where it, or one that comes soon, also stands where nobody says that it is meant, it is not hidden."""
        shown, rising = False, {_place(one.name, column) for one in listed if one.name.endswith("~given") for column in one.row}
        for place, ids in self._ids.items():
            numbers = [value for value in ids if isinstance(value, int)]
            least = max if place in rising else min  # of a number that was passed over nobody will ever be given
            near = len(numbers) < len(ids) or any(least(numbers) <= n <= max(numbers) + _AHEAD for n in self._seen)
            open_to_doubt = {value: f"={value}" for value in ids if near or value in self._seen}
            ids.update(open_to_doubt)
            shown = shown or bool(open_to_doubt)
        return shown

    def _id(self, place: tuple[str, str], value: Any, atoms: list[Atom]) -> Any:
        """What stands for an id; the value itself where it is none of those that were given since."""
        sign = self._ids.get(place, {}).get(value)
        if sign is None:
            self._note(value)
            return value
        if self.ordered:
            return [_ID, ".".join(place), sign]
        atoms.append((".".join(place), str(value)))
        return [_ID, ".".join(place)]

    def _note(self, value: Any) -> None:
        if self.ordered and isinstance(value, int) and not isinstance(value, bool):
            self._seen.add(value)

    # --- what varies --------------------------------------------------------------------------------------------

    def _find_carried(self, listed: Sequence[Change]) -> None:
        """Random tokens that stand where values vary: wherever else one of them stands, it is the same one."""
        for change in listed:
            kind = self.varying.kind(change.name, change.collection, change.row)
            for path, value in leaves(change.row):
                for text in (value, *path):
                    if isinstance(text, str):
                        self._carried.update((one, len(one)) for one in self.varying.ids_in(text))
                habit = self.varying.habit(change.name, kind, path)
                if habit is None or (path == ("sha256",) and not self.varying.copies):
                    continue
                if isinstance(value, str) and (_DECIMAL.fullmatch(value) or habit.shapeless(self.varying.tokens(value))):
                    continue
                parts = self.varying.tokens(value) if isinstance(value, str) else ["", str(value), ""] if _long(value) else []
                for place in habit.free(parts):
                    token = parts[2 * place + 1]
                    if telling(token) and token not in self.varying.known and self._when(token, habit.time_at(parts, place)) is None:
                        self._carried[token] = habit.length_at(parts, place)

    def _row(self, change: Change) -> Frozen:
        atoms: list[Atom] = []
        kind = self.varying.kind(change.name, change.collection, change.row)
        columns = []
        for column in sorted(change.row):
            value = change.row[column]
            columns.append([column, self._column(change, kind, column, value, atoms)])
        return Frozen(json.dumps([change.sign, change.name, columns], default=repr), tuple(atoms))

    def _column(self, change: Change, kind: str, column: str, value: Any, atoms: list[Atom]) -> Any:
        if column in change.collection.surrogate and value is not None:
            return self._id(_place(change.name, column), value, atoms)
        target = change.collection.references.get(column)
        if target is not None and value is not None:
            store = change.name.partition(".")[0]
            collection, _, target_column = target.rpartition(".")
            return self._id((f"{store}.{collection}", target_column), value, atoms)
        return self._value(change, kind, (column,), value, atoms)

    def _value(self, change: Change, kind: str, path: Path, value: Any, atoms: list[Atom]) -> Any:
        if isinstance(value, dict):
            entries = sorted(value.items(), key=lambda item: str(item[0]))
            return [
                "d",
                [[self._plain(str(key), path, atoms), self._value(change, kind, (*path, key), item, atoms)] for key, item in entries],
            ]
        if isinstance(value, (list, tuple)):
            return ["l", [self._value(change, kind, (*path, n), item, atoms) for n, item in enumerate(value)]]
        if isinstance(value, str) and (inside := inner(value)) is not None:
            return ["j", inside[0], self._value(change, kind, (*path, "$"), inside[1], atoms)]
        habit = None if value is None or isinstance(value, bool) or value == "" else self.varying.habit(change.name, kind, path)
        if habit is None or (habit.only_uuids and not isinstance(value, str)):
            turned = self._turned(change, path, value) if self.varying.turning and self.ordered else None
            return turned or self._constant(value, path, atoms)
        if isinstance(value, str):
            parts = self.varying.tokens(value)
            if (decimal := _DECIMAL.fullmatch(value)) and 1 in (free := set(habit.free(parts))):
                return ["~", "some number", *([] if 0 in free or int(decimal[1]) >= _CHANGES_SLOWLY else [decimal[1]])]
            if habit.shapeless(parts):
                return self._shapeless(value, habit, atoms)
            if is_bytes(value):
                return ["x", habit.unread.held(value), self._text(value, set(habit.free(parts)), path, atoms, habit)]
            return self._text(value, set(habit.free(parts)), path, atoms, habit)
        if when := self._when(value, habit.time_at(["", value, ""], 0)):
            return when
        if habit.is_twin(["", value, ""], 0):
            atoms.append(("short", str(value)))
            return ["~", "the same number"]
        if sequence := habit.number_at(["", value, ""], 0):
            atoms.append((sequence, str(value)))
            return ["~", "a number of it"]
        if _long(value) and str(value) in self._carried:
            atoms.append(("token", str(value)))
            return ["~", "number"]
        if path == ("size",) and "sha256" in change.row and change.row.get("text") is None:
            return ["about", habit.about(value)]  # of a file whose content nobody can read
        return ["~", "some number"]

    def _turned(self, change: Change, path: Path, value: Any) -> list[Any] | None:
        """The sign for a number that many crashes have raised."""
        most = self.varying.turning.get((change.name, self.varying.row(change.name, change.collection, change.row), path))
        turns = None if most is None else number(value)
        return ["~", "from", most] if turns is not None and most is not None and turns >= most else None

    def _shapeless(self, text: str, habit: Habit, atoms: list[Atom]) -> Any:
        """A text of which not even the separators are the same each time: a token made of any characters, or a long one."""
        if (parted := habit.parted(text)) is None:
            return ["~", "unlike", plain(text)]
        around = [parted[0], parted[2]] if parted[0] or parted[2] else []
        token = parted[1] if len(parted[1]) >= _TOKEN_LENGTHS[0] else text
        if _TOKEN_LENGTHS[0] <= len(token) <= _TOKEN_LENGTHS[1] and not any(map(str.isspace, token)) and self._when(token) is None:
            atoms.append(("token", token))
            return ["~", "text", *around]
        return ["~", "text", *around, *habit.outline(text)]

    def _constant(self, value: Any, path: Path, atoms: list[Atom]) -> Any:
        if isinstance(value, str):
            return self._plain(value, path, atoms)
        if isinstance(value, bool) or value is None:
            return value
        place = self._named(path, value)
        if place is not None:
            return self._id(place, value, atoms)
        self._note(value)
        return ["t", value, self._relation(value)] if self._relation(value) else value

    def _plain(self, text: str, path: Path, atoms: list[Atom]) -> Any:
        return self._text(text, set(), path, atoms)

    def _text(self, text: str, free: set[int], path: Path, atoms: list[Atom], habit: Habit | None = None) -> Any:
        """The text with signs for the tokens in ``free``, for those that are carried, and for ids that it names."""
        mentions = self._mentions(text, path) if self._names else []
        if not (free or mentions or any(token in text for token in self._carried)):
            self._note_all(text)
            relation = self._relation(text)
            return ["t", text, relation] if relation else text
        parts = self.varying.tokens(text)
        written: list[Any] = []
        position = 0
        for n, part in enumerate(parts):
            start, position = position, position + len(part)
            inside = [m for m in mentions if m[0] >= start and m[1] <= position]
            if n % 2 == 0 or not part:
                written.append(part)
            elif part in self._carried:
                atoms.append(("token", part))
                written.append(["~", "digits" if self.varying.is_number(part) else self.varying.form(part, self._carried[part])])
            elif n // 2 in free and habit is not None and habit.is_twin(parts, n // 2):
                atoms.append(("short", part))
                written.append(["~", "the same"])
            elif n // 2 in free and habit is not None and (sequence := habit.number_at(parts, n // 2)):
                atoms.append((sequence, str(int(part))))
                written.append(["~", "a number of it"])
            elif n // 2 in free and not (part in self.varying.known and says_what_it_is(part)):
                written.append(
                    self._when(part, habit.time_at(parts, n // 2) if habit else None)
                    or ["~", "digits" if self.varying.is_number(part) else "word"]
                )
            elif inside:
                written.append(self._with_ids(part, start, inside, atoms))
            else:
                written.append(part)
                self._note_all(part)
        return ["s", [one for one in written if one != ""]]

    def _with_ids(self, part: str, start: int, inside: Sequence[tuple[int, int, tuple[str, str], Any]], atoms: list[Atom]) -> Any:
        written: list[Any] = []
        at = 0
        for begin, end, place, value in inside:
            written += [part[at : begin - start], self._id(place, value, atoms)]
            at = end - start
        return ["m", [*written, part[at:]]]

    def _note_all(self, text: str) -> None:
        if self.ordered and self._ids:
            self._seen.update(int(found[0]) for found in _NUMBER.finditer(text))

    # --- ids that are named -------------------------------------------------------------------------------------

    def _mentions(self, text: str, path: Path) -> list[tuple[int, int, tuple[str, str], Any]]:
        """Where a text says which row it means: "payment-17", or 17 under "payment_id"."""
        found: dict[tuple[int, int], tuple[tuple[str, str], Any]] = {}
        if text.isdigit() and len(text) <= 18 and str(int(text)) == text and (place := self._named(path, int(text))) is not None:
            return [(0, len(text), place, int(text))]
        for inside, _, place in self._names:
            for match in inside.finditer(text):
                value = int(match[1])
                if str(value) == match[1] and value in self._ids[place]:
                    found.setdefault(match.span(1), (place, value))
        return [(*span, *what) for span, what in sorted(found.items())]

    def _named(self, path: Path, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, int):
            return None
        names = [str(part) for part in path if isinstance(part, str) and part != "$"]
        if not names:
            return None
        last = names[-1]
        for _, column, place in self._names:
            if value in self._ids[place] and (
                column.fullmatch(last) or (last.lower() in ("id", "pk", "number") and len(names) > 1 and column.fullmatch(names[-2]))
            ):
                return place
        return None

    # --- times --------------------------------------------------------------------------------------------------

    def _when(self, value: Any, known: Reckoned | None = None) -> list[Any] | None:
        """The sign for a time that varies; None for what is no time. What one execution would not write is another one.

        A long number, such as a hash, may look like a time by chance: it is none where there was not always one.
        """
        if known is not None and not known.known:
            return None
        now = self.now if self.now is not None else self.span[1] if self.span else time.time()
        found = moment_of(value, now)
        if found is None:
            return None
        beyond = known.beyond(value, *self.span) if known is not None and self.span else []
        if found[1]:
            return ["~", "date", *beyond]
        return ["~", "time", *([] if self.now is None else [left_until(found[0] - self.now)]), *beyond]

    def _relation(self, value: Any) -> Any:
        """Of a time that does not vary: is it past?"""
        if self.now is None:
            return None
        return [left_until(moment - self.now) for moment in moments(value, self.now)] or None


def _place(name: str, column: str) -> tuple[str, str]:
    """Whose numbers these are: what a store shows beneath a table has the table's."""
    return name.partition("~")[0], column


def _long(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**8


def _forms(name: str) -> set[str]:
    """What a row of a collection is called: payments, payment; shop_payments too."""
    found = set()
    for whole in {name, name.rpartition("_")[2]} - {""}:
        found |= {whole, whole + "s"}
        if whole.endswith("ies"):
            found.add(whole[:-3] + "y")
        if whole.endswith(("ses", "xes", "ches", "shes")):
            found.add(whole[:-2])
        if whole.endswith("s") and not whole.endswith("ss"):
            found.add(whole[:-1])
    return found
