"""What a run says about performance: latencies and throughput of the tasks that no fault touched."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.model.gate import Measure, Measures
from harness.model.measuring import enough_for, nearest_rank
from harness.model.result import FaultResult, RunResult

__all__ = ["ENOUGH_FOR_A_RATE", "MEASURES", "measures_of", "typical"]

MEASURES: tuple[Measure, ...] = ("p50", "p95", "p99", "throughput")

#: Tasks without which a rate says nothing.
ENOUGH_FOR_A_RATE = 20

_Span = tuple[float, float]


def measures_of(result: RunResult) -> Measures:
    """Percentiles by nearest rank over tasks that ended; a task counts if no fault, nor the recovery from one, fell into its time.

    Throughput: tasks that ended, per second from the start of the load to the last end, both without the times of the faults.
    """
    tasks = result.tasks
    if tasks is None:
        return Measures()
    spans = _fault_spans(result.faults)
    lives = [(due, due + late) for due, late in zip(tasks.due, tasks.latency, strict=True) if late is not None]
    latencies = sorted(end - due for due, end in lives if not any(due <= to and end >= begin for begin, to in spans))
    return Measures(
        p50=_percentile(latencies, 50),
        p95=_percentile(latencies, 95),
        p99=_percentile(latencies, 99),
        throughput=_throughput([end for _, end in lives], spans),
        samples=len(latencies),
    )


def typical(samples: Sequence[Measures]) -> Measures:
    """The median of each figure over runs that have it; ``samples``: the median number of tasks. No runs: nothing is known."""
    if not samples:
        return Measures()

    def middle(measure: Measure) -> float | None:
        known = [value for sample in samples if (value := getattr(sample, measure)) is not None]
        return round(statistics.median(known), 6) if known else None

    figures = {measure: middle(measure) for measure in MEASURES}
    return Measures(**figures, samples=int(statistics.median(s.samples for s in samples)))


def _fault_spans(faults: Sequence[FaultResult]) -> list[_Span]:
    """From the strike to the end of the recovery, where these are known; joined where they overlap."""
    spans: list[_Span] = []
    struck = [(f.begun, (f.ended if f.ended is not None else f.begun) + (f.recovery or 0.0)) for f in faults if f.begun is not None]
    for begin, end in sorted(struck):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans


def _percentile(ranked: Sequence[float], percent: float) -> float | None:
    return nearest_rank(ranked, percent) if len(ranked) >= enough_for(percent) else None


def _throughput(ends: Sequence[float], spans: Sequence[_Span]) -> float | None:
    undisturbed = [end for end in ends if not any(begin <= end <= to for begin, to in spans)]
    if len(undisturbed) < ENOUGH_FOR_A_RATE:
        return None
    over = max(undisturbed)
    seconds = over - sum(max(0.0, min(to, over) - max(0.0, begin)) for begin, to in spans)
    return round(len(undisturbed) / seconds, 6) if seconds > 0 else None
