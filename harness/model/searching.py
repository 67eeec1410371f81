"""What a search under load found: the shape of `capacity.json`, `stress.json` and `soak.json`. docs/load.md, "Searches"."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.verdict import Verdict

__all__ = ["SEARCH_SCHEMA", "Capacity", "Drift", "Ended", "Moment", "Outcome", "Recovery", "SearchKind", "SearchResult", "Trend", "Trial"]

SEARCH_SCHEMA = 1

SearchKind = Literal["capacity", "stress", "soak"]
#: kept: all that is asked for held at this rate. missed: it did not. generator: the calls were not made as asked, so the system was not
#: tried at this rate. uncounted: the trial says nothing, for the reason given.
Outcome = Literal["kept", "missed", "generator", "uncounted"]
Ended = Literal["precise", "decided", "generator", "highest", "lowest", "silent", "trials", "budget", "cut"]
Trend = Literal["grows", "steady", "cannot tell"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Frozen):
    """One run at one constant rate. Figures are of the calls that were due after the warm-up."""

    number: int
    rate: float = Field(description="calls per second of all streams together")
    seconds: float = Field(description="of load, the warm-up included")
    seed: int
    run_id: str
    outcome: Outcome
    why: str = Field(description="what was missed, or why it does not count; '' where everything was kept")
    calls: int
    p50: float | None = Field(description="end to end, seconds; null: infinite, or no sample")
    p95: float | None
    p99: float | None
    served: float = Field(description="calls that ended, per second")
    growth: float = Field(description="how fast unfinished calls piled up, per second; below 0: they were worked off")
    took: float = Field(description="seconds of the whole run, with start and drain")


class Capacity(_Frozen):
    """The rate at which a trial is as likely to be kept as to be missed, in calls per second of all streams together."""

    estimate: float | None = Field(description="null: no rate was kept, or none was missed")
    low: float | None = Field(description="lower end of the interval; null: not bounded")
    high: float | None = Field(description="upper end; null: not bounded, see `bound`")
    confidence: float
    ended: Ended = Field(description="why no trial followed; precise: the interval is narrow enough; decided: it leaves out at_least")
    bound: str = Field(default="", description="'' or what keeps the interval open or wide, in words")
    at_least: float | None = Field(default=None, description="what --at-least asked for")


class Moment(_Frozen):
    """One step of time of a run: for charts."""

    at: float = Field(description="its beginning, seconds from the start of the load")
    rate: float = Field(description="calls per second that were due in it")
    backlog: int = Field(description="unfinished calls at its end")
    p95: float | None = Field(description="end to end, of the calls due in it; null: infinite, or no call")


class Recovery(_Frozen):
    """What an overload did, and what became of it. Times in seconds from the start of the load."""

    run_id: str
    kept: float = Field(description="the highest rate that was kept in the trials, or in this run")
    low: float = Field(description="rate before and after the overload")
    peak: float = Field(description="highest rate of the overload")
    broke: float | None = Field(description="the first rate of this run that was not kept; null: every one was")
    dropped_at: float = Field(description="when the rate was low again")
    within: float = Field(description="so many seconds were waited for")
    backlog_before: int = Field(description="unfinished calls before the overload, at most")
    backlog_peak: int
    backlog_gone: float | None = Field(description="seconds after the drop; null: not within the time")
    latency_back: float | None = Field(
        description="seconds after the drop until calls are answered as asked for again; null: not within the time"
    )
    falls: float = Field(default=0.0, description="calls per second by which the backlog still fell when the time was up; 0: it did not")
    moments: tuple[Moment, ...] = ()
    why: str = Field(default="", description="'' or why this run says nothing, in words")

    @property
    def feeds_itself(self) -> bool:
        """The backlog did not go, and was not going: the load is low again, so it is the backlog that makes the work."""
        return self.backlog_gone is None and not self.falls

    @property
    def seconds(self) -> float | None:
        """After the drop until all is as before; None: not within the time."""
        if self.backlog_gone is None or self.latency_back is None:
            return None
        return max(self.backlog_gone, self.latency_back)


class Drift(_Frozen):
    """How one figure changed over a soak. ``slope`` and its interval: per hour."""

    name: str
    unit: Literal["s", "bytes"]
    level: float | None = Field(description="median; null: nothing was measured")
    slope: float | None = Field(description="Theil and Sen's; null: too short, or nothing was measured")
    low: float | None
    high: float | None
    outcome: Trend
    why: str = Field(default="", description="'' or why it cannot be told, in words")
    at: tuple[float, ...] = Field(default=(), description="the middle of each window, seconds from the start of the load")
    values: tuple[float | None, ...] = Field(default=(), description="per window; null: infinite, or nothing measured")


class SearchResult(_Frozen):
    """All of it."""

    schema_version: Literal[1] = 1
    kind: SearchKind
    scenario: str
    file: str
    runtime: str
    environment: dict[str, str] = Field(default={}, description="of the first run: Celery, broker, machine, …")
    started: str = Field(description="UTC, ISO 8601")
    took: float
    seed: int
    wanted: tuple[str, ...] = Field(description="what a rate has to keep, in words")
    streams: tuple[str, ...] = Field(description="what makes the calls, with each one's share of the rate")
    warm_up: float = Field(default=0.0, description="seconds at the beginning of each trial that are not counted")
    trials: tuple[Trial, ...] = ()
    capacity: Capacity | None = None
    recovery: Recovery | None = None
    drifts: tuple[Drift, ...] = ()
    run_id: str = Field(default="", description="stress, soak: the run with a report of its own")
    notes: tuple[str, ...] = Field(default=(), description="what a reader must know before he believes it")
    interrupted: bool = False
    verdict: Verdict
    headline: str
    exit_code: int
