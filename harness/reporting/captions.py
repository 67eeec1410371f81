"""What the charts answer, in a sentence each, computed from the very numbers that are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.quantities import format_duration
from harness.model.result import FaultResult, RunResult, Series
from harness.reporting.words import number, plural

__all__ = ["captions", "fault_span", "first_fault"]


def captions(result: RunResult) -> dict[str, str]:
    """Chart -> caption; a chart without anything to say has ''. Empty without a series."""
    series = result.series
    if series is None or not series.finished:
        return {}
    return {
        "dots": _dots(result),
        "latency": _latency(result, series),
        "rate": _rate(result, series),
        "queue": _queue(result, series),
        "oldest": _oldest(series),
        "again": _again(series),
        "workers": _workers(result),
    }


def first_fault(faults: Sequence[FaultResult]) -> float | None:
    """When the first fault began; None without one."""
    return min((f.begun for f in faults if f.begun is not None), default=None)


def fault_span(fault: FaultResult) -> tuple[float, float] | None:
    """(begin, end) of a fault that began; an open end is its beginning."""
    if fault.begun is None:
        return None
    return fault.begun, fault.ended if fault.ended is not None else fault.begun


def _dots(result: RunResult) -> str:
    tasks = result.tasks
    if tasks is None or not tasks.id:
        return "No task was seen."
    ended = [(latency, i) for i, latency in enumerate(tasks.latency) if latency is not None]
    open_ones = len(tasks.id) - len(ended)
    parts = [f"{plural(len(tasks.id), 'task')}."]
    if ended:
        latency, i = max(ended)
        parts.append(f"The slowest took {format_duration(latency)}, due at {format_duration(tasks.due[i])}.")
    if open_ones:
        parts.append(f"{number(open_ones)} never ended.")
    return " ".join(parts)


def _latency(result: RunResult, series: Series) -> str:
    worst = _peak(series.p95, series)
    if worst is None:
        return "No task ended, so there is no latency."
    value, at = worst
    begun = first_fault(result.faults)
    calm = [v for i, v in enumerate(series.p95) if v is not None and begun is not None and series.start + (i + 1) * series.step <= begun]
    text = f"p95 at worst {format_duration(value)}, for tasks due at {at:.0f} s"
    if calm:
        return f"{text}; {format_duration(sorted(calm)[len(calm) // 2])} before the faults."
    return text + "."


def _rate(result: RunResult, series: Series) -> str:
    peak = max(series.finished)
    stall = _longest_stall(result, series)
    if peak == 0:
        return "Nothing finished."
    text = f"At most {number(round(peak, 1))} finished per second"
    if stall:
        return f"Nothing finished for {format_duration(stall[1] - stall[0])} from {stall[0]:.0f} s on. {text}."
    return text + "."


def _longest_stall(result: RunResult, series: Series) -> tuple[float, float] | None:
    """The longest time in which nothing finished although something waited; at least two steps."""
    best: tuple[float, float] | None = None
    begin = None
    for i, done in enumerate((*series.finished, 1.0)):
        waited = i < len(series.finished) and (series.ready[i] + series.unacked[i] > 0 or series.published[i] > 0)
        at = series.start + i * series.step
        if done == 0 and waited:
            begin = at if begin is None else begin
        elif begin is not None:
            if at - begin >= 2 * series.step and (best is None or at - begin > best[1] - best[0]):
                best = (begin, at)
            begin = None
    return best


def _queue(result: RunResult, series: Series) -> str:
    peak = _peak(series.ready, series)
    if peak is None or peak[0] == 0:
        return "Nothing ever waited in the queue."
    text = f"{plural(round(peak[0]), 'message')} waited at most, at {peak[1]:.0f} s"
    slow = max(((f.recovery, f.name) for f in result.faults if f.recovery is not None), default=None)
    return f"{text}. Back to normal {format_duration(slow[0])} after {slow[1]}." if slow else text + "."


def _oldest(series: Series) -> str:
    peak = _peak(series.oldest, series)
    if peak is None or peak[0] == 0:
        return "No message grew old."
    age, at = peak
    i = min(len(series.ready) - 1, int((at - series.start) / series.step))
    if series.ready[i] == 0 and series.unacked[i] > 0:
        return f"At {at:.0f} s the queue looks empty; {plural(round(series.unacked[i]), 'held message')} grew {format_duration(age)} old."
    return f"The oldest waited {format_duration(age)}, at {at:.0f} s."


def _again(series: Series) -> str:
    counts = (
        (sum(series.retried), "retry", "retries"),
        (sum(series.redelivered), "redelivery", "redeliveries"),
        (sum(series.duplicated), "duplicate", ""),
    )
    parts = [plural(count, noun, many) for count, noun, many in counts if count]
    return ", ".join(parts) + "." if parts else "Nothing was started a second time."


def _workers(result: RunResult) -> str:
    down = [lane.name for lane in result.lanes if any(state == "down" for _, _, state in lane.spans)]
    cut = [lane.name for lane in result.lanes if any(state == "cut" for _, _, state in lane.spans)]
    parts = [f"{', '.join(names)} {word}" for names, word in ((down, "was down"), (cut, "was cut off")) if names]
    return "; ".join(parts) + "." if parts else "All were up throughout." if result.lanes else ""


def _peak(values: Sequence[float | None], series: Series) -> tuple[float, float] | None:
    known = [(value, -i) for i, value in enumerate(values) if value is not None]
    if not known:
        return None
    value, index = max(known)
    return value, series.start - index * series.step
