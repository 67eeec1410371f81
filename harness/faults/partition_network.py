"""net.partition: two parts cannot talk to each other, in one of four ways (F09, F22-F24, F27)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.faults._network import BetweenParameters, NetworkFault
from harness.ports.fault import FaultParameters
from harness.ports.network import Link, Toxic

__all__ = ["PartitionNetwork"]

#: A link that several faults refuse takes connections again when the last of them has ended. Each leaves a toxic of this name
#: on it that does nothing, so the proxy itself knows who still holds it closed.
_REFUSED_BY = "refused-by-fault"


class PartitionParameters(BetweenParameters):
    """In which way, and in which direction."""

    mode: Literal["stall", "blackhole", "refuse", "reset"] = Field(
        default="stall",
        description="stall: bytes arrive after healing; blackhole: they are lost, and connections close on healing; "
        "refuse: connections are closed and new ones refused; reset: connections are reset as soon as somebody speaks",
    )

    @model_validator(mode="after")
    def _one_way(self) -> PartitionParameters:
        if self.mode == "refuse" and self.direction != "both":
            raise ValueError("a refused connection has no `direction`: leave it out, or choose the mode stall, blackhole or reset")
        return self


class PartitionNetwork(NetworkFault):
    """The two parts live on; only what is between them is cut."""

    name: ClassVar[str] = "net.partition"
    summary: ClassVar[str] = "cut two parts off from each other"
    Parameters: ClassVar[type[FaultParameters]] = PartitionParameters

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        if parameters.mode == "blackhole":
            self.kept_words = "bytes dropped"

    def toxics(self) -> Sequence[Toxic]:
        """Per direction, what the mode means in Toxiproxy's words."""
        mode = self.parameters.mode
        if mode == "stall":
            return [self.toxic("bandwidth", stream, rate=0) for stream in self.streams()]
        if mode == "blackhole":
            return [self.toxic("timeout", stream, timeout=0) for stream in self.streams()]
        if mode == "reset":
            return [self.toxic("reset_peer", stream, timeout=0) for stream in self.streams()]
        return [Toxic("latency", "downstream", {"latency": 0, "jitter": 0}, name=f"{_REFUSED_BY}{self.number}")]

    def apply(self, link: Link) -> None:
        """A refusing link is closed first, so that the mark never meets a connection."""
        if self.parameters.mode == "refuse":
            link.disable()
        super().apply(link)

    def lift(self, link: Link) -> None:
        """Open again only what no other fault holds closed."""
        super().lift(link)
        if self.parameters.mode == "refuse" and not _refused(link):
            link.enable()

    def lifted(self, link: Link) -> bool:
        """A link that another fault still refuses is not this one's to open."""
        return super().lifted(link) and (self.parameters.mode != "refuse" or link.enabled() or _refused(link))

    @property
    def kept(self) -> int:
        """What a closing connection had in its buffers is no evidence."""
        return super().kept if self.parameters.mode in ("stall", "blackhole") else 0


def _refused(link: Link) -> bool:
    return any(label.startswith(_REFUSED_BY) for label in link.toxics())
