"""What of a run can be compared: its samples and counts by second, from the columns of its tasks and its values per second."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Literal, NamedTuple, cast

from harness.gate.dependent import Sample, quantile_of
from harness.gate.measures import ENOUGH_FOR_A_RATE
from harness.model.comparing import ComparedMetric, Statistic
from harness.model.measures import MetricName
from harness.model.measuring import enough_for
from harness.model.result import FaultResult, RunResult
from harness.model.sampling import NEVER, PHASES

__all__ = ["SHARES", "Counts", "Figures", "Key", "Part"]

SHARES: dict[Statistic, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

#: As a result's columns write them.
_NEVER = frozenset(kind.value for kind in NEVER)
_ENOUGH = {statistic: enough_for(100 * share) for statistic, share in SHARES.items()}
_RETRY = 1


class Part(NamedTuple):
    """Of the load; '' stands for all."""

    task: str = ""
    phase: str = ""


class Key(NamedTuple):
    """One figure."""

    metric: ComparedMetric
    statistic: Statistic
    part: Part = Part()


class Counts(NamedTuple):
    """Two values a second, in order: the figure is the sum of the first by the sum of the second. ``number``: of samples."""

    above: tuple[float, ...]
    below: tuple[float, ...]
    number: int


@dataclass(frozen=True)
class _Call:
    task: str
    due: float
    latency: float | None  #: infinite: never; None: nobody waits for it


class Figures:
    """Of one run. The phases are those of the run's measures: faulty, recovery, healthy, by when a call was due."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self._spans = list(_spans(result.faults))

    def phase(self, at: float) -> str:
        """Of a moment; the worse one wins."""
        found = {name for begin, end, name in self._spans if begin <= at <= end}
        return next((name for name in ("faulty", "recovery") if name in found), "healthy")

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The whole load; each task and each phase, where there are several."""
        tasks = sorted({call.task for call in self._calls})
        phases = {self.phase(call.due) for call in self._calls}
        parts = [Part()]
        parts += [Part(task=task) for task in tasks] if len(tasks) > 1 else []
        parts += [Part(phase=phase) for phase in PHASES if phase in phases] if len(phases) > 1 else []
        return tuple(parts)

    @cached_property
    def _wanted(self) -> frozenset[Part]:
        return frozenset(self.parts)

    @cached_property
    def samples(self) -> dict[tuple[MetricName, Part], list[Sample]]:
        """By metric and part: each execution that ended, each call from due to the last end of what it caused."""
        found: dict[tuple[MetricName, Part], list[Sample]] = defaultdict(list)
        for call in self._calls:
            if call.latency is not None:
                self._put(found, "end_to_end_latency", call.task, call.due, call.latency)
        for second, number in self._unpublished().items():
            for part in (Part(), Part(phase=self.phase(second + 0.5))):
                found["end_to_end_latency", part].append(Sample(second, math.inf, number))
        for task, due, begin, end in self._executions():
            self._put(found, "run_time", task, due, end - begin)
        for samples in found.values():
            samples.sort(key=itemgetter(1))  # once: whoever ranks them finds them in order
        return found

    @cached_property
    def counts(self) -> dict[tuple[ComparedMetric, Part], Counts]:
        """By metric and part; those of what was used are of the whole load."""
        found: dict[tuple[ComparedMetric, Part], Counts] = {}
        for part in self.parts:
            found["throughput", part] = self._throughput(part)
            found["retries", part] = self._retries(part)
        used = self.result.per_second
        if used is not None:
            cpu = [(sum(known), done) for known, done in zip(_known(used.cpu.values()), used.finished, strict=False) if known]
            found["cpu", Part()] = _counts(cpu, sum(done for _, done in cpu))
            found["memory", Part()] = _counts([(sum(known), 1) for known in _known(used.memory.values()) if known])
            found["broker_memory", Part()] = _counts([(value, 1) for value in used.broker_memory if value is not None])
        return {key: counts for key, counts in found.items() if sum(counts.below) > 0}

    def seconds_percentiles(self, metric: MetricName) -> list[Sample]:
        """Where samples are not kept: of each second half its calls at its p50, 45 % at its p95, the rest at its p99. [] if not known."""
        used = self.result.per_second
        if used is None:
            return []
        lists = used.percentiles.get(metric, {})
        return [
            Sample(second, value, weight * due)
            for name, weight in (("p50", 0.50), ("p95", 0.45), ("p99", 0.05))
            for second, (value, due) in enumerate(zip(lists.get(name, ()), used.due, strict=False))
            if value is not None and due
        ]

    @cached_property
    def values(self) -> dict[Key, tuple[float, int]]:
        """Each figure that rests on enough samples, and on how many. Infinite: too many never ended."""
        found: dict[Key, tuple[float, int]] = {}
        for (metric, part), samples in self.samples.items():
            for statistic, share in SHARES.items():
                number = round(sum(sample.weight for sample in samples))
                if part in self.parts and number >= _ENOUGH[statistic]:
                    found[Key(metric, statistic, part)] = (quantile_of(samples, share), number)
        for measure in self.result.measures:
            part = Part(measure.task, measure.phase)
            if measure.metric in ("publish_latency", "queue_wait") and part in self.parts and not measure.queue and not measure.worker:
                for statistic in SHARES:
                    if measure.summary.count >= _ENOUGH[statistic]:
                        value = getattr(measure.summary, statistic)
                        found[Key(measure.metric, statistic, part)] = (math.inf if value is None else value, measure.summary.count)
        for (name, part), counts in self.counts.items():
            found[Key(name, "mean", part)] = (sum(counts.above) / sum(counts.below), counts.number)
        return found

    def _put(self, found: dict[tuple[MetricName, Part], list[Sample]], metric: MetricName, task: str, due: float, value: float) -> None:
        sample = Sample(_second(due), value)
        for part in {Part(), Part(task=task), Part(phase=self.phase(due))} & self._wanted:
            found[metric, part].append(sample)

    @cached_property
    def _calls(self) -> tuple[_Call, ...]:
        tasks = self.result.tasks
        if tasks is None:
            return ()
        rows: dict[int, list[tuple[float, str, float | None, str]]] = defaultdict(list)
        for index, number in enumerate(tasks.call):
            rows[number or -1 - index].append((tasks.due[index], tasks.task[index], tasks.latency[index], tasks.fate[index]))
        return tuple(_call(group) for number, group in sorted(rows.items()) if number > 0)

    def _unpublished(self) -> dict[int, int]:
        """Second -> calls that were due and have no task: their publish failed, so they are never answered."""
        missing, used = self.result.calls - len(self._calls), self.result.per_second
        found: dict[int, int] = {}
        if missing <= 0 or used is None:
            return found
        seen = Counter(_second(call.due) for call in self._calls)
        for second, due in enumerate(used.due):
            number = min(missing, due - seen[second])
            if number > 0:
                found[second] = number
                missing -= number
        return found

    def _executions(self) -> Iterator[tuple[str, float, float, float]]:
        """(task, when its call was due, start, end) of those that ended by themselves."""
        tasks = self.result.tasks
        if tasks is None:
            return
        dues: dict[int, float] = {}
        for number, due in zip(tasks.call, tasks.due, strict=True):
            dues[number] = min(due, dues.get(number, due))
        for task, number, due, attempts in zip(tasks.task, tasks.call, tasks.due, tasks.attempts, strict=True):
            for _, begin, end, _, outcome in attempts:
                if end is not None and outcome in (0, 1, 2):
                    yield task, dues[number] if number else due, begin, end

    def _throughput(self, part: Part) -> Counts:
        """Tasks that ended, per second from the start of the load to the last end of any."""
        tasks = self.result.tasks
        assert tasks is not None
        rows = zip(tasks.task, tasks.due, tasks.latency, strict=True)
        ends = [(task, due + late) for task, due, late in rows if late is not None and due + late > 0]
        over = max((end for _, end in ends), default=0.0)
        done = [0] * math.ceil(over)
        for task, end in ends:
            if part.task in ("", task):
                done[min(len(done) - 1, math.floor(end))] += 1
        rows_of = [
            (count, min(1.0, over - second)) for second, count in enumerate(done) if part.phase in ("", self.phase(min(second + 0.5, over)))
        ]
        counts = _counts(rows_of, int(sum(count for count, _ in rows_of)))
        return counts if counts.number >= ENOUGH_FOR_A_RATE else Counts((), (), 0)

    def _retries(self, part: Part) -> Counts:
        """Executions that were retries, per call, by the second in which the call was due."""
        tasks = self.result.tasks
        assert tasks is not None
        again: dict[int, int] = defaultdict(int)
        calls: dict[int, int] = defaultdict(int)
        dues: dict[int, float] = {}
        for number, task, due, attempts in zip(tasks.call, tasks.task, tasks.due, tasks.attempts, strict=True):
            due = dues.setdefault(number, due) if number else due
            if part.task in ("", task) and part.phase in ("", self.phase(due)):
                again[_second(due)] += sum(why == _RETRY for why, *_ in attempts)
        for call in self._calls:
            if part.task in ("", call.task) and part.phase in ("", self.phase(call.due)):
                calls[_second(call.due)] += 1
        seconds = sorted(calls.keys() | again.keys())
        return _counts([(again[s], calls[s]) for s in seconds], sum(calls.values()))


def _second(at: float) -> int:
    """As `harness.model.per_second` counts them."""
    return math.floor(at + 1e-9)


def _call(group: Sequence[tuple[float, str, float | None, str]]) -> _Call:
    due, task, _, _ = min(group, key=lambda row: row[0])
    ends = [at + late for at, _, late, _ in group if late is not None]
    if any(fate in _NEVER for *_, fate in group):
        return _Call(task, due, math.inf)
    return _Call(task, due, max(ends) - due if ends else None)


def _spans(faults: Sequence[FaultResult]) -> Iterator[tuple[float, float, Literal["faulty", "recovery"]]]:
    for fault in faults:
        if fault.begun is None or fault.bit is False:
            continue
        healed = fault.ended if fault.ended is not None else fault.begun
        yield fault.begun, healed, "faulty"
        yield healed, healed + (fault.recovery or 0.0), "recovery"


def _known(series: Iterable[Sequence[float | int | None]]) -> list[list[float]]:
    """Per second what is known of any."""
    return [[value for value in values if value is not None] for values in zip(*series, strict=False)]


def _counts(rows: Sequence[tuple[float, float]], number: int | None = None) -> Counts:
    above, below = zip(*rows, strict=True) if rows else ((), ())
    return Counts(cast("tuple[float, ...]", above), cast("tuple[float, ...]", below), len(rows) if number is None else number)
