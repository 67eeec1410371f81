"""Signatures and other random texts in base64 for addresses. Two of its characters separate words, and stand at other places each time."""

from __future__ import annotations

import re

__all__ = ["Signatures"]

_LETTER = "[A-Za-z0-9_-]"
#: As itsdangerous signs: a moment of four bytes stands before it, which is written likewise.
_MOMENT = rf"(?<=\.){_LETTER}{{6}}\."
_ONE = re.compile(rf"(?<!{_LETTER})({_MOMENT})?({_LETTER}{{20,}})")
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])")


class Signatures:
    """Learnt by their lengths, from texts that should have been equal."""

    def __init__(self) -> None:
        self._known: set[tuple[bool, int]] = set()  # (a moment before it, how long)

    def learn(self, one: str, other: str) -> bool:
        """Are there any that were not known?"""
        found = {
            (bool(ours[1]), len(ours[2]))
            for ours, theirs in zip(_ONE.finditer(one), _ONE.finditer(other), strict=False)
            if ours.start() == theirs.start() and bool(ours[1]) == bool(theirs[1]) and _are_random(ours[2], theirs[2])
        }
        new = found - self._known
        self._known |= new
        return bool(new)

    def pattern(self) -> str:
        """Of what is one token; '' where there is none."""
        return "|".join(
            rf"(?<!{_LETTER}){_MOMENT if timed else ''}(?={_LETTER}*[a-z])(?={_LETTER}*[A-Z]){_LETTER}{{{length}}}(?!{_LETTER})"
            for timed, length in sorted(self._known, reverse=True)
        )


def _are_random(one: str, other: str) -> bool:
    """Of one length, of letters of both cases, and with hardly a character in common."""
    same = sum(a == b for a, b in zip(one, other, strict=False))
    return len(one) == len(other) and all(map(_MIXED.match, (one, other))) and same <= len(one) // 4
