"""The run over time: one value per step of the clock, and each worker's ups and downs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.model.grid import Grid
from harness.model.history import History, ProcessLife
from harness.model.measuring import nearest_rank
from harness.model.per_second import horizon
from harness.model.result import Lane, Series, TaskColumns
from harness.model.starts import COPIED, REDELIVERED, RETRIED, started_again
from harness.run.columns import storable

__all__ = ["lanes", "series"]

#: Steps in seconds; the first one with which the run fits into `_MOST` values is taken, below a second only for short runs.
_STEPS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0)
_FINE_UP_TO = ((8.0, 0), (20.0, 1))
_MOST = 600


def series(history: History, tasks: TaskColumns) -> Series | None:
    """Rates per second, percentiles of tasks by the step in which they were due, the broker's depth. None: nothing happened."""
    span = horizon(history)
    if span <= 0:
        return None
    finest = next((index for length, index in _FINE_UP_TO if span <= length), 2)
    step = next((s for s in _STEPS[finest:] if span / s <= _MOST), span / _MOST)
    count = max(1, math.ceil(span / step - 1e-9))
    grid = _Steps(count, step)
    late = grid.lists(zip(tasks.due, tasks.latency, strict=True))
    deliveries = history.deliveries.values()
    starts = [(started_again(d), d.start if d.start is not None else d.at) for d in deliveries]
    return Series(
        start=0.0,
        step=step,
        finished=grid.rates(d.end for d in deliveries if d.end is not None and d.state not in ("RETRY", "RAISED")),
        published=grid.rates(m.ok if m.ok is not None else m.begun for m in history.messages.values()),
        p50=tuple(nearest_rank(values, 50) for values in late),
        p95=tuple(nearest_rank(values, 95) for values in late),
        p99=tuple(nearest_rank(values, 99) for values in late),
        ready=grid.highest((d.at, float(d.ready)) for d in history.depths),
        unacked=grid.highest((d.at, float(d.unacked)) for d in history.depths),
        oldest=grid.highest((d.at, d.oldest) for d in history.depths),
        retried=grid.counts(at for why, at in starts if why == RETRIED),
        redelivered=grid.counts(at for why, at in starts if why == REDELIVERED),
        duplicated=grid.counts(at for why, at in starts if why == COPIED),
    )


class _Steps(Grid):
    """A grid of what a chart draws."""

    def rates(self, moments: Iterable[float | None]) -> tuple[float, ...]:
        return tuple(round(n / self.step, 3) for n in self.counts(moments))

    def lists(self, pairs: Iterable[tuple[float, float | None]]) -> list[list[float]]:
        found: list[list[float]] = [[] for _ in range(self.count)]
        for at, value in pairs:
            number = self.index(at)
            if number is not None and value is not None:
                found[number].append(value)
        for values in found:
            values.sort()
        return found

    def highest(self, samples: Iterable[tuple[float, float]]) -> tuple[float, ...]:
        """The highest sample of each step; a step without one repeats the last sample before it."""
        found: list[float | None] = [None] * self.count
        last: dict[int, float] = {}
        for at, value in samples:
            number = self.index(at)
            if number is not None:
                known = found[number]
                found[number] = value if known is None else max(known, value)
                last[number] = value
        carried, out = 0.0, []
        for number, peak in enumerate(found):
            out.append(carried if peak is None else peak)
            carried = last.get(number, carried)
        return tuple(out)


def lanes(history: History) -> tuple[Lane, ...]:
    """Each worker by name, over all its lives: up, cut off from the broker, or down in between."""
    by_name: dict[str, list[ProcessLife]] = {}
    for life in history.processes:
        if life.kind == "worker":
            by_name.setdefault(life.name, []).append(life)
    end = max([horizon(history), *(m for m in (history.ended, history.stopped_at) if m is not None)])
    stopped = history.stopped_at if history.stopped_at is not None else end
    return tuple(
        Lane(name=storable(name), spans=_spans(sorted(lives, key=lambda p: p.up), stopped)) for name, lives in sorted(by_name.items())
    )


def _spans(lives: Sequence[ProcessLife], stopped: float) -> tuple[tuple[float, float, str], ...]:
    spans: list[tuple[float, float, str]] = []
    for life in lives:
        up = life.ready if life.ready is not None else life.up
        down = min(stopped, life.down) if life.down is not None else stopped
        if spans and up > spans[-1][1]:
            spans.append((spans[-1][1], up, "down"))
        spans += _connected_spans(life, up, down)
    if spans and spans[-1][1] < stopped - 1e-6:
        spans.append((spans[-1][1], stopped, "down"))
    return tuple((round(a, 3), round(b, 3), state) for a, b, state in spans if b > a)


def _connected_spans(life: ProcessLife, up: float, down: float) -> list[tuple[float, float, str]]:
    spans: list[tuple[float, float, str]] = []
    at = up
    for lost in sorted(life.disconnected):
        if not at <= lost < down:
            continue
        back = min((c for c in life.connected if c > lost), default=down)
        spans += [(at, lost, "up"), (lost, min(back, down), "cut")]
        at = min(back, down)
    return [*spans, (at, down, "up")]
