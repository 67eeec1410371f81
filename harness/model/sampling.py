"""The samples of a run: each latency with its task, queue, worker and phase. Thresholds, report and CSV all count these."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple

from harness.model.fate import Fate, FateKind
from harness.model.fates import fates
from harness.model.history import Call, History, Message
from harness.model.measures import MetricName
from harness.model.memory import collector_paused
from harness.model.recovering import healing, recoveries
from harness.model.starts import end_of

__all__ = ["LATENCIES", "NEVER", "PHASES", "Part", "Phases", "Samples", "answered"]

LATENCIES: tuple[MetricName, ...] = ("publish_latency", "queue_wait", "run_time", "end_to_end_latency")
PHASES = ("healthy", "faulty", "recovery")

#: Tasks that ended in one of these never gave an answer: slower than any threshold. Not REVOKED: nobody waits for what the user took back;
#: nor SCHEDULED: its time has not come.
NEVER = frozenset(
    {
        FateKind.LOST,
        FateKind.STRANDED,
        FateKind.UNKNOWN,
        FateKind.DISCARDED,
        FateKind.EXPIRED,
        FateKind.REJECTED,
        FateKind.DEAD_LETTERED,
        FateKind.UNPUBLISHED,
    }
)


class Phases:
    """Which phase a moment of the load belongs to: faulty, recovery, or healthy. The worse one wins where they overlap."""

    def __init__(self, history: History) -> None:
        self.end = history.load_ended if history.load_ended is not None else max((c.due for c in history.calls.values()), default=0.0)
        marks: list[tuple[float, float, str]] = []
        for fault, recovery in zip(history.faults, recoveries(history), strict=True):
            healed = healing(fault)
            if fault.begun is None or healed is None or fault.evidence.bit is False:
                continue
            marks.append((fault.begun, healed, "faulty"))
            after = recovery.seconds if recovery.seconds is not None else recovery.waited if recovery.pending else 0.0
            marks.append((healed, healed + after, "recovery"))
        bounds = sorted({0.0, self.end, *(t for a, b, _ in marks for t in (a, b) if 0 < t < self.end)})
        self.bounds = bounds
        self.names = [self._name((a + b) / 2, marks) for a, b in itertools.pairwise(bounds)]

    @staticmethod
    def _name(at: float, marks: list[tuple[float, float, str]]) -> str:
        names = {name for begin, end, name in marks if begin <= at <= end}
        return "faulty" if "faulty" in names else "recovery" if "recovery" in names else "healthy"

    def at(self, moment: float) -> str:
        """'' after the load has ended."""
        index = bisect_right(self.bounds, moment) - 1
        if moment == self.end and self.names:
            return self.names[-1]
        return self.names[index] if 0 <= index < len(self.names) else ""

    def spans(self, phase: str) -> list[tuple[float, float]]:
        """Parts of the load in that phase, those that touch joined; the whole load for ''."""
        found: list[tuple[float, float]] = []
        for (begin, end), name in zip(zip(self.bounds, self.bounds[1:], strict=False), self.names, strict=True):
            if phase and name != phase:
                continue
            if found and found[-1][1] == begin:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begin, end))
        return found

    def seconds(self, phase: str) -> float:
        """How long the load was in that phase; '': all of it."""
        return sum(end - begin for begin, end in self.spans(phase))


class Part(NamedTuple):
    """What a sample belongs to. ``queues``: one; of a call that was never published all those of its task's other calls, or, where
    these are not known either, () for any. ``worker``: '' for what no worker took part in. ``phase``: in which its call was due.
    """

    task: str
    queues: tuple[str, ...]
    worker: str
    phase: str

    def matches(self, task: str = "", queue: str = "", phase: str = "") -> bool:
        """Patterns of task and queue, and a phase; '' for any."""
        return (
            (not phase or phase == self.phase)
            and (not task or fnmatchcase(self.task, task))
            and (not queue or not self.queues or any(fnmatchcase(name, queue) for name in self.queues))
        )


class Samples:
    """Of one history. Each latency is collected when it is first asked for. Seconds; infinite: it never ended."""

    def __init__(self, history: History, semantics: Mapping[str, Any], found: Mapping[str, Fate] | None = None) -> None:
        """``semantics``: the broker's. ``found``: `fates` of this history, where they are known."""
        self.history, self.phases = history, Phases(history)
        self._semantics, self._found = semantics, found
        self._parts: dict[MetricName, dict[Part, list[float]]] = {}
        self._by_second: dict[MetricName, dict[int, list[float]]] = {}

    def parts(self, metric: MetricName) -> Mapping[Part, list[float]]:
        """Samples by what they belong to, each list in order."""
        if metric not in self._parts:
            parts: dict[Part, list[float]] = defaultdict(list)
            seconds: dict[int, list[float]] = defaultdict(list)
            with collector_paused():
                for due, part, value in self._each(metric):
                    parts[part].append(value)
                    seconds[math.floor(due)].append(value)
            for values in (*parts.values(), *seconds.values()):
                values.sort()
            self._parts[metric], self._by_second[metric] = dict(parts), dict(seconds)
        return self._parts[metric]

    def by_second(self, metric: MetricName) -> Mapping[int, list[float]]:
        """Samples by the second of the load in which their call was due, each list in order."""
        self.parts(metric)
        return self._by_second[metric]

    def of(self, metric: MetricName, *, task: str = "", queue: str = "", phase: str = "") -> list[float]:
        """Those that match (see `Part.matches`), in order."""
        values: list[float] = []
        for part, found in self.parts(metric).items():
            if part.matches(task, queue, phase):
                values += found
        values.sort()  # linear, nearly: it is runs that are in order
        return values

    @cached_property
    def _fates(self) -> Mapping[str, Fate]:
        return fates(self.history, self._semantics) if self._found is None else self._found

    @cached_property
    def _queues(self) -> Mapping[str, tuple[str, ...]]:
        """Task -> where its calls go."""
        queues: dict[str, set[str]] = defaultdict(set)
        for call in self.history.calls.values():
            queues[call.task].update(message.queue for message in call.messages[:1])
        return {task: tuple(sorted(names)) for task, names in queues.items()}

    def _each(self, metric: MetricName) -> Iterator[tuple[float, Part, float]]:
        """(when its call was due, what it belongs to, seconds)."""
        if metric == "end_to_end_latency":
            yield from self._end_to_end()
            return
        for call in self.history.calls.values():
            phase = self.phases.at(call.due)
            for message in call.messages:
                for worker, value in self._of_message(call, message, metric):
                    yield call.due, Part(message.task, (message.queue,), worker, phase), value
            if metric == "publish_latency" and not call.messages and call.publish != "ok":
                yield call.due, Part(call.task, self._queues[call.task], "", phase), math.inf

    def _of_message(self, call: Call, message: Message, metric: MetricName) -> Iterator[tuple[str, float]]:
        """(worker, seconds). What never came to its end is not left out: only the survivors' would be a lie."""
        if metric == "publish_latency":
            if message.cause or message.begun is None:
                return
            if message.ok is not None:
                yield "", message.ok - message.begun
            elif call.publish != "ok":  # it failed, or nobody knows; else its record alone is lost
                yield "", math.inf
        elif metric == "run_time":
            for delivery in message.deliveries:
                if delivery.start is not None and delivery.end is not None:
                    yield delivery.worker, delivery.end - delivery.start
        elif message.begun is not None:
            first = min(((d.start, d.worker) for d in message.deliveries if d.start is not None), default=None)
            if first is not None:
                ready = max(message.begun, message.eta) if message.eta is not None else message.begun
                yield first[1], max(0.0, first[0] - ready)
            elif (fate := self._fates.get(message.task_id)) is not None and fate.kind in NEVER:
                yield "", math.inf

    def _end_to_end(self) -> Iterator[tuple[float, Part, float]]:
        """From the moment when the call was due until the last end of anything that it caused; infinite if it never had one."""
        for call in self.history.calls.values():
            value = answered(call, self._fates)
            if value is not None:
                went = (call.messages[0].queue,) if call.messages else self._queues[call.task]
                yield call.due, Part(call.task, went, "", self.phases.at(call.due)), value

    def throughput(self, *, task: str = "", queue: str = "", phase: str = "") -> tuple[list[float], float]:
        """(ends per second in order, one sample per whole second of the phase's spans, seconds of these); a span shorter than that is one
        sample of its own rate.
        """
        ends = sorted(
            d.end
            for d in self.history.deliveries.values()
            if d.end is not None
            and d.state not in ("RETRY", "RAISED")
            and Part(d.message.task, (d.message.queue,), "", "").matches(task, queue)
        )
        spans = self.phases.spans(phase)
        if not phase and self.phases.end < 1.0 and ends:
            spans = [(0.0, ends[-1])]  # all at once: how fast the pile was worked off
        samples: list[float] = []
        total = 0.0
        for begin, end in spans:
            total += end - begin
            steps = max(1, int(end - begin))
            width = 1.0 if end - begin >= 1 else end - begin
            for step in range(steps):
                left = begin + step * width
                samples.append((bisect_right(ends, left + width) - bisect_right(ends, left)) / width if width > 0 else 0.0)
        samples.sort()
        return samples, total


def answered(call: Call, found: Mapping[str, Fate]) -> float | None:
    """Seconds from due to the last end; None for a call that nobody waits for (revoked)."""
    if not call.messages or any(id in found and found[id].kind in NEVER for id in call.task_ids):
        return math.inf
    last: float | None = None
    for message in call.messages:
        fate = found.get(message.task_id)
        if fate is not None and fate.kind in NEVER:
            return math.inf
        for delivery in message.deliveries:
            end = end_of(delivery)
            if end is not None and (last is None or end > last):
                last = end
    return None if last is None else last - call.due
