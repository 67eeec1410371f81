"""drains: after a spike or an outage the backlog goes, and does not feed itself.

A metastable failure (Bronson, Aghayev, Charapko and Zhu, "Metastable Failures in Distributed Systems", HotOS 2021): what pushed the
system is over, the load is what it carried before, and it stays overloaded by the work that the overload itself makes, mostly retries.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, Field

from harness.checks._common import by_fault, count, inconclusive, tasks_of, user_line
from harness.checks._layers import asked_more_often, nested_tasks
from harness.checks._triggers import Trigger, trigger_of
from harness.checks.story import build_story
from harness.model.backlog import Backlog
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.generating import generator_of
from harness.model.history import Delivery, History
from harness.model.quantities import Duration, format_duration
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["Drains", "DrainsParameters"]

ENDLESS = "does not drain"
LATE = "drains late"
#: Calls that must have ended before the trigger to say what is usual.
_ENOUGH = 10
#: The usual backlog is the one that was not exceeded for this share of the time before; it may be half as large again, and a call more.
_USUAL_SHARE, _HALF_AGAIN, _ONE_MORE = 0.95, 1.5, 1.0
#: Seconds over which the backlog must be back on average: one sample between two calls is not a level.
_LEVEL = 1.0
#: The load is back if no more than this, as a share of what was served before, is offered.
_OFFERED = 1.1
#: A backlog that grew from the second quarter of the time before to the last by this share of the calls that came between was not steady.
#: What grows by less only makes for a level that is higher, and a service rate that is lower, than they were.
_GREW = 0.4
#: A fall by less than this share of the backlog, or by one call, in half of the time that was watched is none.
_FALL = 0.1
#: From this share of starts on that are tries again it is they that keep the system busy.
_FEEDS = 0.5
#: Calls that are late by more than this come in one heap when the generator catches up, seconds.
_HEAP = 0.5
_FIX = (
    "Keep what is tried again from becoming the load: exponential backoff with full jitter (retry_backoff, retry_jitter), few attempts "
    "(max_retries), and a retry budget: all retries together no more than a share of what succeeds, and without budget fail at once. "
    "More workers only ask more often."
)


class DrainsParameters(CheckParameters):
    """The time allowed."""

    within: Duration = Field(
        default=30.0, gt=0, description="from the end of the last fault or spike until the backlog is back at its level of before"
    )


@dataclass(frozen=True, slots=True)
class _Before:
    """What was usual before the trigger: so many calls unfinished, so many a second served."""

    usual: int
    served: float

    @property
    def level(self) -> float:
        """What still counts as usual."""
        return self.usual * _HALF_AGAIN + _ONE_MORE


@dataclass(frozen=True, slots=True)
class _After:
    """What was seen once the trigger was over. ``back``: when the backlog was usual again; None: never until ``until``.

    ``first``, ``last``: the mean backlog in the first and in the last second of the later half, which begins at ``middle``.
    ``offered``: calls a second that were due, until the load was over.
    """

    until: float
    back: float | None
    middle: float
    first: float
    last: float
    offered: float
    starts: tuple[Delivery, ...]

    @property
    def again(self) -> list[Delivery]:
        """Starts that were no call's first one, injected copies aside."""
        return [d for d in self.starts if not d.copy and (d.message.is_retry or d is not d.message.deliveries[0])]

    @property
    def share(self) -> float:
        """Of the starts: those that were tries again."""
        return len(self.again) / len(self.starts) if self.starts else 0.0

    @property
    def feeds(self) -> bool:
        """Is it tries again that keep the system busy?"""
        return self.share >= _FEEDS


class Drains:
    """Counts the calls that are unfinished, by their own records: what waits for its next try is in no queue, and not done."""

    name: ClassVar[str] = "drains"
    question: ClassVar[str] = "after a spike or an outage the backlog drains and does not feed itself"
    summary: ClassVar[str] = "once a fault or a spike is over, the backlog is back at its level of before within a time"
    Parameters: ClassVar[type[BaseModel]] = DrainsParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: DrainsParameters) -> None:
        self.within = parameters.within

    def judge(self, recorded: Recorded) -> CheckResult:
        """Back in time: pass. Later, or not falling at all under a load that was served before: fail. What was not seen: inconclusive."""
        history = recorded.history
        trigger = trigger_of(recorded.scenario, history)
        if trigger is None:
            return inconclusive(Drains, "there was no fault that bit, and no spike", "plan one in the timeline, or an `arrival: spike`")
        backlog = Backlog.of(history, recorded.readings.fates)
        before = _before(backlog, trigger)
        if isinstance(before, str):
            return inconclusive(Drains, before, "let the load run for longer, at a rate that is served, before the first fault or spike")
        after = _after(history, backlog, trigger, before)
        peak = backlog.highest(trigger.begun, after.until)
        if peak <= before.level:
            words = f"the backlog never left its level: at most {count(peak, 'call')} unfinished, {before.usual:,} before {trigger.words}"
            return inconclusive(Drains, words, "a longer fault or a larger spike: nothing had to drain")
        if after.back is None:
            return self._not_back(recorded, trigger, before, after, backlog, peak)
        took = after.back - trigger.over
        over = history.load_ended is not None and after.back > history.load_ended
        words = f"back at its level {format_duration(took)} after {trigger.words}" + (", when the load was over" if over else "")
        words += f"; at most {count(peak, 'call')} unfinished, {before.usual:,} before{_failed_since(history, after.back)}"
        findings = () if took <= self.within else (self._late(trigger, took),)
        return self._result(recorded, trigger, before, after, peak, words, findings)

    def _not_back(self, recorded: Recorded, trigger: Trigger, before: _Before, after: _After, backlog: Backlog, peak: int) -> CheckResult:
        history = recorded.history
        watched = after.until - trigger.over
        left = backlog.at(after.until)
        words = f"{count(left, 'call')} unfinished {format_duration(watched)} after {trigger.words}, {before.usual:,} before"
        unclear, advice = "", ""
        if watched < self.within:
            unclear, advice = f"only {format_duration(watched)} were watched", "let the load, or the drain, outlast `within`"
        elif _catching_up(history, trigger):
            unclear, advice = "the generator was late, and sent what it owed in heaps", "give it more processor time, or lower the rate"
        elif after.offered > _OFFERED * before.served:
            unclear = f"{after.offered:.1f} calls a second were wanted then, and {before.served:.1f} were served before"
            advice = "let the load go back to what was served before the fault or spike"
        elif _falls(after, before):
            unclear = f"it still fell, from {after.first:.0f} to {after.last:.0f} in the last {format_duration(after.until - after.middle)}"
            advice = "let the load, or the drain, last longer"
        if unclear:
            return self._result(recorded, trigger, before, after, peak, f"{words}; {unclear}", (), advice)
        return self._result(recorded, trigger, before, after, peak, words, (self._endless(recorded, trigger, before, after, left),))

    def _result(
        self,
        recorded: Recorded,
        trigger: Trigger,
        before: _Before,
        after: _After,
        peak: int,
        words: str,
        findings: Sequence[Finding],
        advice: str = "",
    ) -> CheckResult:
        verdict = Verdict.FAIL if findings else Verdict.INCONCLUSIVE if advice else Verdict.PASS
        guilty = dict.fromkeys(trigger.faults, findings[0].cause) if findings else {}
        unclear = {} if findings or not advice else dict.fromkeys(trigger.faults, "not seen to drain")
        numbers = {"usual": before.usual, "served": before.served, "offered": after.offered, "most": peak, "tried_again": after.share}
        if after.back is not None:
            numbers["drained"] = after.back - trigger.over
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=words,
            advice=advice,
            findings=tuple(findings),
            numbers={name: float(value) for name, value in numbers.items()},
            by_fault=by_fault(recorded.history, guilty, lambda fault: "drained" if fault.index in trigger.faults else "", unclear),
        )

    def _late(self, trigger: Trigger, took: float) -> Finding:
        return Finding(
            word=Word.SLOW,
            headline=f"The backlog drained {format_duration(took)} after {trigger.words}; {format_duration(self.within)} are allowed.",
            sentence="It is counted until as few calls were unfinished as before.",
            cause=LATE,
            fix=EXPLANATIONS[Word.SLOW][2],
            faults=trigger.faults,
        )

    def _endless(self, recorded: Recorded, trigger: Trigger, before: _Before, after: _After, left: int) -> Finding:
        """STORM where the system is busy with tries again; else work waits for another reason."""
        feeds = after.feeds
        again = after.again
        task = Counter(d.message.task for d in again or after.starts).most_common(1)
        worst = Counter(d.message.task_id for d in again).most_common(1)
        file, line = _retried_line(recorded.history, again)
        headline = f"After {trigger.words} the backlog does not drain: {count(left, 'call')} unfinished, {before.usual:,} before."
        return Finding(
            word=Word.STORM if feeds else Word.STUCK,
            headline=headline,
            sentence=_sentence(recorded.history, trigger, before, after),
            cause=ENDLESS,
            task=task[0][0] if task else "",
            task_ids=tasks_of(again),
            calls=tuple(sorted({d.message.call for d in again if d.message.call})),
            file=file,
            line=line,
            fix=_FIX if feeds else EXPLANATIONS[Word.STUCK][2],
            faults=trigger.faults,
            story=build_story(recorded, worst[0][0], title=headline, file=file, line=line) if worst else None,
        )


def _before(backlog: Backlog, trigger: Trigger) -> _Before | str:
    """What was usual; a sentence on why that cannot be told."""
    ends = backlog.ends[: bisect_left(backlog.ends, trigger.begun)]
    if len(ends) < _ENOUGH or ends[-1] == ends[0]:
        return f"{count(len(ends), 'call')} had ended before {trigger.words}: too few to say what is usual"
    begin = backlog.begins[0]
    quarter = (trigger.begun - begin) / 4
    early, late = (backlog.mean(begin + n * quarter, begin + (n + 1) * quarter) for n in (1, 3))
    came = bisect_left(backlog.begins, begin + 3.5 * quarter) - bisect_left(backlog.begins, begin + 1.5 * quarter)
    if late - early > max(_ONE_MORE, _GREW * came):
        return f"the backlog grew before {trigger.words} already: {early:.0f} calls unfinished, then {late:.0f}"
    return _Before(backlog.usual(begin, trigger.begun, _USUAL_SHARE), (len(ends) - 1) / (ends[-1] - ends[0]))


def _after(history: History, backlog: Backlog, trigger: Trigger, before: _Before) -> _After:
    ends = [t for t in (history.stopped_at, history.quiet_at, history.ended) if t is not None]
    until = max(trigger.over, min(ends, default=max([trigger.over, *backlog.moments[-1:]])))
    middle = (trigger.over + until) / 2
    second = min(_LEVEL, until - middle)
    load_ended = history.load_ended if history.load_ended is not None else until
    due = backlog.begins[bisect_right(backlog.begins, trigger.over) : bisect_right(backlog.begins, load_ended)]
    starts = [d for d in history.deliveries.values() if d.start is not None and trigger.over <= d.start <= until]
    return _After(
        until=until,
        back=_back(backlog, trigger.over, until, before.level, quiet=history.quiet_at is not None),
        middle=middle,
        first=backlog.mean(middle, middle + second),
        last=backlog.mean(until - second, until),
        offered=(len(due) - 1) / (due[-1] - due[0]) if len(due) > 1 and due[-1] > due[0] else 0.0,
        starts=tuple(starts),
    )


def _back(backlog: Backlog, over: float, until: float, level: float, *, quiet: bool) -> float | None:
    """When the backlog was at its level, for a second and for the rest of the time, on average: one that grows slowly is at it at first.

    ``quiet``: nothing was left to do at ``until``, so that the last second need not have been watched.
    """
    later = backlog.moments[bisect_right(backlog.moments, over) :]
    for moment in itertools.chain([over], later):
        if not quiet and moment + _LEVEL > until:
            return None
        if (
            all(backlog.mean(moment, end) <= level for end in (moment + _LEVEL, max(until, moment + _LEVEL)))
            and backlog.at(moment) <= level
        ):
            return moment
    return None


def _failed_since(history: History, back: float) -> str:
    """In words, how many of the calls that were due since then failed: a backlog is short as well where everything fails at once."""
    since = [call for call in history.calls.values() if call.due >= back]
    failed = sum(any(d.state == "FAILURE" for m in call.messages for d in m.deliveries) for call in since)
    return f"; of {count(len(since), 'call')} since then {failed:,} failed" if failed else ""


def _falls(after: _After, before: _Before) -> bool:
    return after.first - after.last > max(_ONE_MORE, _FALL * (after.first - before.level))


def _catching_up(history: History, trigger: Trigger) -> bool:
    """Did the generator, for reasons of its own, send calls late once the trigger was over?"""
    late = any(c.sent is not None and c.sent >= trigger.over and c.sent - c.due > _HEAP for c in history.calls.values())
    generator = generator_of(history) if late or history.dropped_arrivals else None
    return generator is not None and bool(generator.bottleneck)


def _sentence(history: History, trigger: Trigger, before: _Before, after: _After) -> str:
    """The evidence: that it did not fall, under which load, and by whose work."""
    went = f"From {after.middle:.1f} s to {after.until:.1f} s it went from {after.first:.0f} to {after.last:.0f}"
    wanted = f"only {after.offered:.1f} calls a second were wanted after {trigger.words}, and {before.served:.1f} were served before"
    again = f"{after.share:.0%} of {count(len(after.starts), 'start')} were tries again"
    if not after.feeds:
        return f"{went}, although {wanted}. Only {again}: they do not keep it up."
    layers = [_layers(after.again), *(f"{names}, so that attempts multiply" for names in nested_tasks(history))]
    layers += asked_more_often(history, (0.0, trigger.begun), (after.middle, after.until))
    return f"{went}, although {wanted}. {again}: {'; '.join(layers)}."


def _layers(again: Sequence[Delivery]) -> str:
    """Who tried again: the task by a retry, or the broker by another delivery."""
    retried = sum(d.message.is_retry and d is d.message.deliveries[0] for d in again)
    parts = {"retry of Celery's": retried, "delivery by the broker": len(again) - retried}
    plural = {"retry of Celery's": "retries of Celery's", "delivery by the broker": "deliveries by the broker"}
    return ", ".join(count(number, name, plural[name]) for name, number in parts.items() if number)


def _retried_line(history: History, again: Sequence[Delivery]) -> tuple[str, int | None]:
    """The user's line that most of the retries were for: where the error was raised that they try to overcome."""
    causes = (history.deliveries.get(d.message.cause) for d in again if d.message.is_retry)
    lines = Counter(user_line(history, cause) for cause in causes if cause is not None)
    return next(((file, line) for (file, line), _ in lines.most_common() if line is not None), ("", None))
