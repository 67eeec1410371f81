"""Surroundings for a task whose clock cannot be set: what expires in a store does so when a retry is due, but no clock is ahead."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.model.exploration import Message
from harness.ports.exploring import Node, Surroundings

__all__ = ["AtOnce"]


class AtOnce:
    """See `Surroundings`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._at: float | None = None  # what the stores take the time for, since the last `restore`

    def reset(self) -> float:
        """See `Surroundings`."""
        self._surroundings.reset()
        self._at = None
        return 0.0

    def settle(self) -> None:
        """See `Surroundings`."""
        self._surroundings.settle()

    def touched(self, kind: str = "") -> Hashable:
        """See `Surroundings`."""
        return self._surroundings.touched(kind)

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        """See `Surroundings`."""
        node = self._surroundings.look(0.0, kind)
        return replace(node, later=0.0, at=node.at if self._at is None else self._at)

    def again(self, node: Node) -> Node:
        """See `Surroundings`."""
        return self._surroundings.again(node)

    def restore(self, node: Node, wait: float = 0.0) -> float:
        """See `Surroundings`; but for the stores nothing is ``wait`` seconds later."""
        self._surroundings.restore(node, wait)
        self._at = node.at + wait
        return 0.0

    def take(self, node: Node, message: int) -> None:
        """See `Surroundings`."""
        self._surroundings.take(node, message)

    def put_back(self, message: Message) -> None:
        """See `Surroundings`."""
        self._surroundings.put_back(message)

    def learn(self, nodes: Sequence[Node]) -> None:
        """See `Surroundings`."""
        self._surroundings.learn(nodes)

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        """See `Surroundings`."""
        return self._surroundings.differences(expected, found, before, whole=whole)
