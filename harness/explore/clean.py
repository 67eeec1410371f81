"""Executions without a crash: what the task does by itself, whether it does the same again, and what varies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.explore.drawn_names import DrawnNames
from harness.explore.graph import DAY, MONTH, YEAR
from harness.explore.queues import lasting
from harness.explore.rules import Limits
from harness.explore.watching import watch
from harness.model.exploration import Ending, Outcome, Stop
from harness.model.undeclared import undeclared_services
from harness.ports.exploring import Forgets, ImportsAnew, Job, Mechanism, NamesWorlds, Node, SkipsNumbers, Surroundings

__all__ = ["Clean", "Learnt", "NoSuccess", "execute", "learn"]

_MOST_DELIVERIES = 200
#: So often a task may ask for its message again (Reject, requeue) until something is ready.
_MOST_REQUEUES = 10
#: The second execution is a little later than the first, so that the second of the clock is another.
_LATER = 2.0
#: So many numbers others draw meanwhile: what stands then where a number of a sequence is used is another one.
_SKIPPED = 1000


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
    by_season: float = 0.0  # seconds after which they differ by the week, the month or the year; 0.0 where they do not
    names: DrawnNames = field(default_factory=DrawnNames)


def execute(
    mechanism: Mechanism,
    surroundings: Surroundings,
    first: Node,
    limits: Limits,
    *,
    wait: float = 0.0,
    lines: bool = False,
    anew: bool = False,
    skip: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Clean:
    """From the node in which the message was published, ``wait`` seconds later. ScenarioError where it does not succeed.

    ``anew``: in a process that has imported the app for itself. ``skip``: see `SkipsNumbers`.
    """
    endings: list[Ending] = []
    seen: dict[tuple[int, int], Node] = {}
    node, original = first, first.pending[0].id
    told: Outcome | None = None
    asked_again = 0
    while node.pending:
        number = min(range(len(node.pending)), key=lambda n: (node.pending[n].eta, n))
        message = node.pending[number]
        later = surroundings.restore(node, max(message.eta, wait))
        if skip and not endings and isinstance(surroundings, SkipsNumbers):
            surroundings.skip_numbers(skip)
        surroundings.take(node, number)
        keep = partial(_keep, seen, len(endings))
        watched = watch(
            mechanism, surroundings, Job(lasting(message, wait), later=later, lines=lines, anew=anew), keep, stops=limits.stops, check=check
        )
        ending = watched.ending
        endings.append(ending)
        if message.id == original:
            told = ending.outcome
        if not ending.returned:
            _refuse(ending, message.task)
        if len(endings) >= _MOST_DELIVERIES:
            raise ScenarioError(
                f"{message.task} goes on after {_MOST_DELIVERIES} deliveries without any crash: there is no end to compare with"
            )
        node, wait = watched.node, 0.0
        if ending.outcome is Outcome.REJECTED and ending.requeue:
            asked_again += 1
            if asked_again > _MOST_REQUEUES:
                what = f"{message.task} rejects its message and asks for it again without any crash, {asked_again} times on end"
                raise ScenarioError(f"{what}: it would go on for ever")
            surroundings.put_back(replace(message, redelivered=True))
            node = surroundings.look(node.later)
        seen[len(endings) - 1, len(ending.stops) + 1] = node  # what it has published is seen in no stop where that was its last effect
    if told not in (Outcome.SUCCESS, Outcome.IGNORED) and not endings[-1].returned:
        raise NoSuccess(
            f"a single clean execution of {first.pending[0].task} ends with {told.value if told else 'nothing'}, not with success"
        )
    if isinstance(surroundings, Forgets) and not any(ending.doubts for ending in endings):
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


def learn(
    mechanism: Mechanism, surroundings: Surroundings, first: Node, limits: Limits, *, check: Callable[[], None] = lambda: None
) -> Learnt:
    """Three clean executions from the same node, one with lines, one a day later, and one where the app was imported anew; and what
    differs between their ends.
    """

    def once(wait: float, *, lines: bool = False, anew: bool = False, skip: int = 0) -> Clean:
        return execute(mechanism, surroundings, first, limits, wait=wait, lines=lines, anew=anew, skip=skip, check=check)

    runs = [once(0.0), once(_LATER, lines=True), once(DAY)]
    names = DrawnNames(surroundings.plain) if isinstance(surroundings, NamesWorlds) else DrawnNames()
    if not _alike(runs[0], runs[1], names) and _alike(runs[1], runs[2], names):
        runs[0] = once(0.0)  # servers keep something of the very first, such as a script: it is there from now on
    different = _difference(runs, names)
    _learn_from(surroundings, runs[:2])
    by_day = not different and _differ_by_day(surroundings.again, runs)
    _learn_from(surroundings, runs)
    by_season = 0.0
    if not different and isinstance(surroundings, SkipsNumbers) and (skipped := surroundings.skip_numbers(_SKIPPED)):
        different = _learn_numbers(once(0.0, skip=_SKIPPED), surroundings, skipped, runs, names)
    if not different and isinstance(mechanism, ImportsAnew) and mechanism.imports_anew:
        different = _learn_anew(once(0.0, anew=True), surroundings, runs, names)
    if not different:
        by_season, different = _differs_by_season(once, surroundings, first, runs, names)
    before, goal = surroundings.again(first), surroundings.again(runs[0].end)
    changes = bool(surroundings.differences(before, goal, before))
    if surroundings.again(runs[1].end).key != goal.key and not different:
        different = "two clean executions end in worlds that differ in more than values"
    return Learnt(tuple(runs), before, goal, different, by_day, changes, by_season, names)


def _learn_from(surroundings: Surroundings, runs: Sequence[Clean]) -> None:
    """What the same stop of each saw, and their ends."""
    for where in runs[0].seen:
        same = [one.seen[where] for one in runs if where in one.seen]
        if len(same) == len(runs):
            surroundings.learn(same)
    surroundings.learn([one.end for one in runs])


def _learn_numbers(other: Clean, surroundings: Surroundings, skipped: Sequence[int], runs: Sequence[Clean], names: DrawnNames) -> str:
    """What a sequence gives varies, wherever that is used. '' or how it differs otherwise. ``skipped``: see `SkipsNumbers`."""
    assert isinstance(surroundings, SkipsNumbers)
    called = "one with other numbers of its sequences"
    if not _alike(runs[0], other, names):
        return _first_difference(runs, other, called, names)
    for where in runs[0].seen:
        if where in other.seen:
            surroundings.learn([runs[0].seen[where], other.seen[where]], skipped)
    surroundings.learn([runs[0].end, other.end], skipped)
    goal = surroundings.again(runs[0].end)
    if surroundings.differences(goal, surroundings.again(other.end), goal):
        return f"a clean execution, {called}, ends in a world that differs in more than values"
    return ""


def _learn_anew(anew: Clean, surroundings: Surroundings, runs: list[Clean], names: DrawnNames) -> str:
    """What differs with the import varies. '' or how it differs otherwise; not by the order of what it does, which may be that of a set."""
    if not _alike(runs[0], anew, names):
        ours, others = (Counter(names.plain(stop.identity) for stop in clean.stops) for clean in (runs[0], anew))
        if ours != others:
            return _first_difference(runs, anew, "one after another import of the app", names)
        anew = replace(anew, seen={})
    runs.append(anew)
    _learn_from(surroundings, runs)
    goal = surroundings.again(runs[0].end)
    if surroundings.differences(goal, surroundings.again(anew.end), goal):
        return "a clean execution after another import of the app ends in a world that differs in more than values"
    return ""


def _differ_by_day(again: Callable[[Node], Node], runs: Sequence[Clean]) -> bool:
    """Does anything differ in the one that was a day later which does not differ between the others?"""
    shared = [where for where in runs[0].seen if where in runs[2].seen]
    pairs = [(runs[0].end, runs[2].end), *((runs[0].seen[where], runs[2].seen[where]) for where in shared)]
    return any(again(one).key != again(other).key for one, other in pairs)


def _differs_by_season(
    once: Callable[[float], Clean], surroundings: Surroundings, first: Node, runs: list[Clean], names: DrawnNames
) -> tuple[float, str]:
    """After how many seconds one writes anything else, which counts as varying then (0.0: it does not); and how they differ otherwise.

    A year, or where something that it needs is over by then, a month.
    """
    for wait, called in ((YEAR, "one more than a year later"), (MONTH, "one a month later")):
        try:
            later = once(wait)
        except ScenarioError:
            continue
        if not _alike(runs[0], later, names):
            if first.deadlines:
                continue
            return 0.0, _first_difference(runs, later, called, names)
        shared = [where for where in runs[0].seen if where in later.seen]
        pairs = [(runs[0].end, later.end), *((runs[0].seen[where], later.seen[where]) for where in shared)]
        if any(surroundings.differences(surroundings.again(one), surroundings.again(two), runs[0].end) for one, two in pairs):
            runs.append(later)
            _learn_from(surroundings, runs)
            return wait, ""
        break
    return 0.0, ""


def _alike(one: Clean, other: Clean, names: DrawnNames) -> bool:
    return names.first_difference(one.stops, other.stops) is None


def _difference(runs: list[Clean], names: DrawnNames) -> str:
    """'' where all stopped at the same places; else the first that differs, with its line."""
    return _first_difference(runs, runs[1], "the second", names) or _first_difference(runs, runs[2], "one a day later", names)


def _first_difference(runs: Sequence[Clean], other: Clean, called: str, names: DrawnNames) -> str:
    one, two = runs[0].stops, other.stops
    number = names.first_difference(one, two)
    if number is None:
        return ""
    a, b = (stops[number] if number < len(stops) else None for stops in (one, two))
    words = [f"at {stop.words}" if stop else "at its end" for stop in (a, b)]
    with_lines = runs[1].stops
    placed = with_lines[number].place if number < len(with_lines) else None
    where = f" ({placed.file}:{placed.line})" if placed else ""
    return f"two clean executions differ at crash point {number + 1}{where}: the first stood {words[0]}, {called} {words[1]}"
