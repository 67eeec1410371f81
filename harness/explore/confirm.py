"""The same path again, with true SIGKILLs and without images: nothing of the graph is believed before that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.errors import EnvironmentFault
from harness.explore.queues import lasting
from harness.explore.rules import Limits, RulesOf
from harness.explore.spots import Spot, Step
from harness.explore.watching import Effect, run, trace
from harness.model.exploration import Delivery, Ending, Message, Outcome, Stop
from harness.ports.exploring import Forgets, Job, Mechanism, Node, PassesTime, Surroundings

__all__ = ["Contradiction", "Replayed", "Replayer"]


#: A slow machine may come to stand on the other side of a step in which times are told.
_TRIES = 3
_SHIFTS = (-0.5, 0.5, -1.0, 1.0, -2.0, 2.0, -4.0)


class Contradiction(EnvironmentFault):
    """What the graph says and what true kills lead to differ: nothing may be said about the task then."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A path, walked. ``endings``: of each delivery, with the lines of its stops; ``worlds``: after each; ``struck``: its kills."""

    endings: tuple[Ending, ...]
    worlds: tuple[Node, ...]
    struck: tuple[Stop | None, ...]

    @property
    def end(self) -> Node:
        """The last world."""
        return self.worlds[-1]


class Replayer:
    """Walks paths. ``publish``: publishes the message anew, so many seconds ahead."""

    def __init__(
        self,
        mechanism: Mechanism,
        surroundings: Surroundings,
        rules: RulesOf,
        limits: Limits,
        publish: Callable[[float], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._mechanism, self._surroundings = mechanism, surroundings
        self._rules, self._limits = rules, limits
        self._publish, self._check = publish, check
        self.has_learnt = False  # that paths draw what no clean execution draws

    def walk(self, path: Sequence[Delivery], *, lines: bool, note: Callable[[Stop], None] = lambda stop: None) -> Replayed:
        """From the very beginning: reset, setup, publish, deliver, kill. ``note`` is told of each stop."""

        def deliver(job: Job, kill_at: int | None) -> Ending:
            limits = self._limits
            return run(self._mechanism, self._surroundings, job, kill_at=kill_at, stops=limits.stops, check=self._check, note=note)

        return self._walk(path, deliver, lines=lines)

    def effects(self, path: Sequence[Delivery]) -> tuple[tuple[Effect, ...], ...]:
        """Of each delivery of the path, walked once more with a look at each stop."""
        found: list[tuple[Effect, ...]] = []

        def deliver(job: Job, kill_at: int | None) -> Ending:
            limits = self._limits
            ending, effects = trace(self._mechanism, self._surroundings, job, kill_at=kill_at, stops=limits.stops, check=self._check)
            found.append(effects)
            return ending

        self._walk(path, deliver, lines=True)
        return tuple(found)

    def _walk(self, path: Sequence[Delivery], deliver: Callable[[Job, int | None], Ending], *, lines: bool) -> Replayed:
        later = self._surroundings.reset()
        self._publish(later)
        node = self._surroundings.look(later)
        endings: list[Ending] = []
        worlds: list[Node] = []
        struck: list[Stop | None] = []
        for number, delivery in enumerate(path):
            self._check()
            message, later = self._taken(node, delivery, number)
            ending = deliver(Job(message, later=later, lines=lines, warm=delivery.warm), delivery.killed_at)
            last = number == len(path) - 1
            node = self._after(ending, delivery, message, later + ending.slept, last=last)
            endings.append(ending)
            worlds.append(node)
            struck.append(_struck(ending, delivery))
        return Replayed(tuple(endings), tuple(worlds), tuple(struck))

    def _taken(self, node: Node, delivery: Delivery, number: int) -> tuple[Message, float]:
        if delivery.message >= len(node.pending):
            raise _ours(f"delivery {number + 1} found {len(node.pending)} messages pending where it wanted number {delivery.message + 1}")
        message = node.pending[delivery.message]
        later = node.later
        if isinstance(self._surroundings, PassesTime):  # time is not waited for, and what expires must not do so because we are slow
            later = self._surroundings.let_pass(node, delivery.wait)
        elif delivery.wait or node.deadlines:
            later = self._surroundings.restore(node, delivery.wait)
        self._surroundings.take(node, delivery.message)
        return lasting(message, delivery.wait), later

    def _after(self, ending: Ending, delivery: Delivery, message: Message, later: float, *, last: bool) -> Node:
        """The world after it; with the message back in its queue, unless this is the end of the path, where it was not yet back."""
        killed = delivery.killed_at is not None
        if killed and ending.outcome is not Outcome.KILLED and delivery.killed_at != len(ending.stops) + 1:
            raise _ours(f"an execution that was to be killed at its crash point {delivery.killed_at} had {len(ending.stops)}")
        rules = self._rules(message.task)
        comes_back = rules.acks_late if killed else rules.comes_back(ending)
        if comes_back and not last:
            self._surroundings.put_back(replace(message, redelivered=True))
        if isinstance(self._surroundings, Forgets):
            self._surroundings.forget()
        return self._surroundings.look(later)

    def same(self, spot: Spot, *, lines: bool = False, learns: bool = False) -> Replayed:
        """Walk a spot's path. EnvironmentFault where that ends in another world than the graph has there.

        ``learns``: once the graph is finished, since keys of worlds may be others then.
        """
        for _ in range(_TRIES):
            replayed = self.walk(spot.path, lines=lines)
            if self._is_the_same(replayed.end, spot.node):
                return replayed
            if not any(node.deadlines for node in replayed.worlds):
                break
        if learns and self._draws(spot, replayed.end):
            return replayed
        raise _ours(f"replayed with true kills, the path {_told(spot.steps)} ended in another world than in the graph")

    def _draws(self, spot: Spot, end: Node) -> bool:
        """Does the task draw something on this path, such as another name for a file that is there? Then two walks with true kills differ
        from one another too, and the graph's world from theirs in nothing but that."""
        again = self.walk(spot.path, lines=False).end
        if self._is_the_same(again, end):
            return False
        self._surroundings.learn([end, again])
        self.has_learnt = True
        return self._is_the_same(self._surroundings.again(end), spot.node) and self._is_the_same(self._surroundings.again(again), spot.node)

    def _is_the_same(self, found: Node, expected: Node) -> bool:
        """Also where it took us a little longer or less to come there: what is left of a life is told in steps."""
        if self.has_learnt:
            expected = self._surroundings.again(expected)
        shifted = (replace(found, later=found.later + seconds) for seconds in _SHIFTS)
        return found.key == expected.key or any(self._surroundings.again(node).key == expected.key for node in shifted)


def _struck(ending: Ending, delivery: Delivery) -> Stop | None:
    if delivery.killed_at is None:
        return None
    return next((stop for stop in ending.stops if stop.number == delivery.killed_at), None)


def _told(steps: Sequence[Step]) -> str:
    """In short, for whoever has to find out why."""
    words = []
    for step in steps:
        delivery = step.delivery
        end = "to its end" if delivery.killed_at is None else f"killed at {delivery.killed_at}"
        wait = f" after {delivery.wait:g} s" if delivery.wait else ""
        words.append(f"message {delivery.message + 1}{wait}{' warm' if delivery.warm else ''} {end}")
    return "; ".join(words) or "(nothing)"


def _ours(what: str) -> Contradiction:
    return Contradiction(
        f"the explorer contradicts itself, so it says nothing about the task: {what}",
        hint="this is an error of the harness, not of the task",
    )
