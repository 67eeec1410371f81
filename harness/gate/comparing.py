"""Two sides, figure by figure: the ratio B / A and its interval, from within one run a side or from several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harness.gate.dependent import Bounds, quantile_bounds, ratio_bounds, share_bounds
from harness.gate.figures import SHARES, Figures, Key
from harness.gate.rank_sum import effect_of_two, fewest_runs
from harness.gate.statistics import effect, most_trimmed
from harness.model.comparing import ComparedMetric, Row, Source
from harness.model.sampling import PHASES

__all__ = ["ORDER", "bounded", "compare", "regressions", "source_of", "undecided"]

#: As they are shown.
ORDER: tuple[ComparedMetric, ...] = (
    "publish_latency",
    "queue_wait",
    "run_time",
    "end_to_end_latency",
    "throughput",
    "retries",
    "cpu",
    "memory",
    "broker_memory",
)
_UNITS: dict[ComparedMetric, Literal["s", "/s", "per call", "bytes"]] = {
    "throughput": "/s",
    "retries": "per call",
    "memory": "bytes",
    "broker_memory": "bytes",
}
#: Stands for infinity where logarithms of figures are averaged; any mean in which it takes part is infinite for people.
_ENDLESS = 1e60
_INFINITE = 1e12


def source_of(before: int, after: int, *, paired: bool) -> Source:
    """Where the intervals of so many runs a side come from."""
    return "seconds" if before == after == 1 else "pairs" if paired else "runs"


def compare(before: Sequence[Figures], after: Sequence[Figures], *, confidence: float, paired: bool) -> list[Row]:
    """Rows in the order in which they are shown: the whole load, tasks, phases. Those that neither side knows are not there.

    ``paired``: entries of the same index belong together. Each interval misses in at most 1 - ``confidence`` of cases; one within runs
    says how these two differ, and not whether the next two would.
    """
    source = source_of(len(before), len(after), paired=paired)
    keys = sorted({key for one in (*before, *after) for key in one.values}, key=_place)
    if source == "seconds":
        # Half of the error for either side: then both of their intervals hold together, and so does the ratio's.
        return [_within(key, before[0], after[0], (1 - confidence) / 2) for key in keys]
    return [_over_runs(key, before, after, 1 - confidence, source) for key in keys]


def bounded(rows: Sequence[Row]) -> bool:
    """Whether anything can be said at all."""
    return any(row.low is not None or row.high is not None for row in rows)


def regressions(rows: Sequence[Row], tolerance: float) -> list[int]:
    """Indices of the rows of the whole load whose whole interval is worse by more than the tolerance (a share)."""
    return [i for i, row in enumerate(rows) if not row.task and not row.phase and _beyond(row, tolerance)]


def undecided(rows: Sequence[Row]) -> list[int]:
    """Indices of the rows of the whole load that no ratio speaks of although B looks worse: it has what A had none of, or lost a figure."""
    return [i for i, row in enumerate(rows) if not row.task and not row.phase and row.ratio is None and _looks_worse(row)]


def _looks_worse(row: Row) -> bool:
    if row.never in ("A", "both"):
        return False
    if row.never == "B" or (row.before is not None and row.after is None):
        return row.low is None
    if row.before == 0:
        return bool(row.after) and not row.less_is_worse
    return row.less_is_worse and row.after == 0


def _beyond(row: Row, tolerance: float) -> bool:
    if row.less_is_worse:
        return row.high is not None and row.high < 1 - tolerance
    return row.low is not None and row.low > 1 + tolerance


def _place(key: Key) -> tuple[object, ...]:
    phase = PHASES.index(key.part.phase) + 1 if key.part.phase else 0
    return bool(key.part.task), phase, key.part.task, ORDER.index(key.metric), key.statistic


def _within(key: Key, before: Figures, after: Figures, error: float) -> Row:
    none = (math.nan, 0)
    row = _row(key, before.values.get(key, none), after.values.get(key, none))
    if row.why:
        return row
    left, right = _bounds(key, before, error), _bounds(key, after, error)
    return _judged(row, ratio_bounds(left, right))


def _bounds(key: Key, side: Figures, error: float) -> Bounds:
    """Around the figure itself. Where only each second's percentiles are known these give the width."""
    value = side.values[key][0]
    if key.statistic == "mean":
        counts = side.counts[key.metric, key.part]
        return share_bounds(counts.above, counts.below, error)
    share, metric = SHARES[key.statistic], key.metric
    if metric == "run_time" or metric == "end_to_end_latency":
        return quantile_bounds(side.samples[metric, key.part], share, error)
    if key.part.task or key.part.phase or (metric != "publish_latency" and metric != "queue_wait"):
        return Bounds(value, why="needs several runs")
    samples = side.seconds_percentiles(metric)
    if not samples or math.isinf(value):
        return Bounds(value, why="needs several runs")
    near = quantile_bounds(samples, share, error)
    return replace(near.times(value / near.estimate) if near.estimate > 0 else near, estimate=value)


def _over_runs(key: Key, before: Sequence[Figures], after: Sequence[Figures], error: float, source: Source) -> Row:
    known = [[value[0] for side in runs if (value := side.values.get(key))] for runs in (before, after)]
    middles = [statistics.median_low(values) if values else math.nan for values in known]
    row = _row(key, (middles[0], len(known[0])), (middles[1], len(known[1])))
    if row.why:
        return row
    if source == "pairs":
        both = [(a.values[key][0], b.values[key][0]) for a, b in zip(before, after, strict=True) if key in a.values and key in b.values]
        usable = [(_finite(a), _finite(b)) for a, b in both if a > 0 and b > 0]
        found = effect(usable, error=error) if usable else None
        short = f"{len(usable)} pairs, {_fewest_pairs(error)} needed"
    else:
        sides = [[_finite(value) for value in values if value > 0] for values in known]
        found = effect_of_two(sides[0], sides[1], error=error) if all(sides) else None
        short = f"{len(sides[0])} and {len(sides[1])} runs, {fewest_runs(error)} needed"
    if found is None:
        return row.model_copy(update={"why": "some runs had none"})
    low = 0.0 if found.low < 1 / _INFINITE else found.low
    high = math.inf if found.high > _INFINITE else found.high
    return _judged(row, Bounds(found.ratio, low, high, short if low == 0.0 and math.isinf(high) else ""))


def _finite(value: float) -> float:
    return min(value, _ENDLESS)


def _fewest_pairs(error: float) -> int:
    return next(n for n in range(1, 100) if most_trimmed(n, error) is not None)


def _row(key: Key, one: tuple[float, int], other: tuple[float, int]) -> Row:
    """From (figure, samples) of A and B; without a ratio yet. `why` says where there can be none. NaN: not known."""
    (before, samples_before), (after, samples_after) = one, other
    never: Literal["", "A", "B", "both"] = "A" if math.isinf(before) else ""
    if math.isinf(after):
        never = "both" if never else "B"
    missing = [side for side, value in (("A", before), ("B", after)) if math.isnan(value)]
    none = [side for side, value in (("A", before), ("B", after)) if value == 0]
    why = f"too few samples in {' and '.join(missing)}" if missing else ""
    why = why or ("both never" if never == "both" else "")
    why = why or (f"{' and '.join(none)} had none" if none else "")
    return Row(
        metric=key.metric,
        statistic=key.statistic,
        task=key.part.task,
        phase=key.part.phase,
        unit=_UNITS.get(key.metric, "s"),
        before=_number(before),
        after=_number(after),
        never=never,
        outcome="open",
        samples_before=samples_before,
        samples_after=samples_after,
        why=why,
    )


def _judged(row: Row, found: Bounds) -> Row:
    ratio = found.estimate if 1 / _INFINITE < found.estimate < _INFINITE else None
    low, high = (found.low if found.low > 0 else None), (found.high if math.isfinite(found.high) else None)
    more = low is not None and low > 1
    less = high is not None and high < 1
    worse, better = (less, more) if row.less_is_worse else (more, less)
    outcome = "worse" if worse else "better" if better else "open"
    why = found.why if low is None and high is None else ""
    return row.model_copy(update={"ratio": ratio, "low": low, "high": high, "outcome": outcome, "why": why})


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
