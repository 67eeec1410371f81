"""What a gate decided and why, and the baseline that it compares with: the shapes of `gate.json` and of the committed baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.finding import Finding
from harness.model.verdict import Verdict

__all__ = [
    "BASELINE_SCHEMA",
    "GATE_SCHEMA",
    "Baseline",
    "BaselineCell",
    "Comparison",
    "GateCell",
    "GateResult",
    "LeftOut",
    "Measure",
    "Measures",
    "Shard",
]

GATE_SCHEMA = 1
BASELINE_SCHEMA = 1

#: What is compared with a baseline, as `Measures` names it.
Measure = Literal["p50", "p95", "p99", "throughput"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measures(_Frozen):
    """One run's performance, outside the times of its faults; None: too few samples."""

    p50: float | None = Field(default=None, description="end-to-end latency in seconds")
    p95: float | None = None
    p99: float | None = None
    throughput: float | None = Field(default=None, description="tasks that ended per second of the load")
    samples: int = Field(default=0, description="tasks that the percentiles rest on")


class Comparison(_Frozen):
    """One measure of one cell against the baseline."""

    measure: Measure
    outcome: Literal["same", "better", "regression", "suspected", "not compared"] = Field(
        description="suspected: worse than the baseline's samples, and the runs in turn that would decide could not be made"
    )
    before: float | None = Field(default=None, description="median of the baseline's commit")
    after: float | None = Field(default=None, description="median of this one")
    ratio: float | None = Field(default=None, description="after / before, the estimate from pairs (Hodges-Lehmann)")
    low: float | None = Field(default=None, description="lower end of the ratio's confidence interval")
    high: float | None = None
    confidence: float | None = None
    pairs: int = Field(default=0, description="runs in turn of both commits")
    why: str = Field(default="", description="in words, for a reader of the report")


class GateCell(_Frozen):
    """One scenario cell that ran. ``key``: file and cell, the same in baseline, shards and reports."""

    key: str
    kind: Literal["run", "certificate"] = Field(default="run", description="certificate: it was checked whether that of a task holds")
    file: str
    line: int | None = Field(default=None, description="of a certificate: where the scenario names the task")
    title: str
    digest: str = Field(description="of the scenario as it was run; another one is another measurement")
    verdict: Verdict
    exit_code: int = Field(description="2: the scenario, or what it names in the app, is wrong; it was not judged")
    summary: str = Field(default="", description="the first line that explains the verdict")
    words: tuple[str, ...] = Field(default=(), description="words of the findings, sorted, each once")
    findings: tuple[Finding, ...] = Field(default=(), description="without their stories; these are in the run's own result.json")
    run_id: str = ""
    report: str = Field(default="", description="folder of the report of the run that decided, relative to the gate's")
    replay: str = Field(default="", description="the command that repeats it")
    took: float = Field(default=0.0, description="seconds of one run, the median of several")
    measures: Measures = Field(default=Measures(), description="the median over its runs")
    samples: tuple[Measures, ...] = Field(default=(), description="one per run of this gate; pairs with the baseline's commit not counted")
    before: Verdict | None = Field(default=None, description="the verdict in the baseline; null: not there")
    comparisons: tuple[Comparison, ...] = ()


class LeftOut(_Frozen):
    """A cell of the plan that did not run. It has no verdict."""

    key: str
    file: str
    title: str
    estimate: float = Field(description="seconds that it would probably take")
    why: str


class Shard(_Frozen):
    """Part ``index`` of ``count``, from 1."""

    index: int = Field(ge=1)
    count: int = Field(ge=1)


class GateResult(_Frozen):
    """All that one gate decided."""

    schema_version: Literal[1] = 1
    commit: str = Field(default="", description="of the project, with + where files had changed; '' without git")
    runtime: str
    machine: str = Field(description="what timings depend on: processor and cores")
    started: str = Field(description="UTC, ISO 8601")
    took: float
    budget: float = Field(description="seconds")
    seed: int | None = Field(default=None, description="that all cells had instead of their own; null: their own")
    shard: Shard | None = None
    require_all: bool = Field(default=False, description="a cell that was left out makes the gate inconclusive")
    plan: tuple[str, ...] = Field(description="keys of all cells of all shards, sorted")
    cells: tuple[GateCell, ...] = Field(default=(), description="sorted by key")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="sorted by key")
    notes: tuple[str, ...] = Field(default=(), description="what a reader must know, e.g. why performance was not compared")
    baseline: str = Field(default="", description="commit of the baseline; '' where there is none")
    verdict: Verdict
    exit_code: int


class BaselineCell(_Frozen):
    """What is expected of one cell."""

    digest: str
    verdict: Verdict
    words: tuple[str, ...] = ()
    took: float = 0.0
    samples: tuple[Measures, ...] = Field(default=(), description="one per run")


class Baseline(_Frozen):
    """The committed file: sorted by key, so that a change of one cell is a change of a few lines."""

    schema_version: Literal[1] = 1
    commit: str
    runtime: str
    machine: str
    created: str
    cells: dict[str, BaselineCell] = {}
