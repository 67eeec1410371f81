"""Little's law, L = λW, by which each run is held against itself: two sources that know nothing of one another must agree.

The broker's own count of its messages is sampled while the run goes on; the journals say of every message when it was published and when
acknowledged. A journal that lost records, a clock that is wrong or a sampler that looked elsewhere makes the two differ, and
latencies from such journals are no measurement.

A count is true of some instant while the broker answered, or of one a little before; and not of every message can journals say to the
instant when the broker had it. So each sample is compared with the range that was possible then. The stated error is the sum of what
samples miss between them (which the journals say), the width of that range, the 99 % interval of what lies beyond it, and what old counts
add to a trend.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.model.history import Depth, History, Message
from harness.model.measures import Little
from harness.model.memory import collector_paused

__all__ = ["little"]

#: Fewer samples, or less of the run covered by them, say nothing.
_FEWEST = 20
_LEAST_SHARE = 0.5
#: Seconds without a sample: nobody knows what was there meanwhile, so that time is left out on both sides.
_GAP = 1.0
#: Seconds by which a record may be written before or after the broker did what it tells of.
_NOTED = 0.01
#: Seconds by which a broker's count may be old: that matters where there is more at the end than at the beginning.
_STALE = 0.25
#: Samples that make a batch, a second of them: what a count is old by is over by then.
_BATCH = 5
#: Student's t, 99 %, by the number of batches less one; above these it is near to that of the normal distribution.
_T99 = {1: 63.66, 2: 9.92, 3: 5.84, 4: 4.60, 5: 4.03, 6: 3.71, 7: 3.50, 8: 3.36, 9: 3.25}
_NEVER = math.inf
#: An error by which records of a fifth of all messages might be missing unseen is no agreement; a difference beyond it counts all the same.
_LARGE = 0.2
#: Messages: a broker counts whole ones, so where there are but a few no error is smaller than about that.
_WHOLE = 1.0
#: Which part of the error is the largest, in the order of their sum.
_WORDS = (
    "too much happened between its samples",
    "of too many messages journals cannot tell when the broker had them",
    "its samples are too few for how much they vary",
    "the backlog changed too much in so short a run",
)


@dataclass(frozen=True, slots=True)
class _Stay:
    """A message in the broker: surely from ``begin`` to ``end`` (never, where that is earlier), possibly from ``soonest`` to ``latest``."""

    soonest: float
    begin: float
    end: float
    latest: float


def little(history: History) -> Little | None:
    """None where the samples are too few, or nothing was there."""
    spans = _spans(history.depths)
    samples = [d for span in spans for d in span]
    watched = sum(span[-1].at - span[0].at for span in spans)
    whole = history.depths[-1].at - history.depths[0].at if history.depths else 0.0
    if len(samples) < _FEWEST or watched < _LEAST_SHARE * whole:
        return None
    with collector_paused():
        stays = [stay for message in history.messages.values() for stay in _stays(message, history)]
        surely = _Steps((s.begin, s.end) for s in stays if s.begin < s.end)
        possibly = _Steps((s.soonest, s.latest) for s in stays)
        computed = sum(surely.area(span[0].at, span[-1].at) for span in spans) / watched
        low = {d: surely.extreme(d.at - _NOTED, d.at + d.took + _NOTED, least=True) for d in samples}
        high = {d: possibly.extreme(d.at - _NOTED, d.at + d.took + _NOTED, least=False) for d in samples}
        exact = {d: float(surely.at(d.at + d.took / 2)) for d in samples}
    counted = {d: float(d.ready + d.unacked) for d in samples}
    beyond = [counted[d] - min(max(counted[d], low[d]), high[d]) for d in samples]
    mean, least, most, seen = (_mean(spans, values, watched) for values in (counted, low, high, exact))
    drift = _STALE * sum(abs(exact[span[-1]] - exact[span[0]]) for span in spans) / watched
    parts = (abs(seen - computed), max(most - seen, seen - least), _half_width(beyond), drift)
    error = math.fsum(parts)
    agree = abs(mean - computed) <= error
    silent = agree and error > max(_WHOLE, _LARGE * max(mean, computed))
    return Little(
        counted=round(mean, 3),
        computed=round(computed, 3),
        error=round(error, 3),
        samples=len(samples),
        holds=None if silent else agree,
        silent=_WORDS[parts.index(max(parts))] if silent else "",
    )


def _spans(depths: Sequence[Depth]) -> list[list[Depth]]:
    """Runs of samples of the load and after, none of them with a gap."""
    spans: list[list[Depth]] = []
    for depth in depths:
        if depth.at < 0:
            continue
        if spans and depth.at - spans[-1][-1].at - spans[-1][-1].took <= _GAP:
            spans[-1].append(depth)
        else:
            spans.append([depth])
    return [span for span in spans if len(span) > 1]


def _mean(spans: Sequence[Sequence[Depth]], values: dict[Depth, float], watched: float) -> float:
    """Over time, in a straight line from sample to sample."""
    return sum((values[a] + values[b]) / 2 * (b.at - a.at) for span in spans for a, b in pairwise(span)) / watched


def _half_width(residues: Sequence[float]) -> float:
    """Of the 99 % interval of their mean, by means of batches: neighbours resemble one another."""
    means = [statistics.fmean(residues[i : i + _BATCH]) for i in range(0, len(residues) - _BATCH + 1, _BATCH)]
    freedom = len(means) - 1
    return _T99.get(freedom, 2.576 * (1 + 2.3 / freedom)) * statistics.stdev(means) / math.sqrt(len(means))


def _stays(message: Message, history: History) -> Iterator[_Stay]:
    """Of the message, and of each injected copy of it."""
    own = [d for d in message.deliveries if not d.copy]
    first = min((d.at for d in own), default=None)
    begin = message.ok if message.ok is not None else first
    soonest = message.begun if message.begun is not None else -_NEVER  # of a foreign one nobody knows
    if begin is None:  # its publish failed, or nobody has seen how it ended
        begin = _NEVER if message.held is None else soonest
    if first is not None:
        begin = min(begin, first)
    gone = sorted(t for d in own for t in (d.ack, d.reject if not d.requeue else None) if t is not None)
    held = message.held is not None and message.held.place not in ("dead_letter", "resting")
    elsewhere = message.held is not None and not held  # these places are not counted; when it went there, the broker alone knows
    last = max((d.at for d in own), default=begin)
    if held:
        end = latest = _NEVER
    elif elsewhere:
        end, latest = (min(last, *gone) if gone else begin), _NEVER
    else:  # neither held nor acknowledged by any record: it was there when it was last delivered
        end, latest = (gone[0], max(gone[-1], last)) if gone else (last, _NEVER)
    yield _Stay(soonest, begin, end, latest)
    for delivery in message.deliveries:
        if delivery.copy:
            done = delivery.ack if delivery.ack is not None else delivery.reject
            yield _Stay(soonest, delivery.at, delivery.at if done is None else done, _NEVER if done is None else done)


class _Steps:
    """How many of these intervals hold a moment."""

    def __init__(self, intervals: Iterator[tuple[float, float]]) -> None:
        begins, ends = [], []
        for begin, end in intervals:
            begins.append(begin)
            ends.append(end)
        self._begins, self._ends = sorted(begins), sorted(ends)

    def at(self, moment: float) -> int:
        return bisect_right(self._begins, moment) - bisect_right(self._ends, moment)

    def extreme(self, begin: float, end: float, *, least: bool) -> float:
        """The least or greatest number in that time."""
        number = best = self.at(begin)
        i, j = bisect_right(self._begins, begin), bisect_right(self._ends, begin)
        stop_i, stop_j = bisect_right(self._begins, end), bisect_right(self._ends, end)
        while i < stop_i or j < stop_j:
            if j >= stop_j or (i < stop_i and self._begins[i] <= self._ends[j]):
                number += 1
                i += 1
            else:
                number -= 1
                j += 1
            best = min(best, number) if least else max(best, number)
        return float(best)

    def area(self, begin: float, end: float) -> float:
        """Of the steps in that time: messages times seconds."""
        return _inside(self._begins, begin, end) - _inside(self._ends, begin, end)


def _inside(moments: Sequence[float], begin: float, end: float) -> float:
    """Sum over all moments of how long each has been over, between begin and end."""
    before = bisect_left(moments, begin)
    upto = bisect_left(moments, end)
    return before * (end - begin) + sum(end - at for at in moments[before:upto])
