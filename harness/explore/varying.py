"""What varies by itself from one execution to the next, learnt from executions that should have been equal."""

from __future__ import annotations

import calendar
import re
from collections import defaultdict
from collections.abc import Collection as AnyOf
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from harness.explore.drawn_names import TemporaryNames, look_drawn
from harness.explore.habits import Habit, When
from harness.explore.leaves import Path, kind_of, leaves
from harness.explore.reckoned import DATE, moment_of
from harness.explore.signatures import Signatures
from harness.explore.twins import Twins, is_short
from harness.model.world import Collection, Row

__all__ = ["TOKEN", "Collections", "Habit", "Varying", "says_what_it_is", "telling", "tokens"]

#: By 'store.collection'.
Collections = Mapping[str, Collection]
#: (collection, kind of row, path)
_Place = tuple[str, str, Path]
_Times = tuple[When, When]

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_TIME = rf"\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|{DATE}|\d{{10,19}}\.\d+(?![A-Za-z0-9])"
_TEMPORARY = r"tmp[a-z0-9_]{8}(?![A-Za-z0-9_])"  # names as Python's tempfile makes them: an underscore in one is no separator
#: Of a file: its content may vary without its size, or with it.
_SIZE, _DIGEST = ("size",), ("sha256",)
_TIMES = ".~times"  # what stores show of when files were written
#: The smallest parts of a text that vary as one.
TOKEN = re.compile(f"({_UUID}|{_TIME}|{_TEMPORARY}|[A-Za-z0-9]+)")
_IS_UUID, _IS_TIME = re.compile(_UUID), re.compile(_TIME)
#: Words that are no token although they are long and vary.
_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:T?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?Z?")
_CALENDAR = frozenset(name.lower() for name in (*calendar.day_name, *calendar.month_name))
#: Fewer characters may be equal by accident: that two such are the same says nothing.
_TELLING = 8
#: Shorter ones are no names of anything.
_A_WORD = 4
_UUID_LENGTH = 36


def tokens(text: str, token: re.Pattern[str] = TOKEN) -> list[str]:
    """What lies between tokens and the tokens, in turn: separators at even places."""
    return token.split(text)


def telling(token: str) -> bool:
    """Is it long enough that nobody makes it twice by accident, and no time, date, weekday or month?"""
    return len(token) >= _TELLING and not (_IS_TIME.fullmatch(token) or _COMPACT.fullmatch(token) or token.lower() in _CALENDAR)


def says_what_it_is(token: str) -> bool:
    """Is it no number, part of a date, or word of two or three letters, which turn up anywhere?"""
    return telling(token) or not (token.isdigit() or token.lower() in _CALENDAR or len(token) < _A_WORD)


class Varying:
    """``known``: tokens that the first world holds; they are never taken for random ones, wherever they turn up.

    Ids of messages are others each time that a call is published: wherever a task writes its own, it is one of these.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._ids: set[str] = set()
        self._habits: dict[_Place, Habit] = {}
        self._further: dict[_Place, Habit] = {}  # of any element of a list: for those beyond what clean executions left there
        self._compared: set[_Place] = set()
        self._keys: dict[str, set[Any]] = defaultdict(set)  # collection -> keys of rows that were there each time
        self._names: dict[str, set[tuple[str, str]]] = defaultdict(set)  # collection -> (before, after) of keys that vary within
        #: Has a file been seen beside a copy of it? Else it is by chance that two are alike: a compressed one names the second, say.
        self.copies = False
        self._blurred: set[tuple[str, str]] = set()  # (collection, kind of row) of files that vary and that nobody can read as text
        self._lengths: set[int] = set()  # of tokens that vary and have letters in them
        self._loose: dict[_Place, set[tuple[tuple[str, ...], int] | None]] = defaultdict(set)  # what is no time, and nothing is known by
        self._skipped: AnyOf[int] = ()  # see `learn`, which is under way
        self._forms: set[str] = set()  # see `form`
        self._twins = Twins()
        self.turning: dict[_Place, int] = {}  # (collection, `row`, path) of numbers that each crash raises: from this on alike in keys
        self._temporary, self._signatures = TemporaryNames(), Signatures()
        self._token = TOKEN

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
                        self.known.update(self.tokens(value)[1::2])

    def habit(self, name: str, kind: str, path: Path) -> Habit | None:
        """None for a place whose values do not vary."""
        if not self._habits:
            return None
        place = self._place(path)
        found = self._habits.get((name, kind, place)) or self._habits.get((name, "*", place))
        if found is None and self._further and (name, kind, place) not in self._compared:
            return self._further.get((name, kind, _any_element(place)))
        return found

    def kind(self, name: str, collection: Collection, row: Row) -> str:
        """As `kind_of`, but for keys that vary without having the look of it."""
        key = row.get(collection.key[0]) if len(collection.key) == 1 else None
        if isinstance(key, str) and key not in self._keys[name]:
            for before, after in sorted(self._names[name]):
                if len(key) > len(before) + len(after) and key.startswith(before) and key.endswith(after):
                    return f"{before}*{after}"
        return kind_of(collection, row)

    def row(self, name: str, collection: Collection, row: Row) -> str:
        """Which row it is, the same in each walk of a path; '' where nothing says so."""
        if not collection.key or "*" in self.kind(name, collection, row):
            return ""
        return _IS_UUID.sub(self._hidden, repr([row.get(column) for column in collection.key]))

    def learn(self, samples: Sequence[Collections], seen: Sequence[float] = (), begun: float = 0.0, skipped: AnyOf[int] = ()) -> None:
        """From worlds that should be equal. ``seen``: when each was looked at, by the task's clock; ``begun``: as in `Habit.add`.

        ``skipped``: there are two, and in the second sequences were so much further on.
        """
        self._skipped = skipped
        self.copies = self.copies or any(map(_has_copies, samples))
        times: Sequence[When] = [(at, begun) for at in seen] or [None] * len(samples)
        for name in sorted(set.intersection(*(set(sample) for sample in samples))):
            for (first, at), (second, later) in combinations([(sample[name], at) for sample, at in zip(samples, times, strict=True)], 2):
                # When a file was written is told by our clock, not by the task's.
                self._learn(name, first, second, (None, None) if name.endswith(_TIMES) else (at, later))
        for name, kind, path, shape, token in self._twins.learn([self._short(sample) for sample in samples], seen) if seen else ():
            self._habits[name, kind, path].twins.add((shape, token))

    def excludes(self, aside: tuple[str, ...]) -> tuple[str, ...]:
        """What of it counts at the end, in words. ``aside``: how names of collections begin that do not."""
        return tuple(dict.fromkeys(words for name, words in self.vague() if "~" not in name and not name.startswith(aside)))

    def vague(self) -> Iterator[tuple[str, str]]:
        """(collection, words) of what is compared less closely than its value, in order."""
        for name, kind in sorted(self._blurred):
            yield name, f"what is in {kind or 'a row'} ({name}): it varies and is no text, so that about how long it is counts alone"
        loose = {(place[0], _words(place)) for place, tokens in self._loose.items() if tokens - self._habits[place].told}
        loose |= {(place[0], _words(place)) for place, habit in self._habits.items() if habit.hides}
        for name, where in sorted(loose):
            yield name, f"what is in {where}: it varies by itself, so that its look alone is compared"
        for name, where in sorted((place[0], _words((place[0], place[1][1:-1], place[2]))) for place in self.turning):
            yield name, f"what a task does with {where} once so many crashes in a row as were tried had raised it: it is alike from then on"
        terms = {(name, path) for (name, _, path), habit in self._habits.items() if not all(one.steady for one in habit.times.values())}
        for name, path in sorted((name, ".".join(part for part in path if isinstance(part, str) and part != "$")) for name, path in terms):
            yield name, f"how far ahead {path} ({name}) lies, but within the hour: on different days it is reckoned in different ways"

    def _short(self, sample: Collections) -> dict[tuple[Any, ...], frozenset[str]]:
        """What stands where short values vary: by collection, kind of row, path, shape and token place."""
        found: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        varies = {name for name, _, _ in self._habits}
        for name, collection in sample.items():
            for row in collection.rows if name in varies else ():
                kind = self.kind(name, collection, row)
                for path, value in leaves(row):
                    place = self._place(path)
                    habit = self._habits.get((name, kind, place))
                    if habit is None or habit.only_uuids or value is None or isinstance(value, bool):
                        continue
                    parts = self.parts(value)
                    for n, part in enumerate(parts[1::2]):
                        if is_short(str(part)) and part not in self.known:
                            found[name, kind, place, tuple(parts[::2]), n].add(str(part))
        return {place: frozenset(values) for place, values in found.items()}

    def tokens(self, text: str) -> list[str]:
        """As `tokens`; a name that `tempfile` has drawn, whatever is before it, is one of them."""
        return tokens(text, self._token)

    def parts(self, value: Any) -> list[Any]:
        """As `tokens`; what is no text is one token."""
        return self.tokens(value) if isinstance(value, str) else ["", value, ""]

    def is_temporary(self, text: str) -> bool:
        """Is it a name that `tempfile` has drawn?"""
        return self._temporary.holds(text)

    def _learn(self, name: str, first: Collection, second: Collection, when: _Times) -> None:
        ours, theirs = list(first.rows), list(second.rows)
        if len(first.key) == 1:
            self._keys[name] |= _keys(first) & _keys(second)
        for row in list(ours):
            if row in theirs:
                ours.remove(row)
                theirs.remove(row)
        pairs = list(_pairs(first, ours, theirs))
        for one, other in pairs:
            self._compare(name, first, one, other, when)

    def _compare(self, name: str, collection: Collection, one: Row, other: Row, when: _Times) -> None:
        left, right = dict(leaves(one)), dict(leaves(other))
        if left.keys() != right.keys():
            return
        if len(collection.key) == 1:
            keys = str(one[collection.key[0]]), str(other[collection.key[0]])
            if kind_of(collection, one) != kind_of(collection, other) or look_drawn(*keys):  # the next may look like another kind
                self._learn_name(name, *keys)
        kind = self.kind(name, collection, one)
        made_up = {*collection.surrogate, *collection.references}
        for path, value in left.items():
            place = self._place(path)
            if (starred := _any_element(place)) != place:
                self._compared.add((name, kind, place))
            if value == right[path] or value is None or right[path] is None or path[0] in made_up:
                continue
            texts = isinstance(value, str) and isinstance(right[path], str) and path[0] not in collection.key
            if texts and self._signatures.learn(value, right[path]):
                self._take_for_tokens()
            self._note_loose((name, kind, place), (self.parts(value), self.parts(right[path])), when)
            known = [(self._habits, place), *([(self._further, starred)] if starred != place else [])]
            for habit in [habits.setdefault((name, kind, where), Habit()) for habits, where in known]:
                habit.add(self.parts(value), self.parts(right[path]), when)
                habit.add_numbers(self.parts(value), self.parts(right[path]), self._skipped)
                if isinstance(value, str) and isinstance(right[path], str):
                    habit.add_sizes(len(value), len(right[path]))
                    self._learn_lengths(value, right[path])
        if left.get(_DIGEST) != right.get(_DIGEST) and isinstance(left.get(_SIZE), int):
            self._habits.setdefault((name, kind, _SIZE), Habit()).add_sizes(left[_SIZE], right[_SIZE])
            if one.get("text") is None:
                self._blurred.add((name, kind))

    def _note_loose(self, where: _Place, values: tuple[list[Any], list[Any]], when: _Times) -> None:
        """Which of their words are neither a time nor long enough to be known again elsewhere. (What files are is told by `_blurred`.)"""
        if where[2] in (_SIZE, _DIGEST):
            return
        shapes = [tuple(parts[::2]) for parts in values]
        if shapes[0] != shapes[1]:
            if any(any(map(str.isspace, part)) for parts in values for part in parts):
                self._loose[where].add(None)
            return
        for n, both in enumerate(zip(*(parts[1::2] for parts in values), strict=True)):
            times = all(at is not None and moment_of(part, at[0]) for part, at in zip(both, when, strict=True))
            if both[0] != both[1] and not times and not all(map(_is_known_again, both)):
                self._loose[where].add((shapes[0], n))

    def _learn_lengths(self, one: str, other: str) -> None:
        for ours, theirs in zip(self.tokens(one)[1::2], self.tokens(other)[1::2], strict=False):
            if ours != theirs and (form := _form(ours)) == _form(theirs) != "#":
                self._forms.add(form)
            if ours != theirs and len(ours) == len(theirs) and any(map(str.isalpha, ours + theirs)) and not _IS_TIME.fullmatch(ours):
                self._lengths.add(len(ours))

    def is_number(self, token: str) -> bool:
        """Of one that varies: a number, which may have a digit less, or a token of letters and digits that has no letter by chance?"""
        return token.isdigit() and len(token) not in self._lengths

    def form(self, token: str, length: int) -> int | str:
        """Of one that varies: ``length``, as `Habit.length_at` has it; of numbers with the same letters around them each time
        ("M1234P77Q1", a maildir's) these.
        """
        form = _form(token)
        return form if form in self._forms else length

    def _learn_name(self, name: str, one: str, other: str) -> None:
        """Of two keys of the same thing: what they have in common."""
        if (around := self._temporary.learn(one, other)) is None:
            self._names[name].add(_around(one, other))
            return
        self._names[name].add(around)
        self._take_for_tokens()

    def _take_for_tokens(self) -> None:
        parts = (_UUID, _TIME, _TEMPORARY, self._temporary.pattern(), self._signatures.pattern(), "[A-Za-z0-9]+")
        self._token = re.compile(f"({'|'.join(filter(None, parts))})")


def _form(token: str) -> str:
    """With one sign for each number."""
    return re.sub(r"\d+", "#", token)


def _is_known_again(token: Any) -> bool:
    return telling(token) if isinstance(token, str) else isinstance(token, int) and abs(token) >= 10**_TELLING


def _words(place: _Place) -> str:
    name, kind, path = place
    column = ".".join(part for part in path if isinstance(part, str) and part != "$")
    return f"{column} of {kind} ({name})" if kind else f"{column} ({name})"


def _any_element(place: Path) -> Path:
    return tuple("*" if isinstance(part, int) else part for part in place)


def _has_copies(sample: Collections) -> bool:
    """Do two files have the same content?"""
    digests = [row[_DIGEST[0]] for collection in sample.values() for row in collection.rows if row.get(_SIZE[0]) and row.get(_DIGEST[0])]
    return len(set(digests)) < len(digests)


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
