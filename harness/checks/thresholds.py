"""thresholds: latencies and throughput, over the whole run or one phase of it."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, RootModel, field_validator

from harness.checks._common import count, inconclusive
from harness.checks._threshold import Selector, Threshold, enough, parse_selector, parse_threshold, statistic
from harness.model.fates import FateKind, fates
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import Call, History
from harness.model.recovering import healing, recoveries
from harness.model.verdict import Verdict
from harness.ports.check import Recorded

__all__ = ["ThresholdParameters", "Thresholds"]

#: Tasks that ended in one of these never gave an answer: slower than any threshold. Not REVOKED: nobody waits for what the user took back.
_NEVER = frozenset(
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


class ThresholdParameters(RootModel[dict[str, tuple[str, ...]]]):
    """``metric{selector}`` -> comparisons. Metrics: end_to_end_latency, queue_wait, run_time, publish_latency, throughput."""

    model_config = ConfigDict(frozen=True)

    @field_validator("root")
    @classmethod
    def _parse(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for key, texts in value.items():
            selector = parse_selector(key)
            for text in texts:
                parse_threshold(text, selector.metric)
        return value


@dataclass(slots=True)
class _Verdict:
    key: str
    threshold: Threshold
    verdict: Verdict
    text: str
    samples: int
    measured: float | None = None


class Thresholds:
    """A sample belongs to the phase in which its call was due; a task that never ended is slower than any threshold."""

    name: ClassVar[str] = "thresholds"
    question: ClassVar[str] = "latency and throughput keep to their thresholds"
    summary: ClassVar[str] = "latencies and throughput"
    Parameters: ClassVar[type[BaseModel]] = ThresholdParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: ThresholdParameters) -> None:
        self.wanted: list[tuple[str, Selector, Threshold]] = []
        for key, texts in parameters.root.items():
            selector = parse_selector(key)
            self.wanted += [(key, selector, parse_threshold(text, selector.metric)) for text in texts]

    def judge(self, recorded: Recorded) -> CheckResult:
        """Missed: fail. Too few samples (20 for p95, 100 for p99): inconclusive."""
        if not self.wanted:
            return inconclusive(Thresholds, "no threshold is set", "write one, such as end_to_end_latency: ['p(95) < 2s']")
        if not recorded.history.calls:
            return inconclusive(Thresholds, "no call was made", "give the load calls")
        phases = Phases(recorded.history)
        cache: dict[Selector, tuple[list[float], float]] = {}
        verdicts = []
        for key, selector, threshold in self.wanted:
            if selector not in cache:
                cache[selector] = _samples(recorded, selector, phases)
            verdicts.append(_judge(key, threshold, *cache[selector], of_rates=selector.metric == "throughput"))
        missed = [v for v in verdicts if v.verdict is Verdict.FAIL]
        few = [v for v in verdicts if v.verdict is Verdict.INCONCLUSIVE]
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=Verdict.FAIL if missed else Verdict.INCONCLUSIVE if few else Verdict.PASS,
            summary="; ".join(f"{v.key} {v.text}" for v in verdicts),
            advice="a longer or denser load gives more samples" if few and not missed else "",
            findings=tuple(_finding(v) for v in missed),
            numbers={f"{v.key}: {v.threshold.text}": v.measured for v in verdicts if v.measured is not None and math.isfinite(v.measured)},
            by_fault=tuple((None, "judged over the whole run") for _ in recorded.history.faults),
        )


def _judge(key: str, threshold: Threshold, samples: list[float], seconds: float, *, of_rates: bool = False) -> _Verdict:
    needed = enough(threshold)
    if len(samples) < needed or (threshold.statistic == "rate" and seconds <= 0):
        text = f"{threshold.text}: {count(len(samples), 'sample')}, {max(needed, 1)} needed"
        return _Verdict(key, threshold, Verdict.INCONCLUSIVE, text, len(samples))
    # Throughput's samples are rates already, one per second: their mean is the rate, their sum the count.
    if of_rates and threshold.statistic in ("rate", "count"):
        measured = math.fsum(samples) / (len(samples) if threshold.statistic == "rate" else 1)
    else:
        measured = statistic(threshold, samples, seconds)
    verdict = Verdict.PASS if threshold.holds(measured) else Verdict.FAIL
    return _Verdict(key, threshold, verdict, threshold.show(measured), len(samples), measured)


def _finding(missed: _Verdict) -> Finding:
    return Finding(
        word=Word.SLOW,
        headline=f"{missed.key}: {missed.text}, wanted {missed.threshold.text}.",
        sentence=f"Of {count(missed.samples, 'sample')}.",
        cause=missed.key,
        fix=EXPLANATIONS[Word.SLOW][2],
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


def _samples(recorded: Recorded, selector: Selector, phases: Phases) -> tuple[list[float], float]:
    """(samples in order, seconds that they come from)."""
    history = recorded.history
    if selector.metric == "throughput":
        return _throughput(history, selector, phases)
    values: list[float] = []
    found = fates(history, recorded.semantics) if selector.metric == "end_to_end_latency" else {}
    queues: dict[str, set[str]] = defaultdict(set)
    for call in history.calls.values():
        queues[call.task].update(message.queue for message in call.messages[:1])
    for call in history.calls.values():
        if selector.phase and phases.at(call.due) != selector.phase:
            continue
        if selector.metric == "end_to_end_latency":
            value = _end_to_end(call, selector, found, queues[call.task])
            if value is not None:
                values.append(value)
        else:
            values += _of_messages(call, selector)
    values.sort()
    return values, sum(end - begin for begin, end in phases.spans(selector.phase))


def _chosen(selector: Selector, task: str, queue: str) -> bool:
    return (not selector.task or fnmatchcase(task, selector.task)) and (not selector.queue or fnmatchcase(queue, selector.queue))


def _end_to_end(call: Call, selector: Selector, found: Mapping[str, Any], queues: set[str]) -> float | None:
    """From the moment when the call was due until the last end of anything that it caused; infinite if it never had one.

    ``queues``: those of the task's other calls, where one without a message would have gone.
    """
    if not call.messages:
        return math.inf if any(_chosen(selector, call.task, queue) for queue in queues or {selector.queue}) else None
    if not _chosen(selector, call.task, call.messages[0].queue):
        return None
    if any(id in found and found[id].kind in _NEVER for id in call.task_ids):
        return math.inf
    last: float | None = None
    for message in call.messages:
        fate = found.get(message.task_id)
        if fate is not None and fate.kind in _NEVER:
            return math.inf
        for delivery in message.deliveries:
            end = delivery.end
            if end is None and delivery.outcome.startswith("failed:"):
                end = delivery.ack if delivery.ack is not None else delivery.died
            if end is not None and (last is None or end > last):
                last = end
    return None if last is None else last - call.due


def _of_messages(call: Call, selector: Selector) -> list[float]:
    values = []
    for message in call.messages:
        if not _chosen(selector, message.task, message.queue):
            continue
        if selector.metric == "publish_latency":
            if message.ok is not None and message.begun is not None and not message.cause:
                values.append(message.ok - message.begun)
        elif selector.metric == "run_time":
            values += [d.end - d.start for d in message.deliveries if d.start is not None and d.end is not None]
        elif message.begun is not None:
            starts = [d.start for d in message.deliveries if d.start is not None]
            if starts:
                ready = max(message.begun, message.eta) if message.eta is not None else message.begun
                values.append(max(0.0, min(starts) - ready))
    return values


def _throughput(history: History, selector: Selector, phases: Phases) -> tuple[list[float], float]:
    """Ends per second, one sample per whole second of the spans; a span shorter than that is one sample of its own rate."""
    ends = sorted(
        d.end
        for d in history.deliveries.values()
        if d.end is not None and d.state not in ("RETRY", "RAISED") and _chosen(selector, d.message.task, d.message.queue)
    )
    samples: list[float] = []
    total = 0.0
    spans = phases.spans(selector.phase)
    if not selector.phase and phases.end < 1.0 and ends:
        spans = [(0.0, ends[-1])]  # all at once: how fast the pile was worked off
    for begin, end in spans:
        total += end - begin
        steps = max(1, int(end - begin))
        width = 1.0 if end - begin >= 1 else end - begin
        for step in range(steps):
            left = begin + step * width
            samples.append((bisect_right(ends, left + width) - bisect_right(ends, left)) / width if width > 0 else 0.0)
    samples.sort()
    return samples, total
