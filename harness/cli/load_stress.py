"""`load --stress`: double the rate until it breaks, then one run that goes up beyond that and down again, and see whether it recovers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from harness.cli.load_capacity import goal_of
from harness.cli.load_limits import Limits
from harness.cli.load_trials import answered_calls, doubts_of, loaded_with
from harness.load.search import CapacitySearch
from harness.load.search_backlog import Answered, Kept, back_at, gone_at, growth, moments
from harness.load.search_streams import stepped_load
from harness.model.backlog import Backlog
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.quantities import format_duration, format_rate
from harness.model.searching import Recovery
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

if TYPE_CHECKING:
    from harness.cli.load_search import SearchRun

__all__ = ["Stairs", "lasting", "recovery_of", "stress", "word_of"]

#: Parts of the run, each as long as a trial: before, up (times the highest rate that was kept), down again until the time is up.
_BEFORE = 2
_UP = (1.0, 1.5, 2.0)
_LOW = 0.5
#: A run that did not break it, since the trial that was missed was an odd one, is followed by one that begins where it ended.
_ROUNDS = 3
#: Without a threshold of the whole load answers are good again when they are as before, give or take.
_AS_BEFORE, _SLACK = 1.5, 0.05


class Stairs:
    """The rates of the run. ``kept``: the highest rate that was kept; ``part``: seconds of each."""

    def __init__(self, kept: float, part: float, within: float, highest: float) -> None:
        self.low, self.part, self.within = kept * _LOW, part, within
        self.up = tuple(dict.fromkeys(min(highest, kept * times) for times in _UP))
        self.down = math.ceil(within / part)

    @property
    def rates(self) -> tuple[float, ...]:
        """One after the other."""
        return (self.low,) * _BEFORE + self.up + (self.low,) * self.down

    @property
    def raised_at(self) -> float:
        """Seconds from the start of the load."""
        return _BEFORE * self.part

    @property
    def dropped_at(self) -> float:
        """When the rate is low again."""
        return (_BEFORE + len(self.up)) * self.part

    @property
    def end(self) -> float:
        """Of what is looked at."""
        return self.dropped_at + self.within


class _Recovers:
    """The check of that run."""

    name: ClassVar[str] = "recovers"
    question: ClassVar[str] = "is an overload worked off when it is over?"
    summary: ClassVar[str] = "after an overload, backlog and latency are as before"
    Parameters: ClassVar[type[Any]] = CheckParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, stairs: Stairs, kept: float, limits: Limits) -> None:
        self._stairs, self._kept, self._limits = stairs, kept, limits
        self.seen: Recovery | None = None

    def judge(self, recorded: Recorded) -> CheckResult:
        """Fail: not within the time."""
        calls = answered_calls(recorded.history, recorded.semantics)
        self.seen = recovery_of(calls, self._stairs, self._kept, self._limits.end_to_end)
        if self.seen.why:
            return self._result(Verdict.INCONCLUSIVE, self.seen.why)
        if self.seen.seconds is not None:
            return self._result(Verdict.PASS, f"as before {format_duration(self.seen.seconds)} after the overload")
        what = f"It does not recover within {format_duration(self.seen.within)} of an overload: {lasting(self.seen)}."
        word = word_of(self.seen)
        found = Finding(word=word, headline=what, sentence=_sentence(self.seen), cause="overload", fix=EXPLANATIONS[word][2])
        return self._result(Verdict.FAIL, what, found)

    def _result(self, verdict: Verdict, summary: str, *findings: Finding) -> CheckResult:
        return CheckResult(name=self.name, question=self.question, verdict=verdict, summary=summary, findings=findings)


def word_of(found: Recovery) -> Word:
    """Of one that is not as before in time: STORM where the backlog does not go at all, SLOW where it goes, or only answers are late."""
    return Word.STORM if found.feeds_itself else Word.SLOW


def lasting(found: Recovery) -> str:
    """What is not as before, in words."""
    drains = f"the backlog is too slow to go, by {format_rate(found.falls)}" if found.falls else "the backlog does not drain"
    parts = [drains] if found.backlog_gone is None else []
    return " and ".join([*parts, *(["answers stay late"] if found.latency_back is None else [])])


def _sentence(found: Recovery) -> str:
    return (
        f"At {format_rate(found.low)} there were at most {found.backlog_before:,} unfinished calls before an overload of "
        f"{format_rate(found.peak)}, and up to {found.backlog_peak:,} in it and afterwards, at {format_rate(found.low)} again."
    )


def recovery_of(calls: list[Answered], stairs: Stairs, kept: float, limit: Kept | None) -> Recovery:
    """Pure. ``limit``: what answers have to keep; None: as before the overload."""
    backlog = Backlog(calls)
    settled = stairs.part / 2  # of the first part is warming up
    level = backlog.highest(settled, stairs.raised_at)
    before = sorted(call.end - call.due for call in calls if settled <= call.due < stairs.raised_at)
    good = limit or Kept(95, _slow(before) * _AS_BEFORE + _SLACK)
    gone = gone_at(backlog, stairs.dropped_at, stairs.end, level)
    back = back_at(calls, stairs.dropped_at, stairs.end, good)
    broke = _broke(calls, backlog, stairs, good)
    why = ""
    if not before or not good(before) or growth(backlog, settled, stairs.raised_at, stairs.low).grows:
        why = f"at {format_rate(stairs.low)} it did not keep up before the overload either: let --trial last longer, or lower --max-rate"
    return Recovery(
        run_id="",
        kept=kept,
        low=stairs.low,
        peak=max(stairs.up),
        broke=broke,
        dropped_at=stairs.dropped_at,
        within=stairs.within,
        backlog_before=level,
        backlog_peak=backlog.highest(stairs.raised_at, stairs.end),
        backlog_gone=None if gone is None else round(gone - stairs.dropped_at, 3),
        falls=_falls(backlog, stairs) if gone is None else 0.0,
        latency_back=None if back is None else round(back - stairs.dropped_at, 3),
        moments=moments(calls, backlog, stairs.end, 1.0),
        why=why,
    )


def _falls(backlog: Backlog, stairs: Stairs) -> float:
    """Calls per second over the second half of what was watched; 0 where that is no more than it wavers by."""
    found = growth(backlog, (stairs.dropped_at + stairs.end) / 2, stairs.end, stairs.low)
    return round(-found.slope, 3) if found.shrinks else 0.0


def _slow(ranked: list[float]) -> float:
    return ranked[min(len(ranked) - 1, math.ceil(0.95 * len(ranked)) - 1)] if ranked else 0.0


def _broke(calls: list[Answered], backlog: Backlog, stairs: Stairs, good: Kept) -> float | None:
    """The first step up that was not kept."""
    for number, rate in enumerate(stairs.up):
        begin = stairs.raised_at + number * stairs.part
        values = [call.end - call.due for call in calls if begin <= call.due < begin + stairs.part]
        if (values and not good(values)) or growth(backlog, begin, begin + stairs.part, rate).grows:
            return rate
    return None


def stress(run: SearchRun) -> None:
    """Doubling trials, then the run; what is known is kept in ``run.found``."""
    search = CapacitySearch(goal_of(run))
    while not search.bracketed and (rate := search.next()) is not None:
        run.check()
        trial = run.trials.trial(rate)
        search.add(rate, trial.outcome)
        run.found["capacity"] = search.capacity()
        run.telling.trial(trial)
    if search.kept is None or search.missed is None:
        run.notes.append(f"it was not broken: {search.stopped}" if search.kept else search.stopped)
        return
    kept = search.kept
    for _ in range(_ROUNDS):
        run.check()
        found = _up_and_down(run, kept)
        if found is None or found.why or found.broke is not None or found.peak >= (run.asked.max_rate or math.inf):
            return
        kept = found.peak


def _up_and_down(run: SearchRun, kept: float) -> Recovery | None:
    """One run; None where its check could not judge it."""
    stairs = Stairs(kept, run.asked.trial, run.asked.recover_within, run.asked.max_rate or math.inf)
    load = stepped_load(run.loaded.scenario.load, stairs.rates, stairs.part)
    check = _Recovers(stairs, kept, run.limits)
    loaded = loaded_with(run.loaded, load, drain=run.loaded.scenario.drain.timeout, seed=run.loaded.scenario.seed, thresholds={})
    title = f"up to {format_rate(max(stairs.up))} and down to {format_rate(stairs.low)}"
    result, _ = run.trials.run(loaded, [check], [], title)
    if check.seen is not None:
        run.found["recovery"] = check.seen.model_copy(update={"run_id": result.run_id})
    run.found["run_id"] = result.run_id
    undone = [one.summary for one in result.checks if one.verdict is Verdict.INCONCLUSIVE and not (check.seen and check.seen.why)]
    run.doubt([*doubts_of(result), *undone])  # the latter: the check broke, or journals of what it saw are torn
    return check.seen
