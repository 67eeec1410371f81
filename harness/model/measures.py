"""What a run measured: latencies by task, queue, worker and phase, values per second, the generator. docs/load.md defines each."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Generator", "Little", "Measure", "MetricName", "PerSecond", "Summary"]

MetricName = Literal["publish_latency", "queue_wait", "run_time", "end_to_end_latency"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Summary(_Frozen):
    """Of samples in seconds. Percentiles are nearest rank. ``never``: infinite samples, in every percentile and not in the mean."""

    count: int
    never: int = 0
    mean: float | None
    min: float | None
    max: float | None
    p50: float | None = Field(description="null: infinite, or no sample")
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None


class Measure(_Frozen):
    """One metric of one part of the load; '' stands for all tasks, queues, workers or phases."""

    metric: MetricName
    task: str = ""
    queue: str = ""
    worker: str = ""
    phase: str = Field(default="", description="healthy, faulty, recovery; '' for all")
    summary: Summary
    histogram: str = Field(
        default="", description="HDR histogram in microseconds, 1 to 3.6e9, 3 digits: Base64 of V2, compressed; '' without the extra `load`"
    )


class PerSecond(_Frozen):
    """One value per second from ``start`` (seconds since the load began); null: nothing to measure in that second."""

    start: int
    due: tuple[int, ...] = Field(description="calls that were to be sent")
    sent: tuple[int, ...] = Field(description="calls whose publish ended well")
    finished: tuple[int, ...]
    failed: tuple[int, ...]
    retried: tuple[int, ...]
    redelivered: tuple[int, ...]
    duplicated: tuple[int, ...]
    dead_lettered: tuple[int, ...]
    percentiles: dict[MetricName, dict[str, tuple[float | None, ...]]] = Field(description="metric -> p50, p95, p99 -> values")
    ready: tuple[int | None, ...]
    unacked: tuple[int | None, ...]
    oldest: tuple[float | None, ...]
    cpu: dict[str, tuple[float | None, ...]] = Field(description="worker -> processor seconds per second, its children included")
    memory: dict[str, tuple[int | None, ...]] = Field(description="worker -> resident bytes, its children included")
    broker_memory: tuple[int | None, ...]
    broker_connections: tuple[int | None, ...]


class Generator(_Frozen):
    """How the calls came about. Seconds."""

    kind: Literal["open", "locust"]
    calls: int
    late: int = Field(description="sent more than 50 ms after they were due, for whatever reason")
    dropped: int
    intended: float | None = Field(description="calls per second that were asked for, over the load; null: closed loop")
    achieved: float | None
    lag_p99: float | None = Field(description="of what the generator itself is to blame for")
    lag_max: float | None
    worst_gap: float | None = Field(description="longest time between two calls beyond what was asked for")
    busy: float | None = Field(description="the busiest publisher's share of its busiest 5 s without a fault")
    bottleneck: str = Field(default="", description="'' or why the run measured its generator, in words")
    failed: str = Field(default="", description="'' or that the generator itself calls its load failed: Locust's exit status, in words")
    unmeasured: str = Field(default="", description="'' or what nobody has measured about the generator, in words")
    elsewhere: str = Field(default="", description="'' or what other machines made, and how well their clocks are known, in words")
    decides: bool = Field(default=True, description="the run was to measure: thresholds, Locust, `load`; a bottleneck then undoes a pass")

    @property
    def undoes(self) -> str:
        """'' or why a pass counts for nothing."""
        return "; ".join(filter(None, (self.bottleneck, self.failed))) if self.decides else ""


class Little(_Frozen):
    """Mean number of messages in the broker: by its own count, and as rate times time from publish to acknowledgement."""

    counted: float
    computed: float
    error: float = Field(description="what the difference may be: what samples and journals cannot tell, and the 99 % interval of the rest")
    samples: int
    holds: bool | None = Field(description="null: the error is too large for that to mean anything")
    silent: str = Field(default="", description="'' or what makes the error too large, in words")
