"""Worlds that count as one, held side by side by other means than their keys: a key that is too coarse would hide what a crash leaves.

What is compared is crude, and shares nothing with how keys are made: how many rows each collection has, and which words stand in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence

from harness.explore.canonical import digest
from harness.explore.confirm import Contradiction
from harness.model.world import Collection
from harness.ports.exploring import Node

__all__ = ["Merging"]

_TOKEN = re.compile(r"[A-Za-z0-9]+")
_LONGEST = 4096
_REMEMBERED = 2000


class Merging:
    """``alike``: worlds that clean executions reached by equal paths; where these differ, anything may stand."""

    def __init__(self, alike: Sequence[Sequence[Node]]) -> None:
        self._varying: dict[str, set[str]] = {}
        self._seen: dict[Hashable, str] = {}
        self._told: dict[int, tuple[Collection, str]] = {}  # by identity: most worlds share most of what they are made of
        for nodes in alike:
            for other in nodes[1:]:
                self._learn(nodes[0], other)

    def _learn(self, one: Node, other: Node) -> None:
        theirs = other.world.collections()
        for name, collection in one.world.collections().items():
            if name in theirs and collection is not theirs[name]:
                columns = {column for row in collection.rows for column in row}
                differ = {column for column in columns if _values(collection, column) != _values(theirs[name], column)}
                self._varying.setdefault(name, set()).update(differ)

    def check(self, node: Node) -> None:
        """Contradiction where a world that counts as this one held something else."""
        found = self._outline(node)
        if self._seen.setdefault(node.key, found) != found:
            raise Contradiction(
                "the explorer contradicts itself, so it says nothing about the task: it took two worlds for one that differ in their rows",
                hint="this is an error of the harness, not of the task",
            )

    def _outline(self, node: Node) -> str:
        told = []
        for name, collection in sorted(node.world.collections().items()):
            known = self._told.get(id(collection))
            if known is None or known[0] is not collection:
                if len(self._told) > _REMEMBERED:
                    self._told.clear()
                known = self._told[id(collection)] = (collection, digest(self._words(name, collection)))
            told.append((name, known[1]))
        return digest(told)

    def _words(self, name: str, collection: Collection) -> list[str]:
        aside = {*collection.surrogate, *collection.references, *self._varying.get(name, ())}
        return sorted(json.dumps([[c, _text(row[c])] for c in sorted(row) if c not in aside]) for row in collection.rows)


def _values(collection: Collection, column: str) -> list[str]:
    """Whole, not their words: of random ids only some have parts without a digit."""
    return sorted(json.dumps(row.get(column), sort_keys=True, default=str) for row in collection.rows)


def _text(value: object) -> str:
    """Its words. What has digits in it may be an id or a time, and numbers may be either."""
    if value is None or isinstance(value, (int, float)):
        return "" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return " ".join(token for token in _TOKEN.findall(text[:_LONGEST]) if token.isalpha())
