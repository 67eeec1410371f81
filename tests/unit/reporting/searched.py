"""Searches for tests of what is drawn from them."""

from __future__ import annotations

from typing import Any

from harness.model.searching import Capacity, Drift, Moment, Recovery, SearchResult, Trial
from harness.model.verdict import Verdict

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"


def trial(number: int, rate: float, outcome: str, p95: float | None, why: str = "") -> Trial:
    return Trial(
        number=number, rate=rate, seconds=6.0, seed=7, run_id=f"run-{number}", outcome=outcome, why=why, calls=100,  # type: ignore[arg-type]
        p50=0.01, p95=p95, p99=p95, served=rate, growth=0.0, took=9.0,
    )  # fmt: skip


TRIALS = (
    trial(1, 20.0, "kept", 0.1),
    trial(2, 40.0, "missed", None, f"unfinished calls pile up by 8/s {EVIL}"),
    trial(3, 28.3, "generator", 0.4, "the generator"),
)
CAPACITY = Capacity(estimate=25.0, low=23.0, high=27.0, confidence=0.95, ended="precise")
RECOVERY = Recovery(
    run_id="run-9", kept=20.0, low=10.0, peak=40.0, broke=30.0, dropped_at=3.0, within=5.0, backlog_before=2, backlog_peak=90,
    backlog_gone=None, latency_back=4.0,
    moments=tuple(Moment(at=float(n), rate=10.0 * (n % 4), backlog=n * 9, p95=None if n == 3 else 0.1 * n) for n in range(8)),
)  # fmt: skip
DRIFTS = (
    Drift(
        name="memory of pay-1",
        unit="bytes",
        level=8e7,
        slope=7e7,
        low=6e7,
        high=8e7,
        outcome="grows",
        at=(1.0, 2.0, 3.0),
        values=(1e6, None, 3e6),
    ),
    Drift(name="end to end p95", unit="s", level=None, slope=None, low=None, high=None, outcome="cannot tell", why="3 windows, 12 needed"),
)


def result(kind: str = "capacity", **changes: Any) -> SearchResult:
    return SearchResult.model_validate(
        {
            "kind": kind, "scenario": f"orders {EVIL}", "file": "s.yaml", "runtime": "processes", "environment": {"Celery": "5.5"},
            "started": "2026-01-01T00:00:00Z", "took": 60.0, "seed": 7, "wanted": ("end to end p95",), "streams": ("orders.charge",),
            "trials": TRIALS, "capacity": CAPACITY, "notes": (f"a note {EVIL}",), "verdict": Verdict.PASS,
            "headline": "The capacity is 25/s.", "exit_code": 0, **changes,
        }
    )  # fmt: skip


ALL = [
    result(),
    result("stress", recovery=RECOVERY, run_id="run-9", verdict=Verdict.FAIL, exit_code=1, headline="STORM: it does not recover."),
    result("soak", trials=(), capacity=None, drifts=DRIFTS, run_id="run-1", verdict=Verdict.FAIL, exit_code=1),
    result(trials=(), capacity=None, interrupted=True, exit_code=130, verdict=Verdict.INCONCLUSIVE),
    result(
        capacity=Capacity(estimate=None, low=20.0, high=None, confidence=0.95, ended="generator", bound="the generator"),
        trials=TRIALS[:1],
        exit_code=4,
    ),
]
