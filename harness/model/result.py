"""The result of one run: what `result.json` holds and every report is drawn from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.finding import CheckResult, Finding
from harness.model.measures import Generator, Little, Measure, PerSecond
from harness.model.verdict import Verdict

__all__ = ["SCHEMA_VERSION", "FaultResult", "Lane", "LogTail", "Reproduction", "RunResult", "Series", "TaskColumns", "Timing"]

SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FaultResult(_Frozen):
    """One fault as it happened. Times in seconds since the load began."""

    index: int
    name: str
    planned: str
    target: str = ""
    begun: float | None = None
    ended: float | None = None
    bit: bool | None = Field(description="true: it bit; false: it did not; null: it cannot be told")
    evidence: str
    healed: bool = True
    file: str = ""
    line: int | None = None
    task_id: str = Field(default="", description="armed faults: the task that was struck")
    call: int = Field(default=0, description="armed faults: its call in the load, from 1")
    recovery: float | None = Field(default=None, description="seconds from healing until the backlog was gone and work flowed again")
    note: str = ""


class Timing(_Frozen):
    """How long a part of the run took, in order."""

    name: str
    seconds: float
    text: str = ""


class Series(_Frozen):
    """One value per ``step`` seconds from ``start``; null: nothing to measure in that step."""

    start: float
    step: float
    finished: tuple[float, ...]
    published: tuple[float, ...]
    p50: tuple[float | None, ...]
    p95: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    ready: tuple[float, ...]
    unacked: tuple[float, ...]
    oldest: tuple[float, ...]
    retried: tuple[int, ...]
    redelivered: tuple[int, ...]
    duplicated: tuple[int, ...]


class Lane(_Frozen):
    """A worker over time: the spans in which it was up, and whether it was connected."""

    name: str
    spans: tuple[tuple[float, float, str], ...] = Field(description="(from, to, state); state: up, down, cut")


class TaskColumns(_Frozen):
    """The tasks of the run, as columns of equal length (one entry per task id of the load and what it caused).

    ``attempts`` per task: [why, start, end, worker, outcome] with why 0 delivered, 1 retry, 2 redelivered, 3 injected
    copy; outcome 0 succeeded, 1 will retry, 2 failed, 3 killed, 4 still open, 5 ignored or rejected.
    """

    id: tuple[str, ...]
    task: tuple[str, ...]
    call: tuple[int, ...]
    label: tuple[str, ...] = Field(description="what the user calls it: the first argument, cut")
    due: tuple[float, ...]
    latency: tuple[float | None, ...] = Field(description="seconds from due to the last end; null: never ended")
    fate: tuple[str, ...] = Field(description="succeeded, failed, lost, stranded, scheduled, revoked, expired, rejected, unknown")
    finding: tuple[str, ...] = Field(description="word of the finding that names it, or ''")
    error: tuple[str, ...]
    attempts: tuple[tuple[tuple[int, float, float | None, str, int], ...], ...]


class LogTail(_Frozen):
    """The last lines of a process, or a traceback from its log."""

    process: str
    file: str
    lines: tuple[str, ...]


class Reproduction(_Frozen):
    """A command and what it does."""

    title: str
    command: str


class RunResult(_Frozen):
    """One scenario cell, run once."""

    schema_version: Literal[1] = 1
    run_id: str
    scenario: str
    file: str
    description: str
    cell: dict[str, Any] = Field(default={}, description="matrix values of this run")
    seed: int
    verdict: Verdict
    exit_code: int
    interrupted: str = Field(default="", description="'' or why the report is partial")
    error: str = Field(default="", description="for environment: what failed")
    started: str = Field(description="UTC, ISO 8601")
    took: float
    runtime: str
    environment: dict[str, str] = Field(description="in order: Celery, broker, Python, … as label -> value")
    overrides: dict[str, Any] = Field(default={}, description="settings of the app that the scenario overrode")
    load_seconds: float = 0.0
    calls: int = 0
    fates: dict[str, int] = Field(default={}, description="tasks by fate")
    publishes: dict[str, int] = Field(
        default={}, description="publishes of the load by outcome: ok, failed, unknown; and late, dropped arrivals"
    )
    faults: tuple[FaultResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    timings: tuple[Timing, ...] = ()
    series: Series | None = None
    measures: tuple[Measure, ...] = ()
    measures_left_out: str = Field(default="", description="'' or whose measures had no room, in words")
    per_second: PerSecond | None = None
    generator: Generator | None = None
    little: Little | None = None
    lanes: tuple[Lane, ...] = ()
    tasks: TaskColumns | None = None
    logs: tuple[LogTail, ...] = ()
    deaths: tuple[str, ...] = Field(default=(), description="workers that ended in the pass with faults, and not by a fault")
    unmade: str = Field(default="", description="'' or how many calls of the load were never made, in words; a pass is then none")
    undeclared: tuple[str, ...] = Field(default=(), description="connections that were refused: undeclared services")
    plan: str = Field(default="", description="the scenario file as it was run")
    reproduce: tuple[Reproduction, ...] = ()
    ignored: tuple[str, ...] = Field(default=(), description="columns that vary by themselves and were not compared")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, the failing checks' first, in the order of the checks."""
        ranked = sorted(self.checks, key=lambda c: c.verdict is not Verdict.FAIL)
        return tuple(f for c in ranked for f in c.findings)
