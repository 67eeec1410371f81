"""broker.restart: the broker's server stops and comes back, with its messages (`keep`) or without (F29)."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from pydantic import Field

from harness.faults._base import BaseFault
from harness.model.history import Evidence, FaultRecord, History
from harness.model.quantities import Duration
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import RestartsBroker

__all__ = ["RestartBroker"]


class RestartParameters(FaultParameters):
    """How long it is down, and whether messages survive."""

    down: Duration = Field(default=0.5, description="how long it stays down")
    keep: bool = Field(default=True, description="false: what it held is gone, as on a broker without persistence")


class RestartBroker(BaseFault):
    """The address stays the same; workers must find back by themselves."""

    name: ClassVar[str] = "broker.restart"
    summary: ClassVar[str] = "stop the broker and start it again"
    Parameters: ClassVar[type[FaultParameters]] = RestartParameters
    needs: ClassVar[tuple[type[Any], ...]] = (RestartsBroker,)

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        self.lasts = parameters.down

    def begin(self, system: RestartsBroker) -> Begun:
        """Stop it."""
        system.stop_broker(keep=self.parameters.keep)
        return Begun("broker", note="" if self.parameters.keep else "its messages are gone")

    def end(self, system: RestartsBroker) -> None:
        """Start it; waits until it answers."""
        system.start_broker()

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Workers that lost their connection."""
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        until = (record.ended if record.ended is not None else record.begun) + 5.0
        until = min(until, history.stopped_at if history.stopped_at is not None else until)
        leaving = {pid for fault in history.faults if fault.index != record.index for pid in fault.killed_pids}
        cut = [
            p
            for p in history.processes
            if p.kind == "worker" and p.pid not in leaving and any(record.begun <= t < until for t in p.disconnected)
        ]
        if cut:
            down = f"down for {record.ended - record.begun:.1f} s; " if record.ended is not None else ""
            return Evidence(True, f"{down}{len(cut)} worker{'s' if len(cut) > 1 else ''} cut off", {"cut": float(len(cut))})
        return Evidence(False, "no worker noticed")
