"""A comparison in words: names of rows, figures with their units, what it comes down to."""

from __future__ import annotations

from harness.model.comparing import Comparison, Row, Side
from harness.model.quantities import format_duration
from harness.reporting.latencies import NAMES
from harness.reporting.words import number, opened, plural

__all__ = ["basis", "figure", "interval", "name_of", "outcome_of", "part_of", "side_text", "summary", "times"]

_NAMES: dict[str, str] = {
    **{str(metric): name for metric, name in NAMES.items()},
    "throughput": "throughput",
    "retries": "retries per call",
    "cpu": "processor per task",
    "memory": "workers' memory",
    "broker_memory": "broker's memory",
}
_WORSE = {"s": "slower", "/s": "lower", "per call": "more", "bytes": "more"}
_BETTER = {"s": "faster", "/s": "higher", "per call": "fewer", "bytes": "less"}


def name_of(row: Row) -> str:
    """``end to end p95``."""
    return _NAMES[row.metric] if row.statistic == "mean" else f"{_NAMES[row.metric]} {row.statistic}"


def part_of(row: Row) -> str:
    """``task orders.charge``, ``phase faulty``, ``the whole load``."""
    return f"task {row.task}" if row.task else f"phase {row.phase}" if row.phase else "the whole load"


def figure(value: float | None, row: Row, side: str) -> str:
    """With its unit; never: infinite; – not known."""
    if value is None:
        return "never" if row.never in (side, "both") else "–"
    if row.unit == "s":
        return f"{value * 1000:.2g} ms" if 0 < value < 0.0095 else format_duration(value)
    if row.unit == "/s":
        return f"{value:,.1f}/s"
    return f"{value / 1e6:,.1f} MB" if row.unit == "bytes" else f"{value:.3g}"


def times(value: float | None) -> str:
    """``×1.52``."""
    return "" if value is None else f"×{value:.3g}" if value >= 10 or value < 0.1 else f"×{value:.2f}"


def interval(row: Row) -> str:
    """``1.40 to 1.66``; ``over 1.40`` where it is open above."""
    low, high = times(row.low)[1:], times(row.high)[1:]
    if low and high:
        return f"{low} to {high}"
    return f"over {low}" if low else f"under {high}" if high else ""


def outcome_of(row: Row) -> str:
    """``slower``, ``higher``, …; '' where the interval does not say."""
    if row.outcome == "open":
        return ""
    words = _WORSE if row.outcome == "worse" else _BETTER
    return words["per call" if row.metric == "retries" else "bytes" if row.metric == "cpu" else row.unit]


def side_text(side: Side) -> str:
    """``A: config.task_acks_late=true, 8 runs``; runs that do not count are named in the notes."""
    counted = [run for run in side.runs if not run.left_out]
    runs = f"run {counted[0].run_id}" if len(counted) == 1 else plural(len(counted), "run")
    return ", ".join(filter(None, (*side.changes, runs)))


def summary(comparison: Comparison) -> str:
    """One line: what differs over the whole load."""
    whole = [row for row in comparison.rows if not row.task and not row.phase]
    told = [[_told(row) for row in whole if row.outcome == outcome] for outcome in ("worse", "better")]
    if not comparison.rows:
        return "Nothing can be said: a side has no run that counts."
    if not any(row.low is not None or row.high is not None for row in comparison.rows):
        return "Nothing can be said: no ratio has an interval."
    parts = [f"{word}: {', '.join(names)}" for word, names in zip(("worse", "better"), told, strict=True) if names]
    return opened(f"B is {'; '.join(parts)}.") if parts else "No difference is shown: every interval holds 1, or is open."


def _told(row: Row) -> str:
    return f"{name_of(row)} {times(row.ratio) or ('never ends' if row.never == 'B' else 'ends again')}"


def basis(comparison: Comparison) -> str:
    """Where the intervals come from, and what they do not say."""
    confidence = f"{comparison.confidence * 100:g} %"
    if comparison.source == "seconds":
        return (
            f"{confidence} intervals from within the two runs, by blocks of their seconds: they say how these two runs differ, and not "
            "whether the next two would. Runs in turn say that: --interleave."
        )
    if comparison.source == "pairs":
        pairs = plural(comparison.pairs, "pair")
        return f"{confidence} intervals from {pairs} of runs made in turn (Wilcoxon's signed ranks); ratios: Hodges and Lehmann."
    runs = " and ".join(number(sum(not run.left_out for run in side.runs)) for side in comparison.sides)
    return (
        f"{confidence} intervals from {runs} runs (Wilcoxon's rank sums); ratios: Hodges and Lehmann. What drifted between them counts "
        "as a difference."
    )
