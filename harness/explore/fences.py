"""Fencing tokens, known by their name: numbers that each holder of a lease takes one further, and that mean nothing but who came later.

(M. Kleppmann, How to do distributed locking, 2016.) What a second delivery has taken further is no second effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.identities import without_tokens
from harness.explore.leaves import Path, leaves
from harness.model.masks import number, template

__all__ = ["Fences"]

#: fence, fencing_token, quay:fence:7, lease_epoch; but no "fences", "fence_price" or "offence", nor any other token.
_FENCE = re.compile(
    r"(?:.*[^a-z])?(?:fenc(?:e|ing)|(?:lease|lock|leader)[-_.:/ ]?(?:token|epoch|term|generation))"
    r"(?:[-_.:/ ]?(?:tokens?|no|nr|number|counter|seq|sequence|id|\d+))*",
    re.IGNORECASE,
)


class Fences:
    """Remembers which it has let pass."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def without(self, differences: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those in which more differs than a fence that is further than expected."""
        left = [one for one in differences if not self._further(one)]
        for fewer in [one for one in left if _counts(one) is not None]:
            other = next((one for one in left if self._instead(fewer, one)), None)
            if other is not None:
                left = [one for one in left if one is not fewer and one is not other]
        return left

    def _further(self, difference: Mapping[str, Any]) -> bool:
        """Of a row that is known by its key."""
        row, after, expected = difference.get("row"), difference.get("after"), difference.get("expected")
        if not (isinstance(row, Mapping) and isinstance(after, Mapping) and isinstance(expected, Mapping)):
            return False
        key = str(next(iter(row.values()))) if len(row) == 1 else ""
        return self._passes(str(difference.get("collection")), key, after, expected)

    def _instead(self, fewer: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
        """Of rows that are counted: is the one there so often as the other is not?"""
        rows, counts = (fewer.get("row"), more.get("row")), (_counts(fewer), _counts(more))
        if fewer.get("collection") != more.get("collection") or not all(isinstance(row, Mapping) for row in rows) or None in counts:
            return False
        missing, instead = counts
        return missing == -instead < 0 and self._passes(str(more["collection"]), "", more["row"], fewer["row"])  # type: ignore[operator]

    def _passes(self, collection: str, key: str, after: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
        found, wanted = dict(leaves(after)), dict(leaves(expected))
        differ = [path for path, value in found.items() if value != wanted.get(path)]
        if found.keys() != wanted.keys() or not all(_is_fence(path, key) and _is_further(found[path], wanted[path]) for path in differ):
            return False
        self._passed.update(f"{_named(path)} of {template(without_tokens(key)) or 'a row'} ({collection})" for path in differ)
        return bool(differ)

    def excludes(self) -> tuple[str, ...]:
        """In words."""
        return tuple(f"how far {what} has counted, which by its name is a fence" for what in sorted(self._passed))


def _is_fence(path: Path, key: str) -> bool:
    names = [part for part in path if isinstance(part, str) and part != "$"]
    return bool(names) and any(_FENCE.fullmatch(name) for name in ([key] if names == ["value"] else names[-1:]))


def _named(path: Path) -> str:
    return ".".join(part for part in path if isinstance(part, str) and part != "$")


def _is_further(found: Any, wanted: Any) -> bool:
    numbers = number(found), number(wanted)
    return not isinstance(found, bool) and None not in numbers and numbers[0] > numbers[1]  # type: ignore[operator]


def _counts(difference: Mapping[str, Any]) -> int | None:
    """How many more than expected; None of what is not counted."""
    after, expected = difference.get("after"), difference.get("expected")
    return after - expected if isinstance(after, int) and isinstance(expected, int) else None
