"""Is a world that nobody will change any more one that is allowed?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.explore.differences import brief
from harness.explore.judged import is_new_schema
from harness.model.exploration import Outcome
from harness.model.masks import template
from harness.ports.exploring import KnowsLives, KnowsTemporary, Node, Surroundings

__all__ = ["Fault", "Judge", "looks_held"]

_HOLDS = re.compile(
    r"lock|lease|mutex|semaphore|marker|(?:^|[^a-z])tmp|(?:^|[^a-z])(?:temp|part|partial|wip|pid|running|busy)(?:[^a-z]|$)", re.IGNORECASE
)
#: Beside these, what only says for a while that somebody is at work, or was.
_FOR_A_WHILE = re.compile(
    r"in[-_ ]?flight|in[-_ ]?progress|processing|claim|owner|leader|heartbeat|cool[-_ ]?down|back[-_ ]?off|throttl", re.IGNORECASE
)
#: Seconds by which what expires may seem to live longer than from the one look to the other.
_SLOW = 2.0
_EMPTY = (None, 0, "")
_DONE = (Outcome.SUCCESS, Outcome.IGNORED)

Differences = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a world, without how it came about."""

    word: str
    differences: Differences
    against: str  # what it should have been: "done", "undone"


class Judge:
    """Compares with what a clean execution leaves.

    ``goal``: its end, ``before``: the first world, both looked at after the surroundings had learnt what varies. ``at_most_once``: any part
    of the effects may be missing, once a delivery was killed. ``between``: what clean executions left at their stops.
    """

    def __init__(self, surroundings: Surroundings, before: Node, goal: Node, *, at_most_once: bool, between: Iterable[Node] = ()) -> None:
        self._surroundings, self._before, self._goal = surroundings, before, goal
        self._at_most_once = at_most_once
        self._lives = surroundings.lives if isinstance(surroundings, KnowsLives) else _none
        passing = {_kind(place) for node in between for place in self._lives(node)}
        self._passing = passing - {_kind(place) for place in self._lives(goal)}

    def judge(self, node: Node, ends: Collection[Outcome], *, lost: bool, killed: bool) -> Fault | None:
        """Of a node without pending messages. ``ends``: of all its calls; ``lost``: an acknowledged message died with its worker."""
        undone = self._from_before(node)
        done = self._from_goal(node)
        if not done:
            told = bool(ends) and all(end not in _DONE for end in ends)
            return Fault("STATE", (), "done") if told and undone and not lost else None
        if self._at_most_once and killed:
            extra = tuple(one for one in done if not _missing(one))
            return Fault("EFFECT", brief(extra), "done") if extra else None
        if lost:
            return Fault("LOST", brief(done), "done")
        if any(end in _DONE for end in ends):
            return Fault(self._leak(done) or "EFFECT", brief(done), "done")
        if not undone:
            return None
        return Fault(self._leak(undone) or "PARTIAL", brief(undone), "undone")

    def endless(self, node: Node) -> Fault:
        """Of one that does not come to an end: what keeps it from that is there beside the first world, or the right one."""
        undone, done = self._from_before(node), self._from_goal(node)
        word = self._leak(undone) or self._leak(done)
        return Fault(word or "STUCK", brief(undone if self._leak(undone) else done), "undone" if self._leak(undone) else "done")

    def _from_goal(self, node: Node) -> Differences:
        return self._unless_it_passes(self._goal, node)

    def _from_before(self, node: Node) -> Differences:
        """What was made ready for the work, and stays, is no part of it."""
        return tuple(one for one in self._unless_it_passes(self._before, node) if not is_new_schema(one))

    def _unless_it_passes(self, expected: Node, node: Node) -> Differences:
        """Without what has expired since, and what is held for a while: another value, or what was never made, differs however short
        it would have been there."""
        if node.key == expected.key:
            return ()
        found = self._surroundings.differences(expected, node, self._before, whole=True)
        told = tuple(one for one in found if not self._passes(one, expected, node))
        left = self._lives(expected).values()
        if not told or not left or node.at - expected.at < max(left) - _SLOW:
            return told
        # Nothing that it would have held is there any more. Without that, are they the same?
        later = max([*left, *self._lives(node).values()]) + 1
        aged = self._surroundings.differences(self._aged(expected, later), self._aged(node, later), self._before, whole=True)
        return told if aged else ()

    def _aged(self, node: Node, wait: float) -> Node:
        return self._surroundings.look(self._surroundings.restore(node, wait))

    def _passes(self, difference: Mapping[str, Any], expected: Node, node: Node) -> bool:
        """Will it be none when what expires has expired, or was it one no more than a clean execution's would be by now?"""
        place = _place(difference)
        if difference.get("expected") in _EMPTY:
            held = looks_held(difference) or _FOR_A_WHILE.search(place[1]) or self._is_temporary(difference.get("row"))
            return place in self._lives(node) and bool(held or _kind(place) in self._passing)
        # Sooner or later than that each world was also delivered at once.
        made = ((world, self._lives(world).get(place)) for world in (expected, self._before))
        return any(left is not None and node.at - world.at >= left - _SLOW for world, left in made)

    def _leak(self, differences: Sequence[Mapping[str, Any]]) -> str:
        """LEAK where all that differs is something left over that looks like what somebody holds or has half written."""
        return "LEAK" if differences and all(self._left_over(one) for one in differences) else ""

    def _left_over(self, difference: Mapping[str, Any]) -> bool:
        if difference.get("expected") not in _EMPTY or difference.get("after") in _EMPTY:
            return False
        return looks_held(difference) or self._is_temporary(difference.get("row"))

    def _is_temporary(self, row: Any) -> bool:
        known = self._surroundings
        return isinstance(known, KnowsTemporary) and isinstance(row, Mapping) and any(known.is_temporary(str(key)) for key in row.values())


def _none(node: Node) -> Mapping[tuple[str, str], float]:
    return {}


def _place(difference: Mapping[str, Any]) -> tuple[str, str]:
    """(collection, key); '' for a row that has none of its own."""
    row = difference.get("row")
    key = next(iter(row.values())) if isinstance(row, Mapping) and len(row) == 1 else row if isinstance(row, str) else ""
    return str(difference.get("collection")), str(key)


def _kind(place: tuple[str, str]) -> tuple[str, str]:
    return place[0], template(place[1])


def _missing(difference: Mapping[str, Any]) -> bool:
    """Is it an effect that is not there, rather than one too many or another?"""
    return bool(difference.get("after") == difference.get("before"))


def looks_held(difference: Mapping[str, Any]) -> bool:
    """A lock, a lease, a marker or a temporary file, by its name."""
    return bool(_HOLDS.search(f"{difference.get('collection', '')} {difference.get('row', '')}"))
