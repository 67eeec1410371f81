"""net.latency: everything between two parts arrives later (F24, F50 need little of it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.faults._network import BetweenParameters, SlowNetworkFault
from harness.model.quantities import Duration
from harness.ports.fault import FaultParameters
from harness.ports.network import Toxic

__all__ = ["DelayNetwork"]


class LatencyParameters(BetweenParameters):
    """How late."""

    latency: Duration = Field(gt=0, description="how much later each piece arrives, in each direction that is hit")
    jitter: Duration = Field(default=0.0, description="more or less by up to this much, anew for each piece")


class DelayNetwork(SlowNetworkFault):
    """Nothing is lost, and the order stays."""

    name: ClassVar[str] = "net.latency"
    summary: ClassVar[str] = "delay what two parts send to each other"
    Parameters: ClassVar[type[FaultParameters]] = LatencyParameters

    def toxics(self) -> Sequence[Toxic]:
        """One per direction; Toxiproxy counts in milliseconds."""
        latency, jitter = max(1, round(self.parameters.latency * 1000)), round(self.parameters.jitter * 1000)
        return [self.toxic("latency", stream, latency=latency, jitter=jitter) for stream in self.streams()]
