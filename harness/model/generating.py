"""How the calls of an open loop came about, and whether the run measured its own generator. docs/load.md, "Open loop".

Each call says when it was due, when its publisher was free, and when it was sent. What it waited for its publisher has a reason: the
broker took so long. What it waited beyond that is the generator's: its thread did not get to run.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.model.history import Call, History
from harness.model.measures import Generator
from harness.model.ways import slows_publishers

__all__ = ["generator_of"]

#: A call is late, and a lag counts, from here on.
LATE = 0.05
#: So many calls may lag, as a share of all, and so few that their number says nothing.
_SHARE, _FEW = 0.01, 10
#: A publisher that has calls waiting and goes on within this time has not lagged: it has written its records.
_GRAIN = 0.001
#: A publisher that is busy for so much of any such time has nothing in reserve. What is over sooner, a load or the time between two
#: faults, is looked at as a whole.
_FULL, _WINDOW = 0.95, 5.0
#: In less time than this a single slow publish makes a few calls late; so many must have waited for it to say anything.
_SHORT, _MANY = 2.0, 20
_STEP = 0.1
#: A publisher without a fault in its way for less than this, and less than this share of its load, was hardly seen.
_SEEN, _SEEN_SHARE = 2.0, 0.1
#: With a tenth of its time in reserve a publisher has caught up on what a fault held up after nine times as long.
_CATCHING_UP = 9.0

_Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call that was sent by an open loop."""

    due: float
    free: float
    sent: float
    lag: float
    over: float  # when it was published


def generator_of(history: History) -> Generator | None:
    """Of the open loop; None where there was none (a schedule, calls of a test, Locust's users)."""
    by_publisher = _by_publisher(history.calls.values())
    sent = sorted((call for calls in by_publisher.values() for call in calls), key=lambda call: (call.due, call.sent))
    if not sent:
        return None
    lags = sorted(call.lag for call in sent)
    busiest = max(
        (_busiest(calls, history) for calls in by_publisher.values()), key=lambda found: (found.late > 0, found.unseen, found.share)
    )
    dropped = history.dropped_arrivals
    return Generator(
        kind="open",
        calls=len(sent),
        late=sum(call.sent - call.due > LATE for call in sent),
        dropped=dropped,
        intended=_rate(len(sent) + dropped, [call.due for call in sent]),
        achieved=_rate(len(sent), [call.sent for call in sent]),
        lag_p99=lags[math.ceil(0.99 * len(lags)) - 1],
        lag_max=lags[-1],
        worst_gap=max((b.sent - a.sent - (b.due - a.due) for a, b in pairwise(sent)), default=None),
        busy=busiest.share if busiest.span else None,
        bottleneck=_bottleneck(lags, dropped, busiest, history),
    )


def _by_publisher(calls: Iterable[Call]) -> dict[int, list[_Sent]]:
    """In the order in which each sent them."""
    own: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        if call.free is not None and call.sent is not None:
            own[call.publisher].append(call)
    return {publisher: _with_lags(sorted(calls, key=lambda call: call.sent or 0.0)) for publisher, calls in own.items()}


def _with_lags(calls: Sequence[Call]) -> list[_Sent]:
    """A lag is handed on: whoever waits behind a call that lagged is late by as much, until the publisher is idle again."""
    found: list[_Sent] = []
    carried = 0.0
    for number, call in enumerate(calls):
        assert call.free is not None and call.sent is not None
        ready = max(call.due, call.free)
        own = call.sent - ready
        if own <= _GRAIN and call.free > call.due:
            own = 0.0
        # Without lags the publisher would have been free that much earlier; before the call was due it does not matter.
        carried = max(0.0, min(carried, call.free - call.due)) + own
        following = calls[number + 1].free if number + 1 < len(calls) else None
        over = max((m.ok for m in call.messages if m.ok is not None and not m.cause), default=call.sent) if following is None else following
        found.append(_Sent(call.due, call.free, call.sent, carried, over))
    return found


def _rate(count: int, moments: Sequence[float]) -> float | None:
    """Calls per second between the first and the last; None where all were at once."""
    span = max(moments) - min(moments)
    return (count - 1) / span if span > 0 and count > 1 else None


# --- busy publishers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Busiest:
    """The fullest window (to a tenth of a second) in which no fault was in the way; of those that made calls late, if there are any.

    ``unseen``: calls that waited for the publisher, where there was hardly such a time.
    """

    share: float = 0.0
    late: int = 0
    span: _Span | None = None
    unseen: int = 0


def _busiest(calls: Sequence[_Sent], history: History) -> _Busiest:
    best = _Busiest()
    work = _Work(calls)
    whole = calls[-1].over - calls[0].sent
    spans = [(begin, end) for begin, end in _undisturbed(calls, history) if end - begin >= min(_STEP, whole)]
    for begin, end in spans:
        window = min(_WINDOW, end - begin)
        for step in range(math.floor((end - begin - window) / _STEP) + 1):
            start = begin + step * _STEP
            share = work.between(start, start + window) / window if window else 0.0
            late = work.late(start, start + window) if share >= _FULL else 0
            if window < _SHORT and late < _MANY:
                late = 0
            if (late > 0, share) > (best.late > 0, best.share) or best.span is None:
                best = _Busiest(share, late, (start, start + window))
    if sum(end - begin for begin, end in spans) < min(_SEEN, _SEEN_SHARE * whole) and not best.late:
        return _Busiest(unseen=work.lates[-1])
    return best


class _Work:
    """How long a publisher was at work until any moment, and how many calls had to wait for it.

    While a call waits all its time is work, what it spends between two publishes too: it has no more to give.
    """

    def __init__(self, calls: Sequence[_Sent]) -> None:
        self.begins = [call.free if call.free > call.due else call.sent for call in calls]
        self.done = [0.0]
        self.lates = [0]
        self.ends = [call.over for call in calls]
        burst = 0.0  # how much sooner the publisher would have been free without calls that were due at once with another one
        for number, call in enumerate(calls):
            # Of calls that are due at once all but the first are late by their number: so it was asked for.
            follows = number > 0 and calls[number - 1].due == call.due
            leads = not follows and number + 1 < len(calls) and calls[number + 1].due == call.due
            waited = call.free - call.due
            burst = 0.0 if leads else max(0.0, min(burst, waited))
            self.done.append(self.done[-1] + max(0.0, call.over - self.begins[number]))
            self.lates.append(self.lates[-1] + (not follows and waited - burst > LATE))
            if follows:
                burst += call.over - max(call.due, call.free)

    def until(self, moment: float) -> float:
        """Seconds of work."""
        number = bisect_left(self.begins, moment)
        if number == 0:
            return 0.0
        return self.done[number] - max(0.0, self.ends[number - 1] - moment)

    def between(self, begin: float, end: float) -> float:
        return self.until(end) - self.until(begin)

    def late(self, begin: float, end: float) -> int:
        """Calls taken up in this time that had waited for the publisher, and not for a burst alone."""
        return self.lates[bisect_left(self.begins, end)] - self.lates[bisect_left(self.begins, begin)]


def _undisturbed(calls: Sequence[_Sent], history: History) -> list[_Span]:
    """The times in which no fault that slows publishers was on or was being caught up on."""
    free = [(calls[0].sent, calls[-1].over)]
    for fault in history.faults:
        if fault.begun is None or not slows_publishers(fault):
            continue
        ended = fault.ended if fault.ended is not None else _healed(history, calls)
        until = _caught_up(calls, ended, ended + _CATCHING_UP * (ended - fault.begun))
        free = [span for begin, end in free for span in ((begin, min(end, fault.begun)), (max(begin, until), end)) if span[0] < span[1]]
    return free


def _healed(history: History, calls: Sequence[_Sent]) -> float:
    return history.healed_at if history.healed_at is not None else calls[-1].over


def _caught_up(calls: Sequence[_Sent], ended: float, latest: float) -> float:
    """When the publisher first waited for a call again, and not the call for it."""
    for call in calls[bisect_left(calls, ended, key=lambda call: call.sent) :]:
        if call.sent > latest:
            return latest
        if call.free <= call.due:
            return max(ended, call.free)
    return latest


# --- in words ---------------------------------------------------------------------------------------------------------


_ADVICE = "lower the rate, write `prepare: true`, or give the stream more `publishers`"


def _bottleneck(lags: Sequence[float], dropped: int, busiest: _Busiest, history: History) -> str:
    lagging = len(lags) - bisect_left(lags, math.nextafter(LATE, math.inf))
    if dropped:
        held_up = "shorten the fault that held the publisher up, " if any(map(slows_publishers, history.faults)) else ""
        return f"{dropped:,} of {len(lags) + dropped:,} calls were dropped, 60 s late before they could be sent: {held_up}{_ADVICE}"
    if busiest.late and busiest.span:
        begin, end = busiest.span
        return (
            f"a publisher was busy for {busiest.share:.0%} of the time from {begin:.1f} s to {end:.1f} s, without a fault in its way, "
            f"and calls waited for it: {_ADVICE}"
        )
    if busiest.unseen >= _FEW and busiest.unseen > _SHARE * len(lags):
        return (
            f"{busiest.unseen:,} of {len(lags):,} calls waited for their publisher, and hardly ever was there no fault in its way, so "
            f"nobody can tell which of the two made them late: let the load last longer than the fault, or {_ADVICE}"
        )
    if lagging >= _FEW and lagging > _SHARE * len(lags):
        return (
            f"{lagging:,} of {len(lags):,} calls were sent more than {LATE * 1000:.0f} ms late (at most {lags[-1]:.2f} s) because "
            "the generator did not get to run: give it more processor time, or lower the rate"
        )
    return ""
