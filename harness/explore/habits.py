"""How the values at one place vary: which of their words do, and which never; how long they are; how far ahead times lie."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.explore.reckoned import Reckoned
from harness.explore.uneven import Uneven, is_bytes

__all__ = ["Habit", "When"]

_IS_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
#: Bytes by which files that vary inside may differ in their size although they did not when they were seen.
_LEEWAY = 8
#: Nearer than this part of the way to the next size that was seen.
_NEAR = 4
_LONG = 4096
#: What is longer than that as hexadecimal text may be encrypted (the tag alone has 16 bytes, what it begins from 12).
_TOKEN_BYTES = 2 * 24 + 3
#: Characters of a word that may be more than a token: what somebody packed, in base64 or hexadecimal.
_PACKED = 16
#: Of a text that is written piece by piece, so many of the last shapes that it had.
_SHAPES = 32

#: More than so many different ones are told apart by nothing.
_TIMES = 64

#: So many characters fewer than others a token may have by chance.
_MISSING = 2
#: The separators of a text.
_Shape = tuple[str, ...]
#: Token place -> the token that is there each time.
_Constant = dict[int, str]
#: When by the task's clock, and what that showed in the first world; None: nobody knows.
When = tuple[float, float] | None


@dataclass
class Habit:
    """What was seen at one place. ``only_uuids``: known without having been learnt.

    A place may hold other things at other times of one execution ("new 17", "paid 17", a file that is appended to), so there are many
    ``shapes``, and each knows what may stand for it. ``twins``: token places whose short values stand elsewhere too.
    """

    only_uuids: bool = False
    shapes: dict[_Shape, list[_Constant]] = field(default_factory=dict)
    times: dict[tuple[_Shape, int], Reckoned] = field(default_factory=dict)
    longest: dict[tuple[_Shape, int], int] = field(default_factory=dict)  # of the words that vary there
    sizes: list[tuple[int, int]] = field(default_factory=list)  # from … to, of what should have been equal
    twins: set[tuple[_Shape, int]] = field(default_factory=set)
    numbers: dict[tuple[_Shape, int], int] = field(default_factory=dict)  # of a sequence: by how much one with others differed there
    loose: set[tuple[int, int]] = field(default_factory=set)  # length and lines of two that should have been equal, but for their words
    lines: bool = True  # they always had as many lines
    uneven: Uneven = field(default_factory=Uneven)  # texts that differed in more than their words
    unread: Uneven = field(default_factory=Uneven)  # bytes
    packed: Uneven = field(default_factory=Uneven)  # long words

    def add(self, one: Sequence[Any], other: Sequence[Any], when: tuple[When, When] = (None, None)) -> None:
        """Two values that should have been equal, as `tokens` gives them; a number is its own only token."""
        shapes = _shape(one), _shape(other)
        for parts, shape, at in zip((one, other), shapes, when, strict=True):
            if at is None:
                continue
            for n, part in enumerate(parts[1::2]):
                self.times.setdefault((shape, n), Reckoned()).add(part, at[0], at[1])
        if not all(isinstance(part, str) for part in (*one, *other)):
            return
        if shapes[0] != shapes[1]:
            self.loose |= {(sum(map(len, parts)), _lines(parts)) for parts in (one, other)}
            self.lines = self.lines and _lines(one) == _lines(other)
            self.uneven.add("".join(one), "".join(other))
            return
        if is_bytes("".join(one)):
            self.unread.add("".join(one), "".join(other))
        for n, (token, theirs) in enumerate(zip(one[1::2], other[1::2], strict=True)):
            if token != theirs:
                self.longest[shapes[0], n] = max(self.longest.get((shapes[0], n), 0), len(token), len(theirs))
            if token != theirs and min(len(token), len(theirs)) >= _PACKED and token.isalnum() and not token.isdigit():
                self.packed.add(token, theirs)
        same = {n: token for n, (token, theirs) in enumerate(zip(one[1::2], other[1::2], strict=True)) if token == theirs}
        self.shapes[shapes[0]] = _with(self.shapes.pop(shapes[0], []), same)
        while len(self.shapes) > _SHAPES:
            self.shapes.pop(next(iter(self.shapes)))

    def add_numbers(self, one: Sequence[Any], other: Sequence[Any], skipped: Collection[int]) -> None:
        """Two values of which the second was made with numbers that were so much further on, each of its sequence."""
        if _shape(one) == _shape(other):
            for n, (ours, theirs) in enumerate(zip(one[1::2], other[1::2], strict=True)):
                if str(ours).isdigit() and str(theirs).isdigit() and (further := int(theirs) - int(ours)) in skipped:
                    self.numbers[_shape(one), n] = further

    def number_at(self, parts: Sequence[Any], place: int) -> str:
        """Of which sequence a number stands there; '' where it is none."""
        found = self.numbers.get((_shape(parts), place))
        return f"sequence {found}" if found and str(parts[2 * place + 1]).isdigit() else ""

    def add_sizes(self, one: int, other: int) -> None:
        """Of two contents, or texts, that should have been equal."""
        low, high = min(one, other), max(one, other)
        for n, (least, most) in enumerate(self.sizes):
            if least - _leeway(least, most) <= low and high <= most + _leeway(least, most):
                self.sizes[n] = (min(least, low), max(most, high))
                return
        self.sizes.append((low, high))

    def about(self, size: int) -> int | str:
        """The same for sizes that do not differ more than those that were seen: half of a file is another than all of it.

        Of one that is written piece by piece, what lies between the ends of two pieces counts as the nearer one if it is much nearer:
        they vary the more the longer it is. But not of all of it, of which a piece might be missing.
        """
        ordered = sorted((sizes, n) for n, sizes in enumerate(self.sizes))
        for at, ((least, most), n) in enumerate(ordered):
            below = above = leeway = _leeway(least, most)
            if at + 1 < len(ordered):
                above = max(leeway, (ordered[at + 1][0][0] - most) // _NEAR)
                below = max(leeway, (least - ordered[at - 1][0][1]) // _NEAR) if at else above
            if least - below <= size <= most + above:
                return f"#{n}"
        return size

    def shapeless(self, parts: Sequence[str]) -> bool:
        """Does this text differ from those that were seen in more than its words, and did they, or was it a crash that cut it off?"""
        size = sum(map(len, parts))
        if self.only_uuids or (_shape(parts) in self.shapes and self._is_whole(size) and not self._is_loose(parts)):
            return False
        return bool(self.loose) or len(self.shapes) == _SHAPES or self._is_long()

    def _is_long(self) -> bool:
        """So long that it is written in pieces?"""
        return any(most > _LONG for _, most in self.sizes)

    def _is_whole(self, size: int) -> bool:
        """Is nothing missing of what was seen? Where a piece of a long text ends is a matter of luck."""
        most = max((most for _, most in self.sizes), default=0)
        return not self._is_long() or size > most or self.about(size) == self.about(most)

    def _is_loose(self, parts: Sequence[str]) -> bool:
        """Were there any as long, and with as many lines, that differed in more than their words?"""
        lines, about = _lines(parts), self.about(sum(map(len, parts)))
        return any(lines == others and self.about(size) == about for size, others in self.loose)

    def parted(self, text: str) -> tuple[str, str, str] | None:
        """See `Uneven.parted`; of a text that is written in pieces nobody knows where one ends."""
        return ("", text, "") if self._is_long() else self.uneven.parted(text)

    def outline(self, text: str) -> list[Any]:
        """What can be said of one without a shape."""
        return [self.about(len(text)), *([text.count("\n")] if self.lines and self._is_whole(len(text)) else [])]

    def free(self, parts: Sequence[str]) -> Iterator[int]:
        """Which tokens of a text (as `tokens` gives it) vary, by their places from 0."""
        here = parts[1::2]
        known = self.shapes.get(_shape(parts), [])
        constant = max(known, key=lambda one: sum(here[n] == token for n, token in one.items()), default={})
        for place, token in enumerate(here):
            if self.only_uuids:
                if _IS_UUID.fullmatch(token):
                    yield place
            elif constant.get(place) != token:
                yield place

    def length_at(self, parts: Sequence[str], place: int) -> int:
        """Of the token there, as a sign that it is whole. Of a number in hexadecimal digits, say, the first ones may be missing."""
        length = len(parts[2 * place + 1])
        longest = self.longest.get((_shape(parts), place), length)
        return longest if abs(longest - length) <= _MISSING else length

    def time_at(self, parts: Sequence[Any], place: int) -> Reckoned | None:
        """How far ahead the times lie that such a text names there."""
        return self.times.get((_shape(parts), place))

    @property
    def told(self) -> set[tuple[_Shape, int]]:
        """Token places whose short values are known again elsewhere."""
        return {*self.twins, *self.numbers}

    @property
    def hides(self) -> bool:
        """May there be more in what varies than a random token?"""
        return self.uneven.hides or self.unread.hides or self.unread.longest > _TOKEN_BYTES or self.packed.have_much_in_common

    def is_twin(self, parts: Sequence[Any], place: int) -> bool:
        """Does the same value always stand somewhere else too?"""
        return (_shape(parts), place) in self.twins


def _shape(parts: Sequence[Any]) -> _Shape:
    return tuple(parts[::2])


def _lines(parts: Sequence[str]) -> int:
    return sum(part.count("\n") for part in parts[::2])


def _with(known: list[_Constant], new: _Constant) -> list[_Constant]:
    """Each stands for what was at one time of an execution: what is said of the same becomes one, of what all its texts have."""
    for n, one in enumerate(known):
        both = {place: token for place, token in one.items() if new.get(place) == token}
        if (both or not one or not new) and all(new.get(place, token) == token for place, token in one.items()):
            return known if both == one else _with([*known[:n], *known[n + 1 :]], both)
    return [*known, new] if len(known) < _TIMES else [{}]


def _leeway(least: int, most: int) -> int:
    """Many values that vary in their length each make a sum that varies with the root of their number; a long one is the same by chance."""
    return max(_LEEWAY, 4 * (most - least), math.isqrt(most) // 2 if most > least or most > _LONG else 0)
