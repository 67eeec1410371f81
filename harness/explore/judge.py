"""Is a world that nobody will change any more one that is allowed?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.explore.differences import brief
from harness.explore.drawn_names import look_drawn
from harness.explore.early import Early
from harness.explore.fences import Fences
from harness.explore.judged import is_new_schema
from harness.explore.ordering import out_of_order
from harness.explore.prolonged import Prolonged
from harness.model.exploration import Outcome
from harness.model.masks import template
from harness.ports.exploring import KnowsLives, KnowsOrder, KnowsTemporary, Node, Surroundings

__all__ = ["HELD", "MAY_FAIL", "Fault", "Judge", "looks_held"]

#: Allowed, since its caller is told.
MAY_FAIL = "whether the call is done: after a crash it may end as failed, with nothing done"

#: A pattern of what somebody holds. No block, clock, release or "please".
HELD = r"(?<![^a-z]b)(?<!nb)(?<![^a-z]c)lock|(?<!re)(?<!p)lease|mutex|semaphore|marker"
_HOLDS = re.compile(
    HELD + r"|(?:^|[^a-z])tmp|(?:^|[^a-z])(?:temp|part|partial|wip|pid|running|busy)(?:[^a-z]|$)",
    re.IGNORECASE,
)
#: Collections of what was sent, which nobody holds.
_SENT = (".requests", ".mails", ".messages")
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
    of the effects may be missing, once a delivery was killed: each row is as before, as after, or as at some moment between.
    ``between``: what clean executions left at their stops; ``goals``: the ends of all of them.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        before: Node,
        goal: Node,
        *,
        at_most_once: bool,
        between: Iterable[Node] = (),
        goals: Iterable[Node] = (),
        runs: Iterable[Iterable[Node]] = (),
    ) -> None:
        self._surroundings, self._before, self._goal = surroundings, before, goal
        self._at_most_once, self._fences = at_most_once, Fences()
        self._lives = surroundings.lives if isinstance(surroundings, KnowsLives) else _none
        self._between = tuple(between)
        self._early = Early(before, runs)
        self._prolonged = Prolonged(surroundings, before, (goal, *goals), self._between)
        self._knows_order = surroundings if isinstance(surroundings, KnowsOrder) else None
        self._order = self._knows_order.orders(goal) if self._knows_order else {}
        self._may_fail = False
        self._disordered = {name for name in self._order if not goal.world.collections()[name].key}  # no key of a world has their order
        self._staged = _staged(self._between, (before, goal))
        passing = {_kind(place) for node in self._between for place in self._lives(node)}
        self._passing = passing - {_kind(place) for place in self._lives(goal)}

    def judge(self, node: Node, ends: Collection[Outcome], *, lost: bool, killed: bool, excused: bool = False) -> Fault | None:
        """Of a node without pending messages. ``ends``: of all its calls; ``lost``: an acknowledged message died with its worker;
        ``excused``: one did of which that may be."""
        undone = self._from_before(node)
        done = self._from_goal(node)
        less = (self._at_most_once and killed) or (excused and not lost)
        if not done:
            self._note_order(node)
            told = bool(ends) and all(end not in _DONE for end in ends)
            return Fault("STATE", (), "done") if told and undone and not lost else self._lives_otherwise(node, shorter=not less)
        if less:
            extra = self._never_between(node, [one for one in done if not _missing(one)])
            return Fault("EFFECT", brief(extra), "done") if extra else self._lives_otherwise(node, shorter=False)
        if lost:
            return Fault("LOST", brief(done), "done")
        if any(end in _DONE for end in ends):
            return Fault(self._leak(done) or "EFFECT", brief(done), "done")
        if not undone:
            in_vain = bool(ends) and all(end is Outcome.REJECTED for end in ends)  # nobody is told of that: there is no result
            self._may_fail |= killed and not in_vain
            return Fault("LOST", brief(done), "done") if in_vain and killed else None
        return Fault(self._leak(undone) or "PARTIAL", brief(undone), "undone")

    def excludes(self) -> tuple[str, ...]:
        """In words: what a world that is allowed has in another way than the right one."""
        disordered = (f"in which order the rows of {name} came: after a crash it may be another" for name in sorted(self._disordered))
        return (*disordered, *([MAY_FAIL] if self._may_fail else []), *self._fences.excludes())

    def _note_order(self, node: Node) -> None:
        if self._knows_order and self._order and not self._order.keys() <= self._disordered:
            self._disordered |= out_of_order(self._order, self._knows_order.orders(node))

    def _lives_otherwise(self, node: Node, *, shorter: bool) -> Fault | None:
        found = self._prolonged.of(node, shorter=shorter)
        return Fault("EFFECT", brief(found), "done") if found else None

    def early(self, node: Node) -> Fault | None:
        """Of what another delivery has published: is it due long before it would be in a clean execution?"""
        found = self._early.of(node)
        return Fault("EFFECT", brief(found), "done") if found else None

    def _never_between(self, node: Node, differences: Sequence[Mapping[str, Any]]) -> Differences:
        """Those of rows that no clean execution had like that at any of its stops: of two equal requests one may be missing."""
        left = {_row_of(one): one for one in differences}
        for moment in self._between if left else ():
            unlike = {_row_of(one) for one in self._surroundings.differences(moment, node, self._before, whole=True)}
            left = {row: one for row, one in left.items() if row in unlike}
        return tuple(left.values())

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
        told = tuple(one for one in self._fences.without(found) if not self._passes(one, expected, node))
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
        return looks_held(difference) or self._is_temporary(difference.get("row")) or self._is_staged(difference)

    def _is_staged(self, difference: Mapping[str, Any]) -> bool:
        """A file under a name that is drawn, as clean executions make one and take it away, or rename it."""
        known = self._staged.get(str(difference.get("collection")), ())
        return any(look_drawn(one, _place(difference)[1]) for one in known)

    def _is_temporary(self, row: Any) -> bool:
        known = self._surroundings
        return isinstance(known, KnowsTemporary) and isinstance(row, Mapping) and any(known.is_temporary(str(key)) for key in row.values())


def _staged(between: Iterable[Node], lasting: Iterable[Node]) -> Mapping[str, Collection[str]]:
    """Collection of files -> paths that were there only in between."""
    kept = [node.world.collections() for node in lasting]
    found: dict[str, set[str]] = defaultdict(set)
    for node in between:
        for name, collection in node.world.collections().items():
            if name.endswith(".files"):
                there = {str(row.get("path")) for one in kept if name in one for row in one[name].rows}
                found[name] |= {str(row.get("path")) for row in collection.rows} - there
    return found


def _none(node: Node) -> Mapping[tuple[str, str], float]:
    return {}


def _place(difference: Mapping[str, Any]) -> tuple[str, str]:
    """(collection, key); '' for a row that has none of its own."""
    row = difference.get("row")
    key = next(iter(row.values())) if isinstance(row, Mapping) and len(row) == 1 else row if isinstance(row, str) else ""
    return str(difference.get("collection")), str(key)


def _kind(place: tuple[str, str]) -> tuple[str, str]:
    return place[0], template(place[1])


def _row_of(difference: Mapping[str, Any]) -> str:
    return repr((difference.get("collection"), difference.get("row")))


def _missing(difference: Mapping[str, Any]) -> bool:
    """Is it an effect that is not there, rather than one too many or another?"""
    return bool(difference.get("after") == difference.get("before"))


def looks_held(difference: Mapping[str, Any]) -> bool:
    """A lock, a lease, a marker or a temporary file, by its name."""
    collection = str(difference.get("collection", ""))
    return not collection.endswith(_SENT) and bool(_HOLDS.search(f"{collection} {difference.get('row', '')}"))
