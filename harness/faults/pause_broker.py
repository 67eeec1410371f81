"""broker.pause: SIGSTOP to the broker's server: connections stay open, nobody answers (F23, F24)."""

from __future__ import annotations

from typing import ClassVar

from harness.faults._servers import PauseServer

__all__ = ["PauseBroker"]


class PauseBroker(PauseServer):
    """Bytes arrive after healing. A message that waited while every worker was busy would have waited anyway."""

    name: ClassVar[str] = "broker.pause"
    summary: ClassVar[str] = "freeze the broker, then thaw it"
    part_hit: ClassVar[str] = "broker"
