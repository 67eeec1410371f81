"""Is a world that nobody will change any more one that is allowed?"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model.exploration import Outcome
from harness.ports.exploring import Node, Surroundings

__all__ = ["Fault", "Judge", "looks_held"]

_HOLDS = re.compile(
    r"lock|lease|mutex|semaphore|marker|(?:^|[^a-z])tmp|(?:^|[^a-z])(?:temp|part|partial|wip|pid|running|busy)(?:[^a-z]|$)", re.IGNORECASE
)
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
    of the effects may be missing, once a delivery was killed.
    """

    def __init__(self, surroundings: Surroundings, before: Node, goal: Node, *, at_most_once: bool) -> None:
        self._surroundings, self._before, self._goal = surroundings, before, goal
        self._at_most_once = at_most_once

    def judge(self, node: Node, ends: Collection[Outcome], *, lost: bool, killed: bool) -> Fault | None:
        """Of a node without pending messages. ``ends``: of all its calls; ``lost``: an acknowledged message died with its worker."""
        undone = self._from_before(node)
        done = self._from_goal(node)
        if not done:
            told = bool(ends) and all(end not in _DONE for end in ends)
            return Fault("STATE", (), "done") if told and undone and not lost else None
        if self._at_most_once and killed:
            extra = tuple(one for one in done if not _missing(one))
            return Fault("EFFECT", extra, "done") if extra else None
        if lost:
            return Fault("LOST", done, "done")
        if any(end in _DONE for end in ends):
            return Fault(_leak(done) or "EFFECT", done, "done")
        if not undone:
            return None
        return Fault(_leak(undone) or "PARTIAL", undone, "undone")

    def endless(self, node: Node) -> Fault:
        """Of one that does not come to an end: what keeps it from that is there beside the first world, or the right one."""
        undone, done = self._from_before(node), self._from_goal(node)
        word = _leak(undone) or _leak(done)
        return Fault(word or "STUCK", (undone if _leak(undone) else done), "undone" if _leak(undone) else "done")

    def _from_goal(self, node: Node) -> Differences:
        return self._unless_it_passes(self._goal, node)

    def _from_before(self, node: Node) -> Differences:
        return self._unless_it_passes(self._before, node)

    def _unless_it_passes(self, expected: Node, node: Node) -> Differences:
        """What expires by itself is no difference: both are compared again as they will be then."""
        if node.key == expected.key:
            return ()
        found = self._surroundings.differences(expected, node, self._before)
        waits = [*node.deadlines, *expected.deadlines]
        if not found or not waits:
            return found
        later = max(waits) + 1
        return self._surroundings.differences(self._aged(expected, later), self._aged(node, later), self._before) and found

    def _aged(self, node: Node, wait: float) -> Node:
        return self._surroundings.look(self._surroundings.restore(node, wait))


def _missing(difference: Mapping[str, Any]) -> bool:
    """Is it an effect that is not there, rather than one too many or another?"""
    return bool(difference.get("after") == difference.get("before"))


def _leak(differences: Sequence[Mapping[str, Any]]) -> str:
    """LEAK where all that differs is something left over that looks like what somebody holds or has half written."""
    return "LEAK" if differences and all(_left_over(one) for one in differences) else ""


def _left_over(difference: Mapping[str, Any]) -> bool:
    empty = (None, 0, "")
    return difference.get("expected") in empty and difference.get("after") not in empty and looks_held(difference)


def looks_held(difference: Mapping[str, Any]) -> bool:
    """A lock, a lease, a marker or a temporary file, by its name."""
    return bool(_HOLDS.search(f"{difference.get('collection', '')} {difference.get('row', '')}"))
