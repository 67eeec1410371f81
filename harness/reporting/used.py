"""What the parts of the system used, and latencies by phase, as the page draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.measures import PerSecond
from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.reporting.latencies import NAMES, law_text

__all__ = ["latency_table", "use_captions", "uses"]

_MOST = 600  # values of a line
_MIB = 1 << 20
_GROWN = 1.25  # what less than this is no growth
_MEANS = {
    "publish_latency": "from the begin of a call's publish until the broker had it",
    "queue_wait": "from then, or from its ETA, until a worker began",
    "run_time": "of each execution",
    "end_to_end_latency": "from the moment a call was due until the last end of all that it caused",
}

_Values = Sequence[float | None]


def uses(result: RunResult) -> dict[str, Any] | None:
    """Lines of at most `_MOST` values, memory in MB; a value stands for the highest of its seconds. None: nothing was sampled."""
    seconds = result.per_second
    if seconds is None or not (seconds.cpu or _known(seconds.broker_memory)):
        return None
    step = max(1, -(-len(seconds.due) // _MOST))
    return {
        "start": seconds.start,
        "step": step,
        "cpu": {name: _coarse(values, step, 1, 3) for name, values in seconds.cpu.items()},
        "memory": {name: _coarse(values, step, _MIB, 2) for name, values in seconds.memory.items()},
        "broker_memory": _coarse(seconds.broker_memory, step, _MIB, 2),
        "connections": _coarse(seconds.broker_connections, step, 1, 0),
    }


def _coarse(values: _Values, step: int, unit: int, digits: int) -> list[float | None]:
    groups = (_known(values[i : i + step]) for i in range(0, len(values), step))
    return [round(max(group) / unit, digits) if group else None for group in groups]


def _known(values: _Values) -> list[float]:
    return [v for v in values if v is not None]


def use_captions(result: RunResult) -> dict[str, str]:
    """Chart -> what it answers."""
    seconds = result.per_second
    if seconds is None:
        return {}
    return {
        "cpu": _busiest(seconds),
        "memory": _largest(seconds.memory),
        "broker_memory": _grown("It", seconds.broker_memory),
        "connections": _connections(seconds),
    }


def _busiest(seconds: PerSecond) -> str:
    peaks = [(value, name, -i) for name, values in seconds.cpu.items() for i, value in enumerate(values) if value is not None]
    if not peaks:
        return ""
    value, name, i = max(peaks)
    mean = sum(peak[0] for peak in peaks) / len(peaks)
    return f"{name} used most: {value:.2f} of a core at {seconds.start - i} s; {mean:.2f} is the mean of all."


def _largest(memory: Mapping[str, _Values]) -> str:
    peaks = [(max(known), name) for name, values in memory.items() if (known := _known(values))]
    return _grown(max(peaks)[1], memory[max(peaks)[1]]) if peaks else ""


def _grown(name: str, values: _Values) -> str:
    known = _known(values)
    if not known:
        return ""
    first, most = known[0], max(known)
    if most < first * _GROWN:
        return f"{name} stayed at {_megabytes(most)}."
    return f"{name} grew from {_megabytes(first)} to {_megabytes(most)}, and had {_megabytes(known[-1])} at the end."


def _megabytes(size: float) -> str:
    return f"{size / _MIB:,.1f} MB" if size < 100 * _MIB else f"{size / _MIB:,.0f} MB"


def _connections(seconds: PerSecond) -> str:
    known = [(value, i) for i, value in enumerate(seconds.broker_connections) if value is not None]
    if not known:
        return ""
    (least, at), most = min(known), max(known)[0]
    return f"{most} throughout." if least == most else f"{most} at most; {least} at {seconds.start + at} s."


def latency_table(result: RunResult) -> dict[str, Any]:
    """Rows of tasks and phases, and in words what they answer."""
    rows = [
        {"metric": m.metric, "task": m.task, "phase": m.phase, **m.summary.model_dump(include={"count", "never", "p50", "p95", "p99"})}
        for m in result.measures
        if not (m.queue or m.worker)
    ]
    names = [(metric, name.capitalize(), _MEANS[metric]) for metric, name in NAMES.items()]
    left = result.measures_left_out
    return {"rows": rows, "names": names, "says": _cost(result), "doubt": law_text(result), "left": left[:1].upper() + left[1:]}


def _cost(result: RunResult) -> str:
    """What the faults cost, where there is something to compare."""
    whole = {
        m.phase: m.summary.p95
        for m in result.measures
        if m.metric == "end_to_end_latency" and not (m.task or m.queue or m.worker) and m.summary.p95 is not None
    }
    if "healthy" not in whole or "faulty" not in whole:
        return ""
    healthy, faulty = format_duration(whole["healthy"]), format_duration(whole["faulty"])
    text = f"p95 from due to done was {healthy} while all was healthy and {faulty} under faults"
    return text + (f"; {format_duration(whole['recovery'])} while it recovered." if "recovery" in whole else ".")
