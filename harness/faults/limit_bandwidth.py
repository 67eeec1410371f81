"""net.bandwidth: a narrow line between two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.faults._network import BetweenParameters, SlowNetworkFault
from harness.ports.fault import FaultParameters
from harness.ports.network import Toxic

__all__ = ["LimitBandwidth"]


class BandwidthParameters(BetweenParameters):
    """How narrow."""

    rate: int = Field(ge=1, le=10_000_000, description="KB/s of each connection, in each direction that is hit")


class LimitBandwidth(SlowNetworkFault):
    """Nothing is lost; large messages and results take their time."""

    name: ClassVar[str] = "net.bandwidth"
    summary: ClassVar[str] = "limit the bandwidth between two parts"
    Parameters: ClassVar[type[FaultParameters]] = BandwidthParameters

    def toxics(self) -> Sequence[Toxic]:
        """One per direction."""
        return [self.toxic("bandwidth", stream, rate=self.parameters.rate) for stream in self.streams()]
