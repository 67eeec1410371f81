"""One delivery, watched: a look at each stop before which something has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from harness.errors import EnvironmentFault
from harness.explore.explaining import demand_stops
from harness.model.exploration import Ending, Outcome, Stop
from harness.ports.exploring import Decision, Job, LooksWhereChanged, Mechanism, Node, PassesTime, Surroundings

__all__ = ["Effect", "Watched", "run", "trace", "watch"]

#: Called at each stop where the world is another than at the one before: the stop, the world, and the stop whose call changed it.
Changed = Callable[[Stop, Node, "Stop | None"], None]


@dataclass(frozen=True, slots=True)
class Effect:
    """The stop whose call made this world of that one."""

    stop: Stop
    before: Node
    after: Node


@dataclass(frozen=True, slots=True)
class Watched:
    """A delivery that was not killed, or was for being endless.

    ``node``: after it. ``effect``: the stop whose call was the last that changed anything.
    """

    ending: Ending
    node: Node
    effect: Stop | None


def watch(
    mechanism: Mechanism,
    surroundings: Surroundings,
    job: Job,
    changed: Changed,
    *,
    stops: int,
    check: Callable[[], None] = lambda: None,
) -> Watched:
    """Run the job in the world as it is (its message has been taken). ``stops``: at so many it counts as endless."""
    eyes = _Eyes(surroundings, job.later, changed)

    def at_stop(stop: Stop) -> Decision:
        check()
        if stop.number > stops:
            return Decision.KILL
        eyes.stand(stop)
        return Decision.GO_ON

    ending = mechanism.deliver(_sleeping(job, surroundings, eyes.note_sleep), at_stop)
    if ending.outcome is Outcome.KILLED:
        ending = _endless(ending, stops)
    node = eyes.end(ending.slept)
    eyes.demand(ending)
    return Watched(ending, node, eyes.effect)


def run(
    mechanism: Mechanism,
    surroundings: Surroundings,
    job: Job,
    *,
    kill_at: int | None,
    stops: int,
    check: Callable[[], None] = lambda: None,
    note: Callable[[Stop], None] = lambda stop: None,
) -> Ending:
    """Run the job without a look; SIGKILL at this stop. ``note`` is told of each."""

    def at_stop(stop: Stop) -> Decision:
        check()
        note(stop)
        return Decision.KILL if stop.number == kill_at or stop.number > stops else Decision.GO_ON

    ending = mechanism.deliver(_sleeping(job, surroundings), at_stop)
    return _endless(ending, stops) if ending.outcome is Outcome.KILLED and len(ending.stops) > stops else ending


def trace(
    mechanism: Mechanism,
    surroundings: Surroundings,
    job: Job,
    *,
    kill_at: int | None,
    stops: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[Ending, tuple[Effect, ...]]:
    """As `run`, with a look at each stop: which of the calls changed what."""
    eyes = _Eyes(surroundings, job.later, lambda stop, node, effect: None)

    def at_stop(stop: Stop) -> Decision:
        check()
        eyes.stand(stop)
        return Decision.KILL if stop.number == kill_at or stop.number > stops else Decision.GO_ON

    ending = mechanism.deliver(_sleeping(job, surroundings, eyes.note_sleep), at_stop)
    if ending.outcome is not Outcome.KILLED:
        eyes.end(ending.slept)
    eyes.demand(ending)
    return ending, tuple(eyes.effects)


def _sleeping(job: Job, surroundings: Surroundings, note: Callable[[], None] = lambda: None) -> Job:
    """While it sleeps, the clocks of the services go on too."""
    if not isinstance(surroundings, PassesTime):
        return job

    def pass_time(seconds: float) -> None:
        note()
        surroundings.pass_time(seconds)

    return replace(job, at_sleep=pass_time)


def _endless(ending: Ending, stops: int) -> Ending:
    error = f"it was still going after {stops} crash points"
    return replace(ending, outcome=Outcome.ENDLESS, error=error)


class _Eyes:
    """Looks where something may have changed: between two stops only the call of the first of them has had an effect.

    What an effect of its kind, and on its service, can reach is asked for then; all of it after any other, and where other threads run on.
    """

    def __init__(self, surroundings: Surroundings, later: float, changed: Changed) -> None:
        self._surroundings, self._later, self._changed = surroundings, later, changed
        self._own = surroundings if isinstance(surroundings, LooksWhereChanged) else None
        self._seen: dict[str, Hashable] = {}  # kind -> touched; of a kind that has not been asked for yet: look
        self._before: Stop | None = None
        self._node: Node | None = None
        self.effect: Stop | None = None
        self.effects: list[Effect] = []
        self._slept = False
        self._since: list[Stop] = []  # the last look
        self._missed: EnvironmentFault | None = None

    def note_sleep(self) -> None:
        """Time has passed for the services since the last stop."""
        self._slept = True

    def stand(self, stop: Stop) -> None:
        """At a stop."""
        before, self._before = self._before, stop
        if before is not None:
            self._since.append(before)
        kind, service = ("", "") if self._slept or before is None else _reach(before, stop)  # in a sleep anything may have expired
        self._slept = False
        if self._node is None or before is None:
            node: Node | None = self._surroundings.look(self._later + stop.slept, "")
        elif self._own is not None:
            node = self._own.look_if_changed(self._later + stop.slept, kind, service)
        else:
            node = self._surroundings.look(self._later + stop.slept, kind) if self._touched(kind) else None
        if node is not None:
            self._note(node, before)
            self._changed(stop, node, self.effect)
        elif kind == "file":  # done at once, so whatever changes later is no work of its own
            self._since.pop()

    def end(self, slept: float) -> Node:
        """It is over: what is there now, whatever kind of effect was the last."""
        self._since += [self._before] if self._before is not None else []
        node = self._surroundings.look(self._later + slept, "")
        self._note(node, self._before)
        return node

    def demand(self, ending: Ending) -> None:
        """EnvironmentFault where something changed to which no call was made, unless it is known that not all of them were seen."""
        if self._missed is not None and not ending.doubts:
            raise self._missed

    def _touched(self, kind: str) -> bool:
        now = self._surroundings.touched(kind)
        if now == self._seen.get(kind):
            return False
        self._seen.pop("", None)  # of all together, which is another now
        self._seen[kind] = now
        return True

    def _note(self, node: Node, by: Stop | None) -> None:
        if self._node is not None and self._since:
            try:
                demand_stops(self._node, node, self._since)
            except EnvironmentFault as fault:
                self._missed = self._missed or fault
        self._since = []
        if self._node is not None and node.key != self._node.key:
            self.effect = by
            if by is not None:
                self.effects.append(Effect(by, self._node, node))
        self._node = node


def _reach(before: Stop, stop: Stop) -> tuple[str, str]:
    """What may have happened since the stop before: an effect of its kind on its service; anything, where other threads run on."""
    known = before.exact and stop.exact and before.kind in ("net", "file")
    return (before.kind, before.target.partition(": ")[0]) if known else ("", "")
