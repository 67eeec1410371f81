"""What a comparison of runs found: the shape of `compare.json`. docs/load.md, "Compare", says what the words mean."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.verdict import Verdict

__all__ = ["COMPARE_SCHEMA", "ComparedMetric", "Comparison", "Failure", "Row", "RunOf", "Side", "Source", "Statistic"]

COMPARE_SCHEMA = 1

ComparedMetric = Literal[
    "publish_latency", "queue_wait", "run_time", "end_to_end_latency", "throughput", "retries", "cpu", "memory", "broker_memory"
]
Statistic = Literal["p50", "p95", "p99", "mean"]
#: Where intervals come from: seconds of one run a side, pairs of runs made in turn, or runs of two sides that belong to no pairs.
Source = Literal["seconds", "pairs", "runs"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunOf(_Frozen):
    """One run of a side. ``left_out``: '' or why it does not count."""

    run_id: str
    folder: str
    verdict: Verdict
    seed: int
    started: str
    left_out: str = ""


class Side(_Frozen):
    """A or B. ``changes``: what was set on top of the scenario, as the command line has it, or the commit."""

    label: Literal["A", "B"]
    changes: tuple[str, ...] = ()
    runs: tuple[RunOf, ...] = ()


class Row(_Frozen):
    """One figure of one part of the load, on both sides. '' stands for all tasks or phases."""

    metric: ComparedMetric
    statistic: Statistic
    task: str = ""
    phase: str = ""
    unit: Literal["s", "/s", "per call", "bytes"]
    before: float | None = Field(description="A; of several runs their median; null: infinite (see never), or not known")
    after: float | None = Field(description="B")
    never: Literal["", "A", "B", "both"] = Field(default="", description="whose figure is infinite: so many calls never ended")
    ratio: float | None = Field(default=None, description="B / A; from several runs the Hodges-Lehmann estimate")
    low: float | None = Field(default=None, description="lower end of the ratio's interval; null: not bounded")
    high: float | None = None
    outcome: Literal["better", "worse", "open"] = Field(description="open: the interval holds 1, or there is none")
    samples_before: int = Field(default=0, description="samples of one run, or runs where there are several")
    samples_after: int = 0
    why: str = Field(default="", description="'' or why there is no ratio or no interval, in words")

    @property
    def less_is_worse(self) -> bool:
        """Of throughput."""
        return self.metric == "throughput"


class Failure(_Frozen):
    """What ``--fail-on`` asked and found. ``rows``: indices of those that are worse beyond the tolerance. ``undecided``: of those that
    have no ratio although B looks worse, since A had none or B lacks the figure.
    """

    tolerance: float
    rows: tuple[int, ...] = ()
    undecided: tuple[int, ...] = ()


class Comparison(_Frozen):
    """All of it."""

    schema_version: Literal[1] = 1
    scenario: str
    runtime: str
    machine: str = Field(default="", description="of side A; notes say where B's is another")
    started: str = Field(default="", description="UTC, ISO 8601")
    confidence: float = Field(description="of each interval by itself")
    source: Source
    sides: tuple[Side, Side]
    pairs: int = 0
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="what a reader must know before he believes it")
    failure: Failure | None = Field(default=None, description="null: --fail-on was not given")
    exit_code: int = 0
