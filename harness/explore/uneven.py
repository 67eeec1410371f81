"""Texts of which not even the separators are the same each time, and bytes that nobody can read: what is the same in all of them counts.

A random text in base64 has separators of its own, and what a task writes before and behind it ("2|…") may be a count. Of bytes that some
library packed, one may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Uneven", "is_bytes", "plain"]

#: More groups are not kept apart, and nothing is made of a longer text.
_GROUPS, _LONGEST = 64, 16_384
#: What the calendar makes equal for so long that clean executions see one alone.
_YEAR = re.compile(r"(?:19|20)\d\d")
_HEAD, _TAIL = re.compile(r".*[^A-Za-z0-9]|", re.DOTALL), re.compile(r"[^A-Za-z0-9].*$|$", re.DOTALL)
#: Of one that is like none: random texts may stand in it.
_RANDOM = re.compile(r"[A-Za-z0-9_-]{16,}")
_FREE = "\0"
#: Bytes that are random are not so often the same.
_BY_CHANCE = 3
#: Characters in a row that random words do not have in common.
_MUCH = 4


def is_bytes(text: str) -> bool:
    """Does it stand for bytes that are no text?"""
    return text.startswith("x'") and text.endswith("'")


@dataclass(frozen=True, slots=True)
class _Group:
    """Texts that should have been equal. ``common``: the first of them, with `_FREE` where another differs; '' where lengths do."""

    texts: frozenset[str]
    head: str
    tail: str
    common: str

    @property
    def is_random(self) -> bool:
        """Has nothing between head and tail two characters in a row that all have?"""
        between = self.common[len(self.head) : len(self.common) - len(self.tail)]
        return bool(between) and not re.search(f"[^{_FREE}]{{2}}", between)

    def same_bytes(self) -> Iterator[tuple[int, int]]:
        """From … to, in the text, of those that all have, unless it may be by chance that they do."""
        run = max(1, -(-_BY_CHANCE // (len(self.texts) - 1)))
        for found in re.finditer(rf"(?:[^{_FREE}]{{2}}){{{run},}}", self.common[2:-1]):
            yield found.start() + 2, found.end() + 2


class Uneven:
    """Those of one place, in groups: of other times of an execution it holds others."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._too_many = False

    def add(self, one: str, other: str) -> None:
        """Two that should have been equal."""
        if self._too_many or max(len(one), len(other)) > _LONGEST:
            self._too_many = True
            return
        same = [group for group in self._groups if one in group.texts or other in group.texts]
        if len(same) == 1 and {one, other} <= same[0].texts:
            return
        texts = frozenset({one, other}).union(*(group.texts for group in same))
        self._groups = [*(group for group in self._groups if group not in same), _group(texts)]
        self._too_many = len(self._groups) > _GROUPS

    @property
    def hides(self) -> bool:
        """May anything beside a random text be in what they do not have in common?"""
        return self._too_many or not all(group.is_random for group in self._groups)

    @property
    def have_much_in_common(self) -> bool:
        """Are there any, as long as one another, in which so much is the same that they are not random?"""
        return any(re.search(f"[^{_FREE}]{{{_MUCH}}}", group.common) for group in self._groups)

    @property
    def longest(self) -> int:
        """Characters."""
        return max((len(text) for group in self._groups for text in group.texts), default=0)

    def parted(self, text: str) -> tuple[str, str, str] | None:
        """(head, what varies, tail) by the group that it is most like; None where it is like none. Where there is none: all varies."""
        if self._too_many or not self._groups:
            return "", text, ""
        fitting = [
            group
            for group in self._groups
            if len(text) > len(group.head) + len(group.tail) and text.startswith(group.head) and text.endswith(group.tail)
        ]
        if not fitting:
            return None
        best = max(fitting, key=lambda group: (len(group.head) + len(group.tail), group.head, group.tail))
        return best.head, text[len(best.head) : len(text) - len(best.tail)], best.tail

    def held(self, text: str) -> str:
        """Of bytes: those that are the same in all of the group that it is most like, as this one has them; '' where none is as long."""
        as_long = [group for group in self._groups if len(group.common) == len(text)]
        if self._too_many or not as_long:
            return ""
        best = max(as_long, key=lambda group: (sum(map(str.__eq__, group.common, text)), group.common))
        return "~".join(text[start:end] for start, end in best.same_bytes())


def plain(text: str) -> str:
    """One that is like none that was seen, without what may be random in it."""
    return _RANDOM.sub("~", text)


def _group(texts: frozenset[str]) -> _Group:
    ordered = sorted(texts)
    shortest = min(map(len, ordered))
    before = next((n for n in range(shortest) if len({text[n] for text in ordered}) > 1), shortest)
    after = next((n for n in range(shortest - before) if len({text[-1 - n] for text in ordered}) > 1), shortest - before)
    head, tail = _HEAD.match(ordered[0][:before]), _TAIL.search(ordered[0][len(ordered[0]) - after :])
    assert head is not None and tail is not None
    common = ""
    if len({len(text) for text in ordered}) == 1:
        width = 2 if is_bytes(ordered[0]) else 1
        columns = zip(*([text[n : n + width] for n in range(0, len(text), width)] for text in ordered), strict=True)
        common = "".join(column[0] if len(set(column)) == 1 else _FREE * len(column[0]) for column in columns)
    return _Group(texts, _YEAR.split(head[0])[0], _YEAR.split(tail[0])[-1], common)
