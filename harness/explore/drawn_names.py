"""Names that are drawn at random, each time another, such as those of `tempfile` with a prefix of one's own: ``own-q7wz02mn.csv``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from harness.explore.identities import without_varying
from harness.model.exploration import Stop

__all__ = ["DrawnNames", "TemporaryNames", "look_drawn"]

#: As `tempfile` draws them: eight of these. Fewer may be words.
_LENGTH = 8
_DRAWN = re.compile(r"[A-Za-z0-9_]+")
_WORD = re.compile(r"([\w-]+)")
_TEMPORARY = re.compile(r"[a-z0-9_]{8}")
_HEX = re.compile(r"[0-9a-f]{8}")
#: As `secrets.token_urlsafe` draws them: eleven and more, of which a hyphen may be one.
_LONG = re.compile(r"(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{11,}")
_ALNUM_AHEAD, _ALNUM_BEHIND = re.compile(r"[A-Za-z0-9]*"), re.compile(r"[A-Za-z0-9]*$")


@dataclass(frozen=True, slots=True)
class _Part:
    """Where two names differ. ``exact``: from end to end; else the characters beside it were equal by accident, or seem so."""

    start: int
    end: int
    exact: bool


def _drawn_part(one: str, other: str) -> _Part | None:
    """Of two names that differ in one part, drawn at random; None where it does not look drawn. Numbers are none."""
    if len(one) != len(other) or one == other:
        return None
    places = [n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    start, end = places[0], places[-1] + 1
    exact = end - start >= _LENGTH
    # What is beside it was equal by accident. A name mostly ends before a dot, so that side is tried first.
    while end - start < _LENGTH and end < len(one) and _DRAWN.fullmatch(one[end]):
        end += 1
    while end - start < _LENGTH and start and _DRAWN.fullmatch(one[start - 1]):
        start -= 1
    while exact and _LONG.fullmatch(one[start:end]) and end < len(one) and _DRAWN.fullmatch(one[end]):
        end += 1  # the last character of a long one is one of a few
    parts = one[start:end], other[start:end]
    if end - start < _LENGTH or all(part.isdigit() for part in parts):
        return None
    if not (all(map(_DRAWN.fullmatch, parts)) or all(map(_LONG.fullmatch, parts))):
        return None
    return _Part(start, end, exact)


def look_drawn(one: str, other: str) -> bool:
    """Do these two differ as names do of which a part is drawn at random?"""
    return _drawn_part(one, other) is not None


@dataclass
class DrawnNames:
    """Learnt from clean executions, stop by stop. ``of_this_run``: takes out of texts what belongs to the run alone."""

    of_this_run: Callable[[str], str] = str
    _patterns: dict[str, tuple[re.Pattern[str], str]] = field(default_factory=dict)

    def first_difference(self, ours: Sequence[Stop], theirs: Sequence[Stop]) -> int | None:
        """Place of the first stop that is another one; None where all are the same, but for names that are drawn.

        A name is one and the same wherever it stands, and stands in one of the two executions only.
        """
        renamed: dict[str, str] = {}
        named = [{word for stop in stops for word in _WORD.findall(_text(stop))} for stops in (ours, theirs)]
        for number in range(max(len(ours), len(theirs))):
            if number >= min(len(ours), len(theirs)):
                return number
            one, two = ours[number], theirs[number]
            if one.identity != two.identity and (one.call != two.call or not self._renames(_text(one), _text(two), renamed, named)):
                return number
        return None

    def _renames(self, one: str, two: str, renamed: dict[str, str], named: Sequence[set[str]]) -> bool:
        ours, theirs = _WORD.split(one), _WORD.split(two)
        if ours[::2] != theirs[::2]:
            return False
        for word, other in zip(ours[1::2], theirs[1::2], strict=True):
            if without_varying(word) == without_varying(other):
                continue
            part = _drawn_part(word, other)
            if part is None or word in named[1] or other in named[0] or renamed.setdefault(word, other) != other:
                return False
            self._learn(word, part)
        return len(set(renamed.values())) == len(renamed)

    def _learn(self, word: str, part: _Part) -> None:
        before, after = word[: part.start], word[part.end :]
        letters = "[A-Za-z0-9_-]" if _LONG.fullmatch(word[part.start : part.end]) else "[A-Za-z0-9_]"
        pattern = rf"(?<![\w-]){re.escape(before)}{letters}{{{part.end - part.start}}}{re.escape(after)}(?![\w-])"
        self._patterns[pattern] = re.compile(pattern), f"{before}<name>{after}"

    def plain(self, text: str) -> str:
        """The same text, whatever was drawn, in every run."""
        text = self.of_this_run(text)
        for pattern, instead in self._patterns.values():
            text = pattern.sub(lambda found, instead=instead: instead, text)  # type: ignore[misc]
        return text

    def among(self, texts: Iterable[str]) -> bool:
        """Does one of these hold such a name?"""
        return any(pattern.search(text) for text in texts for pattern, _ in self._patterns.values())


class TemporaryNames:
    """Keys of rows, mostly paths, of which `tempfile` has drawn a part, or `secrets` a longer one."""

    def __init__(self) -> None:
        self._around: dict[tuple[str, str], bool] = {}  # what stands before and after -> is it certain where that ends?
        self._long: dict[tuple[str, str], int] = {}  # likewise, of longer ones -> how long the whole is

    def learn(self, one: str, other: str) -> tuple[str, str] | None:
        """What stands before and after the part, of two names of the same thing; None where they are no such names."""
        part = _drawn_part(one, other)
        if part is None:
            return None
        drawn = one[part.start : part.end], other[part.start : part.end]
        around = one[: part.start], one[part.end :]
        if any(around) and all(map(_LONG.fullmatch, drawn)):
            return self._learn_long(around, len(one))
        if not any(around) or not all(map(_TEMPORARY.fullmatch, drawn)) or all(map(_HEX.fullmatch, drawn)):
            return None
        known = next((other for other in self._around if _overlap(around, other)), None)
        if known is None or (part.exact and not self._around[known]):
            self._around.pop(known or around, None)
            self._around[around] = part.exact
            return around
        return known

    def _learn_long(self, around: tuple[str, str], length: int) -> tuple[str, str]:
        """What stands around it; less than that where a character beside the drawn part was equal by accident."""
        before, after = around
        for known in [one for one, whole in self._long.items() if whole == length and _within(one, around)]:
            before, after = min(before, known[0], key=len), min(after, known[1], key=len)
            del self._long[known]
        self._long[before, after] = length
        return before, after

    def holds(self, text: str) -> bool:
        """Is it one of `tempfile`'s?"""
        return any(
            text.startswith(before) and text.endswith(after) and _TEMPORARY.fullmatch(text[len(before) : len(text) - len(after)])
            for before, after in self._around
        )

    def pattern(self) -> str:
        """Of what is one token in such a name: the drawn part, with the letters and digits that touch it."""
        found = []
        for before, after in sorted(self._around):
            head, tail = _ALNUM_BEHIND.search(before), _ALNUM_AHEAD.match(after)
            assert head is not None and tail is not None
            outside = before[: head.start()], after[tail.end() :]
            begins = f"(?<={re.escape(outside[0])})" if outside[0] else "(?<![A-Za-z0-9_])"
            ends = f"(?={re.escape(outside[1])})" if outside[1] else "(?![A-Za-z0-9_])"
            found.append(f"{begins}{re.escape(head[0])}[a-z0-9_]{{8}}{re.escape(tail[0])}{ends}")
        for (before, after), length in sorted(self._long.items()):
            drawn = f"[A-Za-z0-9_-]{{{length - len(before) - len(after)}}}"
            found.append(
                f"(?<={re.escape(before)}){drawn}(?={re.escape(after)}(?![A-Za-z0-9_-]))"
                if before
                else f"(?<![\\w-]){drawn}(?={re.escape(after)})"
            )
        return "|".join(found)


def _within(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Does the one's beginning begin as the other's does, and its end end so, as far as both go?"""
    return (one[0].startswith(other[0]) or other[0].startswith(one[0])) and (one[1].endswith(other[1]) or other[1].endswith(one[1]))


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """The same name, of which a character beside the drawn part was equal by accident?"""
    return sum(map(len, one)) == sum(map(len, other)) and all(
        a.startswith(b) or b.startswith(a) if front else a.endswith(b) or b.endswith(a)
        for front, a, b in ((True, one[0], other[0]), (False, one[1], other[1]))
    )


def _text(stop: Stop) -> str:
    return f"{stop.target}: {stop.words}"
