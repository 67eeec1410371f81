"""Executions without a crash: what the task does by itself, whether it does the same again, and what varies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.explore.graph import DAY, MONTH
from harness.explore.rules import Limits
from harness.explore.watching import watch
from harness.model.exploration import Ending, Outcome, Stop
from harness.model.undeclared import undeclared_services
from harness.ports.exploring import Forgets, Job, Mechanism, Node, Surroundings

__all__ = ["Clean", "Learnt", "NoSuccess", "execute", "learn"]

_MOST_DELIVERIES = 200
#: The second execution is a little later than the first, so that the second of the clock is another.
_LATER = 2.0


class NoSuccess(ScenarioError):
    """With these arguments the task fails although nothing goes wrong."""


@dataclass(frozen=True, slots=True)
class Clean:
    """One execution, with its retries: all deliveries until no message was pending."""

    endings: tuple[Ending, ...]
    end: Node
    seen: Mapping[tuple[int, int], Node]  # (delivery, stop) -> the world there, where it was another than before

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Of all its deliveries."""
        return tuple(stop for ending in self.endings for stop in ending.stops)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the clean executions showed. ``first``, ``goal``: the world before and after, with what varies known.

    ``different``: '' or how two executions differed, which makes the task's graph meaningless; ``by_day``: they differ by the day.
    """

    clean: tuple[Clean, ...]
    first: Node
    goal: Node
    different: str
    by_day: bool
    changes: bool
    by_month: bool = False  # they differ by the month, but not by the day


def execute(
    mechanism: Mechanism,
    surroundings: Surroundings,
    first: Node,
    limits: Limits,
    *,
    wait: float = 0.0,
    lines: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Clean:
    """From the node in which the message was published, ``wait`` seconds later. ScenarioError where it does not succeed."""
    endings: list[Ending] = []
    seen: dict[tuple[int, int], Node] = {}
    node, original = first, first.pending[0].id
    told: Outcome | None = None
    while node.pending:
        number = min(range(len(node.pending)), key=lambda n: (node.pending[n].eta, n))
        message = node.pending[number]
        later = surroundings.restore(node, max(message.eta, wait))
        surroundings.take(node, number)
        keep = partial(_keep, seen, len(endings))
        watched = watch(mechanism, surroundings, Job(message, later=later, lines=lines), keep, stops=limits.stops, check=check)
        ending = watched.ending
        endings.append(ending)
        if message.id == original:
            told = ending.outcome
        _refuse(ending, message.task)
        if len(endings) >= _MOST_DELIVERIES:
            raise ScenarioError(
                f"{message.task} goes on after {_MOST_DELIVERIES} deliveries without any crash: there is no end to compare with"
            )
        node, wait = watched.node, 0.0
    if told not in (Outcome.SUCCESS, Outcome.IGNORED):
        raise NoSuccess(
            f"a single clean execution of {first.pending[0].task} ends with {told.value if told else 'nothing'}, not with success"
        )
    if isinstance(surroundings, Forgets):
        surroundings.forget()
        there = surroundings.look(node.later)
        if there.key != node.key and (missed := surroundings.differences(there, node, first)):
            raise _unseen(missed)
    return Clean(tuple(endings), node, seen)


def _unseen(missed: Sequence[Mapping[str, Any]]) -> EnvironmentFault:
    what = f"a change of {missed[0].get('collection')} was not noticed when it came"
    return EnvironmentFault(what, hint="this is an error of the explorer, not of your task")


def _keep(seen: dict[tuple[int, int], Node], delivery: int, stop: Stop, node: Node, effect: Stop | None) -> None:
    seen[delivery, stop.number] = node


def _refuse(ending: Ending, task: str) -> None:
    """What is no execution that a crash could be compared with."""
    where = f"{ending.place.file}:{ending.place.line}" if ending.place else ""
    refused = "".join(f"\n{one}" for one in undeclared_services(ending.undeclared))
    hint = "" if refused else "explore needs a task that succeeds where nothing goes wrong"
    if ending.outcome is Outcome.FAILURE:
        what = f"{task} fails without any crash: {ending.error}{refused}"
        raise (ScenarioError if refused else NoSuccess)(f"{what}\n{ending.traceback}".rstrip(), where=where, hint=hint)
    if ending.outcome is Outcome.DIED:
        raise ScenarioError(f"{task} ends its own process without any crash of ours: {ending.error or 'no answer'}{refused}", where=where)
    if ending.outcome is Outcome.ENDLESS:
        last = f", the last before {ending.stops[-1].words}" if ending.stops else ""
        raise ScenarioError(f"{task} does not end by itself: {ending.error or 'no answer'}{last}{refused}", where=where)
    if ending.outcome is Outcome.REJECTED and ending.requeue:
        raise ScenarioError(f"{task} rejects its message and asks for it again without any crash: it would go on for ever", where=where)


def learn(
    mechanism: Mechanism, surroundings: Surroundings, first: Node, limits: Limits, *, check: Callable[[], None] = lambda: None
) -> Learnt:
    """Three clean executions from the same node, one with lines, one a day later; and what differs between their ends."""

    def once(wait: float, *, lines: bool = False) -> Clean:
        return execute(mechanism, surroundings, first, limits, wait=wait, lines=lines, check=check)

    runs = [once(0.0), once(_LATER, lines=True), once(DAY)]
    if not _alike(runs[0], runs[1]) and _alike(runs[1], runs[2]):
        runs[0] = once(0.0)  # servers keep something of the very first, such as a script: it is there from now on
    different = _difference(runs)
    _learn_from(surroundings, runs[:2])
    by_day = not different and _differ_by_day(surroundings.again, runs)
    _learn_from(surroundings, runs)
    by_month = not different and not by_day and _differs_by_month(once, surroundings, runs)
    before, goal = surroundings.again(first), surroundings.again(runs[0].end)
    changes = bool(surroundings.differences(before, goal, before))
    if surroundings.again(runs[1].end).key != goal.key and not different:
        different = "two clean executions end in worlds that differ in more than values"
    return Learnt(tuple(runs), before, goal, different, by_day, changes, by_month)


def _learn_from(surroundings: Surroundings, runs: Sequence[Clean]) -> None:
    """What the same stop of each saw, and their ends."""
    for where in runs[0].seen:
        same = [one.seen[where] for one in runs if where in one.seen]
        if len(same) == len(runs):
            surroundings.learn(same)
    surroundings.learn([one.end for one in runs])


def _differ_by_day(again: Callable[[Node], Node], runs: Sequence[Clean]) -> bool:
    """Does anything differ in the one that was a day later which does not differ between the others?"""
    shared = [where for where in runs[0].seen if where in runs[2].seen]
    pairs = [(runs[0].end, runs[2].end), *((runs[0].seen[where], runs[2].seen[where]) for where in shared)]
    return any(again(one).key != again(other).key for one, other in pairs)


def _differs_by_month(once: Callable[[float], Clean], surroundings: Surroundings, runs: list[Clean]) -> bool:
    """Does one that is a month later write anything else? What it writes then counts as varying."""
    try:
        later = once(MONTH)
    except ScenarioError:
        return False  # something that it needs is over by then
    if not _alike(runs[0], later):
        return False
    shared = [where for where in runs[0].seen if where in later.seen]
    pairs = [(runs[0].end, later.end), *((runs[0].seen[where], later.seen[where]) for where in shared)]
    if not any(surroundings.differences(surroundings.again(one), surroundings.again(two), runs[0].end) for one, two in pairs):
        return False
    _learn_from(surroundings, [*runs, later])
    return True


def _alike(one: Clean, other: Clean) -> bool:
    return [stop.identity for stop in one.stops] == [stop.identity for stop in other.stops]


def _difference(runs: list[Clean]) -> str:
    """'' where all stopped at the same places; else the first that differs, with its line."""
    names = ("the first", "the second", "one a day later")
    with_lines = runs[1].stops
    for other in (1, 2):
        one, two = runs[0].stops, runs[other].stops
        for number in range(max(len(one), len(two))):
            a, b = (stops[number] if number < len(stops) else None for stops in (one, two))
            if a is not None and b is not None and a.identity == b.identity:
                continue
            words = [f"at {stop.words}" if stop else "at its end" for stop in (a, b)]
            placed = with_lines[number].place if number < len(with_lines) else None
            where = f" ({placed.file}:{placed.line})" if placed else ""
            return f"two clean executions differ at crash point {number + 1}{where}: {names[0]} stood {words[0]}, {names[other]} {words[1]}"
    return ""
