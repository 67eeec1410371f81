"""The grammar of thresholds: ``end_to_end_latency{phase:healthy}: ["p(95) < 2s"]``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from harness.model.measures import MetricName
from harness.model.measuring import enough_for, place_of
from harness.model.quantities import format_duration, parse_duration, parse_rate
from harness.model.sampling import LATENCIES, PHASES

__all__ = ["METRICS", "Selector", "Threshold", "enough", "parse_selector", "parse_threshold", "statistic"]

METRICS = (*reversed(LATENCIES), "throughput")
_SELECTORS = ("phase", "task", "queue")
_STATISTICS = ("mean", "max", "min", "count", "rate", "p(N)")

_KEY = re.compile(r"\s*([A-Za-z_]+)\s*(?:\{(.*)\})?\s*")
_EXPRESSION = re.compile(r"\s*([A-Za-z]+)\s*(?:\(\s*([0-9.]+)\s*\))?\s*(<=|>=|<|>)\s*(.+?)\s*")
_COMPARE = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and which of its samples count."""

    metric: MetricName | Literal["throughput"]
    phase: str = ""
    task: str = ""
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One comparison. ``value`` in seconds, per second, or a plain number, as ``unit`` says ('s', '/s', '')."""

    text: str
    statistic: str  # p, mean, max, min, count, rate
    quantile: float  # of p, in percent
    operator: str
    value: float
    unit: str

    def holds(self, measured: float) -> bool:
        """Is the threshold met?"""
        return bool(_COMPARE[self.operator](measured, self.value))

    def show(self, measured: float) -> str:
        """'p95 1.2 s'."""
        name = f"p{self.quantile:g}" if self.statistic == "p" else self.statistic
        if math.isinf(measured):
            return f"{name} never"
        if self.unit == "s":
            return f"{name} {format_duration(measured)}"
        return f"{name} {measured:,.4g}{self.unit}"


def parse_selector(key: str) -> Selector:
    """``'throughput{phase:healthy,task:orders.*}'``; ValueError with a hint for anything unknown."""
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is not a metric: write its name, and in braces what to select, such as throughput{{phase:healthy}}")
    metric, inner = found[1], found[2]
    if metric not in METRICS:
        raise ValueError(f"{metric!r} is not a metric{_near(metric, METRICS)}")
    chosen: dict[str, str] = {}
    for part in (inner or "").split(",") if inner else []:
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not colon or not value:
            raise ValueError(f"{part.strip()!r} selects nothing: write name:value, such as phase:healthy")
        if name not in _SELECTORS:
            raise ValueError(f"{name!r} cannot be selected by{_near(name, _SELECTORS)}")
        if name == "phase" and value not in PHASES:
            raise ValueError(f"{value!r} is not a phase{_near(value, PHASES)}")
        chosen[name] = value
    return Selector(cast("MetricName", metric), **chosen)


def parse_threshold(text: str, metric: str) -> Threshold:
    """``'p(95) < 2s'``; ValueError with a hint. Latencies compare with durations, throughput and `rate` with rates."""
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a threshold: write a statistic, one of < <= > >=, and a value, such as p(95) < 2s")
    name, argument, operator, value = found.groups()
    if name not in ("p", "mean", "max", "min", "count", "rate"):
        raise ValueError(f"{name!r} is not a statistic{_near(name, _STATISTICS)}")
    if (name == "p") != (argument is not None):
        raise ValueError("a percentile needs its number: p(95)" if name == "p" else f"{name} takes no argument")
    quantile = _quantile(argument) if argument is not None else 0.0
    try:
        if name == "count":
            return Threshold(text.strip(), name, quantile, operator, float(value), "")
        if name == "rate" or metric == "throughput":
            return Threshold(text.strip(), name, quantile, operator, parse_rate(value), "/s")
        return Threshold(text.strip(), name, quantile, operator, parse_duration(value), "s")
    except ValueError as exc:
        of_rate = name == "rate" or metric == "throughput"
        kind = "a number" if name == "count" else "a rate, such as 40/s" if of_rate else "a duration, such as 2s"
        raise ValueError(f"{text!r}: {name} of {metric} compares with {kind} ({exc})") from None


def _quantile(argument: str) -> float:
    try:
        quantile = float(argument)
    except ValueError:
        quantile = -1.0
    if not 0 < quantile < 100:
        raise ValueError(f"p({argument}) is no percentile: its number is above 0 and below 100")
    return quantile


def enough(threshold: Threshold) -> int:
    """Samples without which the statistic says nothing."""
    if threshold.statistic == "count":
        return 0
    return enough_for(threshold.quantile) if threshold.statistic == "p" else 1


def statistic(threshold: Threshold, samples: Sequence[float], seconds: float) -> float:
    """The figure that is compared; percentiles by nearest rank. ``samples`` in order; ``seconds``: the time they come from."""
    name, n = threshold.statistic, len(samples)
    if name == "count":
        return float(n)
    if name == "rate":
        return n / seconds if seconds > 0 else 0.0
    if name == "p":
        return samples[place_of(threshold.quantile, n)]
    if name == "max":
        return samples[-1]
    return samples[0] if name == "min" else math.fsum(samples) / n


def _near(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(known)}"
