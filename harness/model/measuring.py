"""What a run measured, by task, queue, worker and phase: rows of latencies. Pure; docs/load.md defines each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.model.histograms import available, bucketed, encode
from harness.model.measures import Measure, MetricName, Summary
from harness.model.memory import collector_paused
from harness.model.sampling import LATENCIES, PHASES, Part, Samples

__all__ = ["MOST_ROWS", "enough_for", "measures", "nearest_rank", "place_of", "summary"]

#: A row with its histogram has a few kilobytes.
MOST_ROWS = 300
_NAMED = 5


class _Row(NamedTuple):
    """'' for all of them."""

    task: str = ""
    queue: str = ""
    worker: str = ""


def measures(samples: Samples) -> tuple[tuple[Measure, ...], str]:
    """(rows, what had to be left out in words, or ''). A row without a sample is not there.

    The whole load first, then tasks, queues, workers; each over all phases and in each. Where there are more than `MOST_ROWS`, those of
    the parts with the fewest samples go.
    """
    with collector_paused():
        counts = _counts(samples)
        kept, dropped = _kept(counts)
        rows = tuple(measure for metric in LATENCIES for measure in _of_metric(samples, metric, kept))
    return rows, _left_out(dropped)


def _rows_of(part: Part) -> Iterator[_Row]:
    yield _Row()
    if part.task:
        yield _Row(task=part.task)
    for queue in part.queues:
        yield _Row(queue=queue)
    if part.worker:
        yield _Row(worker=part.worker)


def _counts(samples: Samples) -> dict[_Row, tuple[int, int]]:
    """Row -> (lines that it takes, samples that it has)."""
    lines: dict[_Row, set[tuple[str, str]]] = defaultdict(set)
    numbers: Counter[_Row] = Counter()
    for metric in LATENCIES:
        for part, values in samples.parts(metric).items():
            for row in _rows_of(part):
                lines[row] |= {(metric, ""), (metric, part.phase)}
                numbers[row] += len(values)
    return {row: (len(found), numbers[row]) for row, found in lines.items()}


def _kept(counts: dict[_Row, tuple[int, int]]) -> tuple[list[_Row], list[_Row]]:
    """Rows in the order in which they are shown, and those for which there is no room."""
    kept: list[_Row] = []
    dropped: list[_Row] = []
    room = MOST_ROWS
    for row in sorted(counts, key=lambda row: (row != _Row(), -counts[row][1], row)):
        room -= counts[row][0]
        (kept if room >= 0 else dropped).append(row)
    kept.sort(key=lambda row: (bool(row.worker), bool(row.queue), row))
    return kept, dropped


def _left_out(dropped: Sequence[_Row]) -> str:
    if not dropped:
        return ""
    named = [next(f"{kind} {value}" for kind, value in row._asdict().items() if value) for row in dropped]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"no measures of their own have those with the fewest samples: {', '.join(named[:_NAMED])}{more}"


def _of_metric(samples: Samples, metric: MetricName, kept: Sequence[_Row]) -> Iterator[Measure]:
    values: dict[tuple[_Row, str], list[float]] = defaultdict(list)
    buckets: dict[tuple[_Row, str], Counter[int]] = defaultdict(Counter)
    wanted, histograms = set(kept), available()
    for part, found in samples.parts(metric).items():
        counted = bucketed(found) if histograms else Counter()
        for row in _rows_of(part):
            if row in wanted:
                for phase in {"", part.phase}:
                    values[row, phase] += found
                    buckets[row, phase].update(counted)
    for row in kept:
        for phase in ("", *PHASES):
            if (row, phase) in values:
                ranked = sorted(values.pop((row, phase)))  # linear, nearly: it is runs that are in order
                histogram = encode(buckets.pop((row, phase))) if histograms else ""
                yield Measure(metric=metric, **row._asdict(), phase=phase, summary=summary(ranked), histogram=histogram)


def summary(ranked: Sequence[float]) -> Summary:
    """Of samples in order, infinite ones at the end."""
    never = len(ranked)
    while never and ranked[never - 1] == math.inf:
        never -= 1
    finite = ranked[:never]
    return Summary(
        count=len(ranked),
        never=len(ranked) - never,
        mean=_rounded(math.fsum(finite) / never) if never else None,
        min=_rounded(ranked[0]) if ranked else None,
        max=_rounded(ranked[-1]) if ranked else None,
        p50=nearest_rank(ranked, 50),
        p90=nearest_rank(ranked, 90),
        p95=nearest_rank(ranked, 95),
        p99=nearest_rank(ranked, 99),
        p999=nearest_rank(ranked, 99.9),
    )


def nearest_rank(ranked: Sequence[float], percent: float) -> float | None:
    """A value that was measured; None: infinite, or no sample."""
    return _rounded(ranked[place_of(percent, len(ranked))]) if ranked else None


def enough_for(percent: float) -> int:
    """Samples without which a percentile says nothing: as many as let one lie beyond it (20 for p95, 100 for p99), and five at least."""
    return max(5, math.ceil(round(100 / (100 - percent), 6)))


def place_of(percent: float, count: int) -> int:
    """Where a percentile stands among so many values in order, from 0. Rounded: 99.9 % of 1,000 is 999, and no hair more."""
    return max(0, math.ceil(round(percent / 100 * count, 9)) - 1)


def _rounded(value: float) -> float | None:
    return None if value == math.inf else round(value, 6)
