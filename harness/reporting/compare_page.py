"""`compare.html`: one offline file without a script. Every text is escaped by jinja2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.model.comparing import Comparison, Row
from harness.reporting.compare_words import basis, figure, interval, name_of, outcome_of, part_of, side_text, summary, times
from harness.reporting.offline import offline_page
from harness.reporting.words import opened, visible

__all__ = ["Scale", "comparison_page"]

_STYLES = ("base.css", "compare.css")
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_APART = 13.0
_WORDS = {0: "Compared", 1: "Regression", 4: "Inconclusive"}


@dataclass(frozen=True)
class Scale:
    """Ratios on a logarithmic axis. ``low`` and ``high`` are its ends; 1 lies between them."""

    low: float
    high: float

    @classmethod
    def of(cls, rows: list[Row]) -> Scale:
        """What shows all ends of intervals, but for what is more than a hundred times off."""
        shown = [value for row in rows for value in (row.ratio, row.low, row.high) if value is not None and 0.01 <= value <= 100]
        low, high = min([0.8, *shown]), max([1.25, *shown])
        return cls(low / 1.03, high * 1.03)

    def place(self, ratio: float) -> float:
        """Per cent of the width; at an edge what lies beyond it."""
        along = math.log(max(self.low, min(self.high, ratio)) / self.low) / math.log(self.high / self.low)
        return round(100 * along, 2)

    def ticks(self) -> list[tuple[str, float]]:
        """Those that have room; 1 always, for it is what intervals are held against."""
        kept = [(1.0, self.place(1.0))]
        for ratio in sorted(_TICKS, key=lambda tick: abs(math.log(tick))):
            at = self.place(ratio)
            if self.low < ratio < self.high and all(abs(at - other) >= _APART for _, other in kept) and 4 <= at <= 96:
                kept.append((ratio, at))
        return [(f"{ratio:g}", at) for ratio, at in sorted(kept)]


def comparison_page(comparison: Comparison) -> str:
    """The whole page."""
    return offline_page("compare.html", visible(_data(comparison)), styles=_STYLES)


def _data(comparison: Comparison) -> dict[str, Any]:
    scale = Scale.of(list(comparison.rows))
    word = _WORDS.get(comparison.exit_code, "Interrupted")
    return {
        "title": f"{word} · {comparison.scenario} · celery-harness",
        "word": word,
        "look": {0: "pass", 1: "fail"}.get(comparison.exit_code, "inconclusive"),
        "scenario": comparison.scenario,
        "summary": summary(comparison),
        "sides": [{"label": side.label, "text": side_text(side)} for side in comparison.sides],
        "facts": [
            text for text in (comparison.runtime, comparison.machine, comparison.started.replace("T", " ").replace("Z", " UTC")) if text
        ],
        "notes": [opened(note) for note in comparison.notes],
        "basis": basis(comparison),
        "confidence": f"{comparison.confidence * 100:g} %",
        "ticks": scale.ticks(),
        "one": scale.place(1.0),
        "parts": [
            {"name": opened(part), "rows": [_row(row, scale) for row in rows]} for part, rows in groupby(comparison.rows, key=part_of)
        ],
        "runs": [
            {
                "side": side.label,
                "id": run.run_id,
                "folder": run.folder,
                "verdict": run.verdict.value,
                "seed": str(run.seed),
                "left_out": run.left_out,
            }
            for side in comparison.sides
            for run in side.runs
        ],
    }


def _row(row: Row, scale: Scale) -> dict[str, Any]:
    return {
        "name": name_of(row),
        "a": figure(row.before, row, "A"),
        "b": figure(row.after, row, "B"),
        "ratio": times(row.ratio),
        "interval": interval(row),
        "outcome": row.outcome,
        "word": outcome_of(row),
        "why": row.why,
        "at": None if row.ratio is None else scale.place(row.ratio),
        "drawn": row.low is not None or row.high is not None,
        "low": 0.0 if row.low is None else scale.place(row.low),
        "high": 100.0 if row.high is None else scale.place(row.high),
        "beyond_low": row.low is None or row.low < scale.low,
        "beyond_high": row.high is None or row.high > scale.high,
    }
