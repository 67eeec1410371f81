"""Cells, gates and baselines to decide on."""

from __future__ import annotations

from typing import Any

from harness.gate.plan import PlannedCell
from harness.model.gate import Baseline, BaselineCell, GateCell, GateResult, LeftOut, Measures
from harness.model.result import FaultResult, RunResult, TaskColumns
from harness.model.verdict import EXIT_CODES, Verdict

MACHINE = "a processor, 2 cores, Linux x86_64"


def planned(key: str, **changes: Any) -> PlannedCell:
    return PlannedCell(**{"key": key, "file": f"{key}.yaml", "title": key, "digest": "d", "estimate": 1.0, "value": 1, **changes})


def cell(key: str, verdict: Verdict = Verdict.PASS, **changes: Any) -> GateCell:
    fields = {"key": key, "file": f"{key}.yaml", "title": key, "digest": "d", "verdict": verdict, "exit_code": EXIT_CODES[verdict]}
    return GateCell(**{**fields, **changes})


def left_out(key: str) -> LeftOut:
    return LeftOut(key=key, file=f"{key}.yaml", title=key, estimate=5.0, why="the budget was used up")


def gate(*cells: GateCell, **changes: Any) -> GateResult:
    fields: dict[str, Any] = {
        "commit": "abc",
        "runtime": "processes",
        "machine": MACHINE,
        "started": "2026-01-01T00:00:00Z",
        "took": 3.0,
        "budget": 300.0,
        "plan": tuple(sorted([c.key for c in cells] + [one.key for one in changes.get("left_out", ())])),
        "cells": cells,
        "verdict": Verdict.PASS,
        "exit_code": 0,
    }
    return GateResult(**{**fields, **changes})


def baseline(*, cells: dict[str, BaselineCell] | None = None, **changes: Any) -> Baseline:
    fields = {"commit": "abc", "runtime": "processes", "machine": MACHINE, "created": "2026-01-01T00:00:00Z", "cells": cells or {}}
    return Baseline(**{**fields, **changes})


def expected(verdict: Verdict = Verdict.PASS, **changes: Any) -> BaselineCell:
    return BaselineCell(**{"digest": "d", "verdict": verdict, "took": 2.0, "samples": (Measures(p50=0.1, samples=20),), **changes})


def run_result(
    dues: list[float], latencies: list[float | None], faults: tuple[FaultResult, ...] = (), verdict: Verdict = Verdict.PASS, **changes: Any
) -> RunResult:
    n = len(dues)
    tasks = TaskColumns(
        id=tuple(map(str, range(n))),
        task=("t",) * n,
        call=tuple(range(1, n + 1)),
        label=("",) * n,
        due=tuple(dues),
        latency=tuple(latencies),
        fate=("succeeded",) * n,
        finding=("",) * n,
        error=("",) * n,
        attempts=((),) * n,
    )
    fields: dict[str, Any] = {
        "run_id": "r1",
        "scenario": "s",
        "file": "s.yaml",
        "description": "",
        "seed": 1,
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "started": "2026-01-01T00:00:00Z",
        "took": 2.0,
        "runtime": "processes",
        "environment": {},
        "faults": faults,
        "tasks": tasks,
    }
    return RunResult(**{**fields, **changes})


def fault(begun: float | None, ended: float | None = None, recovery: float | None = None) -> FaultResult:
    return FaultResult(index=0, name="worker.kill", planned="", begun=begun, ended=ended, bit=True, evidence="", recovery=recovery)
