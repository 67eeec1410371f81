"""thresholds: latencies and throughput, over the whole run or one phase of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, RootModel, field_validator

from harness.checks._common import count, inconclusive
from harness.checks._threshold import Selector, Threshold, enough, parse_selector, parse_threshold, statistic
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.measures import Little
from harness.model.sampling import Samples
from harness.model.verdict import Verdict
from harness.ports.check import Recorded

__all__ = ["ThresholdParameters", "Thresholds"]


_BROKEN_ADVICE = "records are missing, or somebody publishes or takes messages whom the harness does not see: look for other clients"


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
        samples = recorded.readings.samples
        cache: dict[Selector, tuple[list[float], float]] = {}
        verdicts = []
        for key, selector, threshold in self.wanted:
            if selector not in cache:
                cache[selector] = _samples(samples, selector)
            verdicts.append(_judge(key, threshold, *cache[selector], of_rates=selector.metric == "throughput"))
        law = recorded.readings.little if any(s.metric != "throughput" for _, s, _ in self.wanted) else None
        broken = law if law is not None and law.holds is False else None
        if broken:
            verdicts = [v if v.key.startswith("throughput") else _doubted(v) for v in verdicts]
        missed = [v for v in verdicts if v.verdict is Verdict.FAIL]
        few = [v for v in verdicts if v.verdict is Verdict.INCONCLUSIVE]
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=Verdict.FAIL if missed else Verdict.INCONCLUSIVE if few else Verdict.PASS,
            summary="; ".join([f"{v.key} {v.text}" for v in verdicts] + ([broken_law(broken)] if broken else [])),
            advice="" if missed or not few else _BROKEN_ADVICE if broken else "a longer or denser load gives more samples",
            findings=tuple(_finding(v) for v in missed),
            numbers={f"{v.key}: {v.threshold.text}": v.measured for v in verdicts if v.measured is not None and math.isfinite(v.measured)},
            by_fault=tuple((None, "judged over the whole run") for _ in recorded.history.faults),
        )


def _samples(samples: Samples, selector: Selector) -> tuple[list[float], float]:
    """(samples in order, seconds that they come from)."""
    chosen: dict[str, Any] = {"task": selector.task, "queue": selector.queue, "phase": selector.phase}
    if selector.metric == "throughput":
        return samples.throughput(**chosen)
    return samples.of(selector.metric, **chosen), samples.phases.seconds(selector.phase)


def _doubted(verdict: _Verdict) -> _Verdict:
    """Met by latencies that cannot be trusted. One that is missed stays so: a doubt hides no failure."""
    return replace(verdict, verdict=Verdict.INCONCLUSIVE) if verdict.verdict is Verdict.PASS else verdict


def broken_law(law: Little) -> str:
    """In words."""
    return (
        f"but broker and journals do not agree: it held {law.counted:,.1f} messages in the mean, which by the journals should be "
        f"{law.computed:,.1f} ± {law.error:,.1f} (Little's law)"
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
