"""`capacity.html`, `stress.html`, `soak.html`: one offline file without a script. Every text is escaped by jinja2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.model.searching import Drift, Recovery, SearchResult, Trial
from harness.reporting.capacity_words import drift_figures, outcome_text, rate, seconds, state_of
from harness.reporting.offline import offline_page
from harness.reporting.words import visible

__all__ = ["Axis", "search_page"]

_STYLES = ("base.css", "capacity.css")
_WIDTH, _HEIGHT = 800.0, 260.0
_NAMES = {"capacity": "Capacity", "stress": "Stress", "soak": "Soak"}


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` over ``length``; on a logarithmic one both are above 0."""

    low: float
    high: float
    length: float
    logarithmic: bool = False

    @classmethod
    def over(cls, values: Sequence[float], length: float, *, logarithmic: bool = False) -> Axis:
        """What shows all of them, with room beyond; from 0 where it is not logarithmic."""
        if logarithmic:
            known = [value for value in values if value > 0] or [1.0]
            return cls(min(known) / 1.25, max(known) * 1.25, length, True)
        return cls(0.0, (max(values, default=0.0) or 1.0) * 1.08, length)

    def at(self, value: float) -> float:
        """Where a value stands; at an edge what lies beyond it."""
        value = min(self.high, max(self.low, value))
        share = (
            math.log(value / self.low) / math.log(self.high / self.low) if self.logarithmic else (value - self.low) / (self.high - self.low)
        )
        return round(share * self.length, 1)

    def ticks(self) -> list[float]:
        """Round ones: 1, 2, 5 and their tenfolds."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
            kept = [value for value in found if self.low <= value <= self.high]
            return kept if len(kept) <= 8 else [value for value in kept if f"{value:e}".startswith("1")]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 3))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 5)
        return [self.low + number * step for number in range(math.floor((self.high - self.low) / step) + 1)]


def search_page(result: SearchResult) -> str:
    """The whole page."""
    return offline_page("capacity.html", visible(_data(result)), styles=_STYLES)


def _data(result: SearchResult) -> dict[str, Any]:
    look = {0: "pass", 1: "fail"}.get(result.exit_code, "inconclusive")
    return {
        "title": f"{_NAMES[result.kind]} · {result.scenario} · celery-harness",
        "kind": _NAMES[result.kind],
        "file": f"{result.kind}.json",
        "state": state_of(result).capitalize(),
        "look": look,
        "scenario": result.scenario,
        "headline": result.headline,
        "facts": [
            result.runtime,
            *_environment(result),
            result.started.replace("T", " ").replace("Z", " UTC"),
            f"seed {result.seed}",
        ],
        "wanted": list(result.wanted),
        "streams": list(result.streams),
        "notes": list(result.notes),
        "warm_up": seconds(result.warm_up),
        "curve": _curve(result) if any(trial.calls for trial in result.trials) else None,
        "trials": [_trial(trial) for trial in result.trials],
        "recovery": _recovery(result.recovery) if result.recovery and result.recovery.moments else None,
        "drifts": [_drift(found) for found in result.drifts],
        "run_id": result.run_id,
        "width": _WIDTH,
        "height": _HEIGHT,
    }


def _environment(result: SearchResult) -> list[str]:
    """``Celery 5.5.0``; what says by itself what it is stands alone."""
    return [value if name in ("Broker", "Machine", "Backend") else f"{name} {value}" for name, value in result.environment.items() if value]


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": str(trial.number),
        "rate": rate(trial.rate),
        "outcome": trial.outcome,
        "word": outcome_text(trial),
        "p50": seconds(trial.p50) if trial.calls else "–",
        "p95": seconds(trial.p95) if trial.calls else "–",
        "p99": seconds(trial.p99) if trial.calls else "–",
        "served": rate(trial.served),
        "why": trial.why,
        "run_id": trial.run_id,
    }


def _curve(result: SearchResult) -> dict[str, Any]:
    """p50 and p95 by rate; what was never answered stands at the upper edge."""
    shown = sorted((trial for trial in result.trials if trial.calls), key=lambda trial: (trial.rate, trial.number))
    found = result.capacity
    ends = [value for value in (found.low, found.high, found.estimate) if value is not None] if found else []
    across = Axis.over([*(trial.rate for trial in shown), *ends], _WIDTH, logarithmic=True)
    up = Axis.over([value for trial in shown for value in (trial.p50, trial.p95) if value is not None], _HEIGHT, logarithmic=True)

    def height(value: float | None) -> float:
        return round(_HEIGHT - (up.at(value) if value is not None else _HEIGHT), 1)

    band = None
    if found is not None and found.low is not None and found.high is not None and found.estimate is not None:
        left = across.at(found.low)
        band = {"x": left, "width": round(across.at(found.high) - left, 1), "middle": across.at(found.estimate)}
    return {
        "across": [(rate(value), across.at(value)) for value in across.ticks()],
        "up": [(seconds(value), round(_HEIGHT - up.at(value), 1)) for value in up.ticks()],
        "band": band,
        "points": [
            {
                "x": across.at(trial.rate),
                "p50": height(trial.p50),
                "p95": height(trial.p95),
                "outcome": trial.outcome,
                "told": f"{rate(trial.rate)}: {outcome_text(trial)}, p95 {seconds(trial.p95)}",
            }
            for trial in shown
        ],
    }


def _line(values: Sequence[tuple[float, float | None]], across: Axis, up: Axis) -> str:
    """Points of a polyline; what is infinite at the upper edge."""
    return " ".join(f"{across.at(at)},{round(_HEIGHT - (up.at(value) if value is not None else _HEIGHT), 1)}" for at, value in values)


def _recovery(found: Recovery) -> dict[str, Any]:
    across = Axis(0.0, found.moments[-1].at + 1.0, _WIDTH)
    charts = []
    for name, values, shown in (
        ("calls due per second", [moment.rate for moment in found.moments], rate),
        ("unfinished calls", [float(moment.backlog) for moment in found.moments], lambda value: f"{value:,.0f}"),
        ("p95 end to end", [moment.p95 if moment.rate else 0.0 for moment in found.moments], seconds),
    ):
        up = Axis.over([value for value in values if value is not None], _HEIGHT)
        line = _line([(moment.at + 0.5, value) for moment, value in zip(found.moments, values, strict=True)], across, up)
        charts.append(
            {"name": name, "line": line, "up": [(shown(value) if value else "0", round(_HEIGHT - up.at(value), 1)) for value in up.ticks()]}
        )
    return {
        "charts": charts,
        "across": [(f"{value:.0f} s", across.at(value)) for value in across.ticks()],
        "dropped": across.at(found.dropped_at),
        "facts": [
            ("highest rate that was kept in a trial", rate(found.kept)),
            ("rate before and after", rate(found.low)),
            ("overload", f"up to {rate(found.peak)}, over at {found.dropped_at:.0f} s"),
            ("first rate that was not kept", rate(found.broke)),
            ("unfinished calls before, and at most", f"{found.backlog_before:,}, {found.backlog_peak:,}"),
            (
                "backlog gone after",
                seconds(found.backlog_gone) if found.backlog_gone is not None else f"not within {seconds(found.within)}",
            ),
            (
                "answers in time again after",
                seconds(found.latency_back) if found.latency_back is not None else f"not within {seconds(found.within)}",
            ),
        ],
    }


def _drift(found: Drift) -> dict[str, Any]:
    level, slope, interval = drift_figures(found)
    figures = f"{level}; {slope}, {interval}" if found.slope is not None else ""
    points = list(zip(found.at, found.values, strict=True))
    known = [value for _, value in points if value is not None]
    chart = None
    if len(known) > 1:
        least, most = min(known), max(known)
        room = max((most - least) * 0.2, most * 0.02, 1e-9)
        across, up = Axis(found.at[0], max(found.at[-1], found.at[0] + 1e-9), _WIDTH), Axis(least - room, most + room, _HEIGHT)
        chart = {"line": _line(points, across, up)}
    return {
        "name": found.name,
        "told": "; ".join(filter(None, (figures, found.why))),
        "outcome": found.outcome,
        "look": {"grows": "fail", "steady": "pass"}.get(found.outcome, "inconclusive"),
        "chart": chart,
    }
