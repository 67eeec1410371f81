"""`load --soak`: one rate for a long time, and whether memory and latencies drift."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from harness.assembly import registry
from harness.cli.load_trials import doubts_of, loaded_with
from harness.errors import Interrupted
from harness.load.search_drift import drift
from harness.load.search_streams import constant_load, total_rate
from harness.model.measuring import place_of
from harness.model.result import RunResult, TaskColumns
from harness.model.searching import Drift
from harness.model.verdict import combine

if TYPE_CHECKING:
    from harness.cli.load_search import SearchRun

__all__ = ["drifts_of", "soak"]

#: The beginning, in which caches fill, is not counted; what is left is cut into so many windows at most, of so many seconds at least.
_WARMING = 0.2
_WINDOWS, _SHORTEST = 60, 2.0
#: Calls of a window without which its percentiles are left out.
_CALLS = 20


def soak(run: SearchRun) -> None:
    """The run, judged by the scenario's checks too, but for those that need clean passes."""
    scenario = run.loaded.scenario
    rate = run.asked.rate or total_rate(scenario.load)
    load = constant_load(scenario.load, rate, run.asked.soak)
    known = registry()
    checks = {name: value for name, value in run.loaded.checks.items() if name != "thresholds" and not known.checks[name].needs_clean}
    out = [name for name in scenario.checks if name not in checks]
    if out:
        run.notes.append(f"left out, since calls for reference would be as many again: {', '.join(out)}")
    loaded = loaded_with(run.loaded, load, drain=scenario.drain.timeout, seed=scenario.seed, thresholds=run.limits.thresholds)
    made = [known.checks[name](value) for name, value in checks.items()]
    made += [known.checks["thresholds"](run.limits.parameters)] if run.limits.thresholds else []
    try:
        result, _ = run.trials.run(replace(loaded, path=run.loaded.path), made, [], f"{rate:g}/s")
    except Interrupted:
        if partial := _partial(run.trials.run_folder):
            run.found.update(run_id=partial.run_id, drifts=tuple(drifts_of(partial)))
            run.doubt(doubts_of(partial))
        raise
    run.found.update(run_id=result.run_id, drifts=tuple(drifts_of(result)))
    run.notes += [f"{check.name}: {check.verdict.value}: {check.summary}" for check in result.checks if check.verdict.value != "pass"]
    run.doubt(doubts_of(result))
    run.run_verdict = combine(check.verdict for check in result.checks) if result.checks else None


def _partial(folder: Path | None) -> RunResult | None:
    """What an interrupted run has written; None: it had not come to its load."""
    file = folder / "result.json" if folder else None
    if file is None or not file.exists():
        return None
    result = RunResult.model_validate_json(file.read_bytes())
    return result if result.calls else None


def drifts_of(result: RunResult) -> list[Drift]:
    """Of each worker's memory, the broker's, and the latency's p50 and p95, from the run's own result."""
    end = result.load_seconds or _last_call(result)
    begin = end * _WARMING
    width = max(_SHORTEST, (end - begin) / _WINDOWS)
    rate = result.calls / end if end > 0 else 0.0
    slow = max(width, _CALLS / rate) if rate > 0 else width
    found = []
    seconds = result.per_second
    if seconds is not None:
        found += [_memory(f"memory of {name}", values, begin, end, width) for name, values in sorted(seconds.memory.items())]
        found.append(_memory("memory of the broker", seconds.broker_memory, begin, end, width))
    if result.tasks is not None:
        found += _latencies(result.tasks, begin, end, slow, partial=bool(result.interrupted))
    return found


def _last_call(result: RunResult) -> float:
    """Of an interrupted run, whose load has no end: seconds until no more calls were made."""
    sent = result.per_second.sent if result.per_second else ()
    return float(max((second for second, calls in enumerate(sent, 1) if calls), default=0))


def _windows(begin: float, end: float, width: float) -> int:
    return max(1, math.floor((end - begin) / width + 1e-9))


def _memory(name: str, values: Sequence[int | None], begin: float, end: float, width: float) -> Drift:
    """The median of each window: a collection of garbage now and then does not move it."""
    count = _windows(begin, end, width)
    at, medians = [], []
    for number in range(count):
        low, high = begin + number * width, begin + (number + 1) * width
        part = [value for value in values[math.ceil(low) : math.ceil(high)] if value is not None]
        at.append(round((low + high) / 2, 3))
        medians.append(float(median(part)) if part else None)
    return drift(name, "bytes", at, medians)


def _latencies(tasks: TaskColumns, begin: float, end: float, width: float, *, partial: bool) -> list[Drift]:
    """Of calls: the slowest of the tasks that a call caused. ``partial``: those that a signal cut off say nothing."""
    slowest: dict[int, float] = {}
    due: dict[int, float] = {}
    for call, moment, latency in zip(tasks.call, tasks.due, tasks.latency, strict=True):
        if call and not (partial and latency is None):
            slowest[call] = max(slowest.get(call, 0.0), math.inf if latency is None else latency)
            due[call] = min(due.get(call, math.inf), moment)
    parts: dict[int, list[float]] = defaultdict(list)
    for call, moment in due.items():
        parts[math.floor((moment - begin) / width)].append(slowest[call])
    count = _windows(begin, end, width)
    at = [round(begin + (number + 0.5) * width, 3) for number in range(count)]
    ranked = [sorted(parts.get(number, ())) for number in range(count)]
    return [
        drift(f"end to end p{percent}", "s", at, [_finite(values[place_of(percent, len(values))]) if values else None for values in ranked])
        for percent in (50, 95)
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
