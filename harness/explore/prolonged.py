"""Times to live beyond what clean executions leave: who prolongs one twice has it live for longer, though its value is the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.explore.deadlines import left_until
from harness.explore.reckoned import AT_ONCE, FURTHER, SLACK
from harness.model.quantities import format_duration
from harness.ports.exploring import KnowsLives, Node

__all__ = ["Prolonged"]


class Prolonged:
    """``first``: the world before; ``goals``: ends of clean executions; ``between``: what these left at their stops."""

    def __init__(self, surroundings: object, first: Node, goals: Iterable[Node], between: Iterable[Node]) -> None:
        self._knows = surroundings if isinstance(surroundings, KnowsLives) else None
        self._begun = first.at
        self._expected: dict[tuple[str, str], float] = {}
        self._most: dict[tuple[str, str], float] = {}
        ends = [self._lives(one) for one in goals]
        for place in ends[0] if ends else ():
            left = [one[place] for one in ends if place in one]
            highest = max([*left, *(one[place] for one in map(self._lives, between) if place in one)])
            self._expected[place] = ends[0][place]
            self._most[place] = highest + SLACK + FURTHER * (max(left) - min(left))

    def _lives(self, node: Node) -> Mapping[tuple[str, str], float]:
        return self._knows.lives(node) if self._knows else {}

    def of(self, node: Node) -> tuple[Mapping[str, Any], ...]:
        """As `Surroundings.differences` has them; such a collection lies beneath those that checks compare."""
        if not self._most or node.at - self._begun > AT_ONCE:
            return ()
        lives = self._lives(node)
        return tuple(
            {
                "collection": f"{place[0].partition('.')[0]}.~lives",
                "row": {"key": place[1]},
                "before": None,
                "after": {"left": _words(left)},
                "expected": {"left": _words(self._expected[place])},
            }
            for place, left in lives.items()
            if left > self._most.get(place, left)
        )


def _words(left: float) -> str:
    rounded = left_until(left)
    return rounded if isinstance(rounded, str) else format_duration(rounded)
