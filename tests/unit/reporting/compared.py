"""Comparisons to draw."""

from __future__ import annotations

from typing import Any

from harness.model.comparing import Comparison, Failure, Row, RunOf, Side
from harness.model.verdict import Verdict

HOSTILE = "<script>window.pwned=1</script>\u202e&\x1b[31m"


def row(metric: str = "end_to_end_latency", statistic: str = "p50", ratio: float | None = 1.5, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "metric": metric,
        "statistic": statistic,
        "unit": {"throughput": "/s", "retries": "per call", "memory": "bytes"}.get(metric, "s"),
        "before": 0.1,
        "after": None if ratio is None else 0.1 * ratio,
        "ratio": ratio,
        "outcome": "open",
        "samples_before": 900,
        "samples_after": 900,
    }
    return Row(**{**fields, **changes})


def _side(label: Any, *changes: str, left_out: str = "") -> Side:
    run = RunOf(run_id=f"r-{label}", folder=f"reports/r-{label}", verdict=Verdict.PASS, seed=7, started="2026-01-01T00:00:00Z")
    more = [run.model_copy(update={"run_id": "r-x", "left_out": left_out})] if left_out else []
    return Side(label=label, changes=changes, runs=(run, *more))


ROWS = (
    row("publish_latency", "p50", 1.02, before=0.0012, after=0.001224, low=0.93, high=1.12),
    row("run_time", "p95", 0.6, low=0.52, high=0.71, outcome="better"),
    row("end_to_end_latency", "p50", 1.52, low=1.40, high=1.66, outcome="worse"),
    row("end_to_end_latency", "p95", 4.0, low=1.1, outcome="worse", why=""),
    row("end_to_end_latency", "p99", None, never="B", low=1.6, outcome="worse"),
    row("throughput", "mean", 0.98, before=48.2, after=47.2, low=0.9, high=1.06),
    row("retries", "mean", None, before=0.0, after=0.2, why="A had none"),
    row("memory", "mean", 1.1, before=9e7, after=9.9e7, why="seconds hang together"),
    row("end_to_end_latency", "p50", 1.6, task="orders.charge", low=1.2, high=2.2, outcome="worse"),
    row("end_to_end_latency", "p95", 1.1, task="orders.charge", low=0.8, high=1.4),
    row("end_to_end_latency", "p95", 1.3, phase="faulty", low=0.7, high=2.4),
)


def comparison(**changes: Any) -> Comparison:
    fields: dict[str, Any] = {
        "scenario": "orders",
        "runtime": "processes",
        "machine": "Linux 6.1, x86_64",
        "started": "2026-01-01T00:00:00Z",
        "confidence": 0.99,
        "source": "pairs",
        "pairs": 8,
        "sides": (_side("A"), _side("B", "workers.pay.concurrency=4", left_out="its generator was the bottleneck: busy")),
        "rows": ROWS,
        "notes": ("another load: 900 calls in a run of A, 1,000 in one of B",),
        "failure": Failure(tolerance=0.1, rows=(2, 3)),
        "exit_code": 1,
    }
    return Comparison(**{**fields, **changes})


def hostile() -> Comparison:
    return comparison(
        scenario=HOSTILE,
        notes=(HOSTILE,),
        machine=HOSTILE,
        sides=(_side("A", HOSTILE), _side("B")),
        rows=(row(task=HOSTILE, low=1.0, high=2.0),),
    )


ALL = {
    "worse": comparison,
    "nothing": lambda: comparison(rows=(), source="seconds", failure=None, exit_code=4),
    "calm": lambda: comparison(rows=ROWS[:1], failure=None, exit_code=0, notes=()),
    "hostile": hostile,
}
