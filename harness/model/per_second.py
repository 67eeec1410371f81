"""What a run measured, second by second. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TypeVar

from harness.model.grid import Grid
from harness.model.history import History, Message
from harness.model.measures import PerSecond
from harness.model.measuring import nearest_rank
from harness.model.memory import collector_paused
from harness.model.sampling import LATENCIES, Samples
from harness.model.starts import COPIED, REDELIVERED, RETRIED, end_of, started_again

__all__ = ["horizon", "per_second"]

_Value = TypeVar("_Value", int, float)

_PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
#: A figure that is asked for about once a second stands for so long: a question now and then comes late.
_STANDS = 3.0
#: Less of a second than this says nothing about it.
_ENOUGH = 0.5


def horizon(history: History) -> float:
    """When the last thing happened that a chart shows."""
    moments = [history.load_ended, history.healed_at, history.quiet_at]
    moments += [m for d in history.deliveries.values() for m in (d.at, d.end, d.ack)]
    moments += [m for f in history.faults for m in (f.begun, f.ended)]
    moments += [call.due for call in history.calls.values()]
    moments += [history.depths[-1].at] if history.depths else []
    return max((m for m in moments if m is not None), default=0.0)


def per_second(samples: Samples) -> PerSecond | None:
    """From the first second of the load until nothing happened any more; None where nothing ever did."""
    history = samples.history
    end = horizon(history)
    if end <= 0:
        return None
    with collector_paused():
        return _counted(samples, _Seconds(max(1, math.ceil(end - 1e-9))))


def _counted(samples: Samples, seconds: _Seconds) -> PerSecond:
    history = samples.history
    deliveries = history.deliveries.values()
    again = [(started_again(d), d.start if d.start is not None else d.at) for d in deliveries]
    ended = [(end_of(d), d.state == "FAILURE" or not d.state) for d in deliveries if d.state not in ("RETRY", "RAISED")]
    usage = history.usage
    workers = sorted({name for sample in usage for name in sample.cpu})
    return PerSecond(
        start=0,
        due=seconds.counts(call.due for call in history.calls.values()),
        sent=seconds.counts(_sent(call.messages) or call.sent for call in history.calls.values() if call.publish == "ok"),
        finished=seconds.counts(at for at, _ in ended),
        failed=seconds.counts(at for at, failed in ended if failed),
        retried=seconds.counts(at for why, at in again if why == RETRIED),
        redelivered=seconds.counts(at for why, at in again if why == REDELIVERED),
        duplicated=seconds.counts(at for why, at in again if why == COPIED),
        dead_lettered=seconds.counts(_buried(m) for m in history.messages.values() if m.held is not None and m.held.place == "dead_letter"),
        percentiles={
            metric: {
                name: tuple(nearest_rank(samples.by_second(metric).get(second, ()), percent) for second in range(seconds.count))
                for name, percent in _PERCENTILES.items()
            }
            for metric in LATENCIES
        },
        ready=seconds.highest((d.at, d.ready) for d in history.depths),
        unacked=seconds.highest((d.at, d.unacked) for d in history.depths),
        oldest=seconds.highest((d.at, round(d.oldest, 3)) for d in history.depths),
        cpu={name: seconds.rates([(u.at, u.cpu[name]) for u in usage if name in u.cpu]) for name in workers},
        memory={name: seconds.latest([(u.at, u.memory.get(name)) for u in usage]) for name in workers},
        broker_memory=seconds.latest([(u.at, u.broker_memory) for u in usage]),
        broker_connections=seconds.latest([(u.at, u.broker_connections) for u in usage]),
    )


def _sent(messages: Sequence[Message]) -> float | None:
    """When the broker had taken all that the call itself published."""
    return max((m.ok for m in messages if m.ok is not None and not m.cause), default=None)


def _buried(message: Message) -> float | None:
    """When a message became a dead letter, as far as journals show it: rejected, or expired. None: the broker's own doing (its length)."""
    rejected = [d.reject for d in message.deliveries if d.reject is not None and not d.requeue]
    return max(rejected) if rejected else message.expires


class _Seconds(Grid):
    """A grid of seconds, of what is sampled now and then too."""

    def highest(self, samples: Iterable[tuple[float, _Value]]) -> tuple[_Value | None, ...]:
        found: dict[int, _Value] = {}
        for at, value in samples:
            number = self.index(at)
            if number is not None and value >= found.get(number, value):
                found[number] = value
        return tuple(found.get(number) for number in range(self.count))

    def latest(self, samples: Sequence[tuple[float, int | None]]) -> tuple[int | None, ...]:
        """What was last known at the end of each second, unless that is too old."""
        found: list[int | None] = []
        for second in range(self.count):
            at, value = samples[place] if (place := bisect_left(samples, second + 1, key=itemgetter(0)) - 1) >= 0 else (-math.inf, None)
            found.append(value if second + 1 - at <= _STANDS else None)
        return tuple(found)

    def rates(self, samples: Sequence[tuple[float, float]]) -> tuple[float | None, ...]:
        """Of a counter: its growth in each second, in proportion between samples. One that falls began anew, with another process."""
        grown: dict[int, float] = defaultdict(float)
        covered: dict[int, float] = defaultdict(float)
        for (begin, low), (end, high) in pairwise(samples):
            if high < low or end <= begin or end - begin > _STANDS:
                continue
            for second in range(max(0, math.floor(begin)), min(self.count, math.ceil(end))):
                part = min(end, second + 1) - max(begin, second)
                if part > 0:
                    grown[second] += (high - low) * part / (end - begin)
                    covered[second] += part
        return tuple(round(grown[n] / covered[n], 4) if covered.get(n, 0.0) >= _ENOUGH else None for n in range(self.count))
