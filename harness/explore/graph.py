"""The graph of all that crashes can lead to, breadth first: so the first path to anything is a shortest one.

A spot is expanded by delivering each pending message, at once and after each deadline in its world, and looking at each stop: what is there
is what a SIGKILL at that stop would leave. The order of everything is fixed; only the bound of time depends on the clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from harness.explore.beside import beside
from harness.explore.deadlines import GIVEN_BACK, HOUR, LONG_AGO
from harness.explore.judge import Fault, Judge
from harness.explore.merging import Merging
from harness.explore.queues import lasting
from harness.explore.returns import Returning
from harness.explore.rules import Limits, RulesOf
from harness.explore.spots import FINAL, Spot, Step, is_the_same, killed_spot
from harness.explore.turning import Turns
from harness.explore.wakes import Trail
from harness.explore.watching import Watched, run, watch
from harness.model.exploration import Delivery, Ending, Message, Outcome, Stop
from harness.ports.exploring import Job, LetsGo, Mechanism, Node, Surroundings

__all__ = ["AGED", "AGELESS", "DAY", "EXPIRED", "FAR", "FORKED", "LATER", "MONTH", "YEAR", "Graph", "Survey", "Suspicion", "place_of"]

#: A day, and an hour, a minute and a second more: nothing that the clock tells is the same then.
DAY = 86400.0 + 3600 + 60 + 1
#: The month is another then, and the week.
MONTH = 32 * 86400.0
#: The year is another then too, and its quarter, and the half of the day.
YEAR = 465 * 86400.0 + 12 * 3600
#: Who waits longer than this for a redelivery waits for people: what expires only then is taken to be there.
_HORIZON = 86400.0
#: A window that is reckoned from a time in the world may be longer than that.
AGED, LATER = "almost a day later", "a redelivery more than a day later, where the task reckons from a time that is written there"
FAR = "a redelivery more than a day after the delivery before it: something is in the world that expires only then"
AGELESS = "a redelivery so much later that what was done is long ago: the programs that the task starts see the true time"
#: What the child says of a message that it discards.
EXPIRED = "the message has expired, so Celery discards it"
#: Of these there is no end: each crash between a retry's publish and the ack of its own message makes one message more.
FORKED = "a further crash, once one has left both a message and what its execution had published (a retry, another task)"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A spot that is not allowed, before it is confirmed."""

    fault: Fault
    spot: Spot


@dataclass
class Survey:
    """What was visited. ``spots``: all of them, in order. ``left``: per bound, in words, how many spots it left out."""

    spots: list[Spot] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    trail: Trail = field(default_factory=Trail)
    deliveries: int = 0
    looks: int = 0
    waits: set[str] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)  # files that were written and that no service holds
    unseen: list[str] = field(default_factory=list)  # what was done that nobody could see, and that is no doubt
    gave_up: bool = False  # it failed where crashes had used up its retries
    ageless: bool = False  # it starts programs, so that nothing was tried that is told by its age
    excused: set[str] = field(default_factory=set)  # tasks beside the one that is explored of which a call was lost, as they are declared
    far: bool = False  # something expires so late that nobody waited for it
    beyond_chain: bool = False  # crashes were left out in what a chain of retries does after `Limits.chain` of them

    def leave(self, why: str, count: int = 1) -> None:
        """A bound was reached."""
        self.left[why] = self.left.get(why, 0) + count


class Graph:
    """Visits. ``now``: seconds, for the bound of time alone; ``check``: raises to stop; ``by_day``: wait a day too.

    ``by_season``: so many seconds too, if any. ``at_once``: each message when it is due and never later, since the task's clock
    cannot be set. ``file_ages``: does it look at when files were written?
    """

    def __init__(
        self,
        mechanism: Mechanism,
        surroundings: Surroundings,
        judge: Judge,
        rules: RulesOf,
        limits: Limits,
        *,
        now: Callable[[], float],
        by_day: bool = False,
        by_season: float = 0.0,
        at_once: bool = False,
        file_ages: bool = True,
        merging: Merging | None = None,
        check: Callable[[], None] = lambda: None,
        say: Callable[[Survey], None] = lambda survey: None,
    ) -> None:
        self._mechanism, self._surroundings, self._judge = mechanism, surroundings, judge
        self._lets_go = mechanism if isinstance(mechanism, LetsGo) else None
        self._rules, self._limits, self._at_once = rules, limits, at_once
        self._by_day, self._by_season = by_day, by_season
        self._file_ages, self._programs = file_ages, False
        self._now, self._check, self._say = now, check, say
        self._merging = merging or Merging(())
        self._queue: deque[Spot | Callable[[], None]] = deque()  # spots, and deliveries that need their process of before
        self._known: set[Hashable] = set()
        self._left: set[tuple[str, Hashable]] = set()
        self._arrived: set[Hashable] = set()
        self._again: set[Hashable] = set()  # of which a process that lives gets the message again
        self._came_as: dict[Hashable, Hashable] = {}  # key of a spot whose message was to come back -> its key with that in the queue
        self._end, self._returning, self._turns = 0.0, Returning(surroundings), Turns(surroundings)
        self.survey = Survey()

    def explore(self, first: Node) -> Survey:
        """From the node in which the message has been published."""
        self._end = self._now() + self._limits.seconds
        self._offer(Spot(first))
        while self._queue:
            if why := self._exhausted():
                self.survey.leave(why, len(self._queue))
                break
            waiting = self._queue.popleft()
            if isinstance(waiting, Spot):
                self._expand(waiting)
            else:
                waiting()
            self._say(self.survey)
        return self.survey

    def _exhausted(self) -> str:
        if self._now() > self._end:
            return f"{self._limits.seconds:g} s"
        if len(self.survey.suspicions) >= self._limits.flaws:
            return f"{self._limits.flaws} ways to fail"
        return ""

    # --- one spot -----------------------------------------------------------------------------------------------

    def _expand(self, left: Spot) -> None:
        spot = self._arrive(left)
        if spot is None:
            return
        self.survey.spots.append(left)
        self._turns.visit(spot)
        for number, message in enumerate(spot.node.pending):
            if not _may_come_next(message, spot.node.pending):
                continue
            for wait in self._waits(spot.node, message):
                self._check()
                self._deliver(spot, number, wait)
        self.survey.trail.follow(spot.key)

    def _arrive(self, spot: Spot) -> Spot | None:
        """The spot with its message back in the queue; None where the same was visited by another way, or a bound is reached."""
        left = spot.key
        if spot.back is not None:
            spot = replace(spot, node=self._returning.back(spot.node, spot.back), back=None)
            self._came_as[left] = spot.key
            self._merging.check(spot.node)
            self.survey.trail.lead(left, spot.key)
        if spot.key in self._arrived:
            self._refuse_circle(spot)
            return None
        if len(self._arrived) >= self._limits.worlds:
            self.survey.leave(f"{self._limits.worlds:,} worlds")
            return None
        self._arrived.add(spot.key)
        return spot

    def _waits(self, node: Node, message: Message) -> Iterator[float]:
        """When it is due, and after everything that may have changed by itself later."""
        yield message.eta
        if self._at_once:
            return
        later = sorted({deadline for deadline in node.deadlines if deadline > message.eta})
        for wait in later:
            if wait > message.eta + _HORIZON:
                self.survey.far = True
                break
            self.survey.waits.add("after each deadline in the world")
            yield wait
        if self._by_season:
            self.survey.waits.add("a month later" if self._by_season == MONTH else "more than a year later")
            yield message.eta + self._by_season
        ages = self._ages(node)
        if ages and message.redelivered:
            self.survey.waits.add(HOUR)
            yield message.eta + GIVEN_BACK
        if ages and not self._by_day:
            self.survey.waits.add(AGED)
            yield message.eta + LONG_AGO
        if self._by_day:
            self.survey.waits.add("a day later")
            yield message.eta + DAY

    def _ages(self, node: Node) -> bool:
        """May the task find out how long ago something was done? Not where a program does, which has the true time."""
        if not node.dated or (node.dated == "file" and not (self._file_ages or self._programs)):
            return False
        self.survey.ageless |= self._programs
        return not self._programs

    def _deliver(self, spot: Spot, number: int, wait: float) -> None:
        node = spot.node
        later = self._surroundings.restore(node, wait)
        self._surroundings.take(node, number)
        message = lasting(node.pending[number], wait)
        ended, again = self._run(spot, Delivery(number, None, wait), message, later)
        self._offer(ended)
        if again is not None and (self._offer(again) or again.key in self._known) and again.key not in self._again:
            self._again.add(again.key)  # known or not: a kill after the last change leaves the same world, but no process that lives
            self._queue.append(partial(self._deliver_warm, node, number, wait, again))

    def _run(self, spot: Spot, delivery: Delivery, message: Message, later: float) -> tuple[Spot, Spot | None]:
        """Deliver in the world as it is, and queue what a kill at each stop leaves. What its end leaves; the same where the ack was lost.

        Judging moves the world, so nothing is judged before the delivery is over.
        """
        left: list[Spot] = []
        rules = self._rules(message.task)
        back = replace(message, redelivered=True) if rules.acks_late else None

        def changed(stop: Stop, node: Node, effect: Stop | None) -> None:
            if not left or not is_the_same(left[-1].node, node):
                killed = replace(delivery, killed_at=stop.number)
                left.append(killed_spot(spot, killed, message, back, node, stop, effect, excused=rules.may_be_lost))

        seen = watch(
            self._mechanism,
            self._surroundings,
            Job(message, later=later, warm=delivery.warm),
            changed,
            stops=self._limits.stops,
            check=self._check,
        )
        if self._lets_go is not None:
            self._lets_go.let_go()
        self.survey.deliveries += 1
        self._programs |= any(stop.call.startswith("execve") for stop in seen.ending.stops)
        self._note(seen.ending)
        ended = self._ended(spot, delivery, message, seen)
        trail = self.survey.trail
        of_first = not spot.steps and not trail.first
        if of_first:
            trail.first = [(one.path[-1].killed_at or 0, one) for one in left]
        if spot.undisturbed >= self._limits.chain:
            self.survey.beyond_chain = True
            return ended, None
        self.survey.excused |= {message.task for one in left if one.excused}
        for one in left:
            self._offer(one)
        if not rules.acks_late or seen.ending.outcome in (Outcome.DIED, Outcome.ENDLESS):
            return ended, None
        lost_ack = replace(delivery, killed_at=len(seen.ending.stops) + 1)
        forked = len(seen.node.pending) >= spot.waiting
        step = Step(lost_ack, message, None, seen.effect, seen.ending, forked=forked, origin=spot.key)
        again = replace(ended, steps=(*spot.steps, step), back=replace(message, redelivered=True))
        if of_first:
            trail.first.append((len(seen.ending.stops) + 1, again))
        return ended, again

    def _note(self, ending: Ending) -> None:
        survey = self.survey
        survey.doubts += [doubt for doubt in ending.doubts if doubt not in survey.doubts]
        survey.beside |= beside(ending.stops)
        survey.undeclared += [one for one in ending.undeclared if one not in survey.undeclared]
        loose = next((stop for stop in ending.stops if not stop.exact), None)
        if loose is not None and (why := f"threads or processes of the task ran on while it stood at {loose.words}") not in survey.doubts:
            survey.doubts.append(why)

    def _deliver_warm(self, node: Node, number: int, wait: float, again: Spot) -> None:
        """The ack was lost but the process lives, and its memory is of the execution that the world shows. So twice in one process."""
        assert again.back is not None
        later = self._surroundings.restore(node, wait)
        self._surroundings.take(node, number)
        job = Job(lasting(node.pending[number], wait), later=later)
        later += run(self._mechanism, self._surroundings, job, kill_at=None, stops=self._limits.stops, check=self._check).slept
        self.survey.deliveries += 1
        self._surroundings.put_back(again.back)
        there = self._surroundings.look(later)
        place = place_of(again.back, there)
        if place is None:
            return
        self._surroundings.take(there, place)
        self._offer(self._run(again, Delivery(place, None, 0.0, warm=True), there.pending[place], later)[0])

    # --- what it leads to ---------------------------------------------------------------------------------------

    def _ended(self, spot: Spot, delivery: Delivery, message: Message, seen: Watched) -> Spot:
        step = Step(delivery, message, None, seen.effect, seen.ending, origin=spot.key)
        back = replace(message, redelivered=True) if self._rules(message.task).comes_back(seen.ending) else None
        ends = dict(spot.ends)
        if seen.ending.error == EXPIRED:
            ends.pop(message.id, None)  # the caller is told of no end
        elif seen.ending.outcome in FINAL and back is None:
            ends[message.id] = seen.ending.outcome
        return Spot(seen.node, (*spot.steps, step), back, ends, spot.lost, spot.excused)

    def _offer(self, spot: Spot) -> bool:
        """Queue it, or judge it where nothing will happen any more. Whether it is new, and will be visited."""
        self.survey.looks += 1
        self._merging.check(spot.node)
        key = spot.key
        if spot.steps and spot.steps[-1].delivery.killed_at is None:
            self.survey.trail.lead(spot.steps[-1].origin, key)
        if key in self._known:
            self._refuse_circle(spot)
            return False
        if why := self._beyond(spot):
            self.survey.leave(why, 0 if (why, key) in self._left else 1)  # how often one is met depends on when we looked
            self._left.add((why, key))
            if why == FORKED:
                self.survey.trail.follow(key)
            return False
        self._known.add(key)
        self._turns.keep(spot.node)
        early = self._judge.early(spot.node) if spot.kills else None
        if spot.waiting and early is None:
            self._queue.append(spot)
            return True
        self.survey.spots.append(spot)
        self.survey.trail.follow(key)
        if early is not None:
            self._suspect(early, spot)
        else:
            self._conclude(spot)
        return False

    def _beyond(self, spot: Spot) -> str:
        if spot.kills > self._limits.kills:
            return f"{self._limits.kills} kills"
        if spot.kills_after_fork > 0:
            return FORKED
        if spot.waiting > self._limits.messages:
            return f"{self._limits.messages} messages in the broker at a time"
        if spot.undisturbed > self._limits.deliveries:
            return f"{self._limits.deliveries} deliveries without an end"
        return ""

    def _refuse_circle(self, spot: Spot) -> None:
        """By itself it has come back to where it was: so it will for ever."""
        last = spot.steps[-1] if spot.steps else None
        died_in_vain = last is not None and last.ending is not None and last.ending.outcome is Outcome.DIED and last.effect is None
        around = spot.key in spot.chain or self._came_as.get(spot.key) in spot.chain
        if around and self._ages(spot.node) and not self._at_once and last is not None and last.delivery.wait < LONG_AGO:
            return  # how long ago something was done is not in the key: it may come out of the circle in time, which a later wait tells
        if around and self._turns.alike:
            self.survey.leave("a circle in which a number may go up")
        elif around or (died_in_vain and spot.back is not None):
            self._suspect(Fault("STORM", (), "done"), spot)

    def _conclude(self, spot: Spot) -> None:
        end = spot.steps[-1].ending if spot.steps else None
        if end is not None and end.outcome is Outcome.ENDLESS and end.slept > 1 and spot.node.deadlines:
            # What it waits for in its sleep might be what expires in the services, whose clocks go on only between deliveries.
            self.survey.leave("waits, inside of the task, for what expires in a service")
        elif end is not None and end.outcome is Outcome.ENDLESS:
            self._suspect(self._judge.endless(spot.node), spot)
        elif self._gave_up(spot):
            self.survey.gave_up = True
        elif fault := self._judge.judge(spot.node, spot.ends.values(), lost=spot.lost, killed=bool(spot.kills), excused=spot.excused):
            self._suspect(fault, spot)

    def _gave_up(self, spot: Spot) -> bool:
        """Has it failed only because more crashes than it has retries have used these up? No task with a bound could do better.

        With as many, one attempt was left that no crash disturbed: that it failed is the task's own doing.
        """
        last = spot.steps[-1] if spot.steps else None
        most = self._rules(last.message.task).max_retries if last is not None else None
        if not most or last is None or last.ending is None or last.ending.outcome is not Outcome.FAILURE:
            return False
        return last.message.retries >= most and spot.kills > most

    def _suspect(self, fault: Fault, spot: Spot) -> None:
        self.survey.suspicions.append(Suspicion(fault, spot))


def _may_come_next(message: Message, pending: Sequence[Message]) -> bool:
    """One that is due comes before one that is due later; but when a redelivered one comes back is the broker's affair."""
    return all(other.redelivered or other.eta >= message.eta for other in pending)


def place_of(message: Message, node: Node) -> int | None:
    """Where in the queue it is, as it came back."""
    same = (message.id, message.retries, True)
    return next((n for n, one in enumerate(node.pending) if (one.id, one.retries, one.redelivered) == same), None)
