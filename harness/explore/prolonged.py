"""Times to live that clean executions do not leave: who prolongs one twice has it live for longer, though its value is the same; and who
leaves it as it was for a while before has it live for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.explore.deadlines import left_until
from harness.explore.reckoned import AT_ONCE, FURTHER, SLACK
from harness.model.quantities import format_duration
from harness.ports.exploring import KnowsLives, Node

__all__ = ["Prolonged"]

#: Seconds by which nobody minds that anything lives for less.
_WORTH = 10.0


class Prolonged:
    """``first``: the world before; ``goals``: ends of clean executions; ``between``: what these left at their stops."""

    def __init__(self, surroundings: object, first: Node, goals: Iterable[Node], between: Iterable[Node]) -> None:
        self._knows = surroundings if isinstance(surroundings, KnowsLives) else None
        self._begun = first.at
        self._expected: dict[tuple[str, str], float] = {}
        self._most: dict[tuple[str, str], float] = {}
        self._least: dict[tuple[str, str], float] = {}
        ends = [self._lives(one) for one in goals]
        for place in ends[0] if ends else ():
            left = [one[place] for one in ends if place in one]
            highest = max([*left, *(one[place] for one in map(self._lives, between) if place in one)])
            self._expected[place] = ends[0][place]
            slack = SLACK + FURTHER * (max(left) - min(left))
            self._most[place], self._least[place] = highest + slack, min(left) - slack - _WORTH

    def _lives(self, node: Node) -> Mapping[tuple[str, str], float]:
        return self._knows.lives(node) if self._knows else {}

    def of(self, node: Node, *, shorter: bool = True) -> tuple[Mapping[str, Any], ...]:
        """As `Surroundings.differences` has them; such a collection lies beneath those that checks compare.

        ``shorter``: also what lives for less. What was set once lives for less by the time that has gone by since, which is right.
        """
        passed = node.at - self._begun
        if not self._most or passed > AT_ONCE:
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
            if left > self._most.get(place, left) or (shorter and left + passed < self._least.get(place, 0.0))
        )


def _words(left: float) -> str:
    rounded = left_until(left)
    return rounded if isinstance(rounded, str) else format_duration(rounded)
