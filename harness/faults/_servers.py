"""What faults of servers share: which part they hit, the way back, and the probe that it is back."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from pydantic import Field

from harness.faults._base import BaseFault, never_begun
from harness.faults._signs import contested, evidence_of, felt, idle, span_of
from harness.model.history import Evidence, FaultRecord, History
from harness.model.quantities import Duration
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import PausesServers, RestartsServers

__all__ = ["DownParameters", "KeepParameters", "PauseServer", "RestartServer", "ServerParameters"]


class ServerParameters(FaultParameters):
    """A fault that hits a service's server."""

    target: str = Field(description="a service with a server of its own, such as redis or postgres")


class DownParameters(FaultParameters):
    """How long it is down."""

    down: Duration = Field(default=0.5, description="how long it stays down")


class KeepParameters(DownParameters):
    """And whether it remembers."""

    keep: bool = Field(default=True, description="false: what it held is gone, as on a server without persistence")


class ServerFault(BaseFault):
    """One server is away for a while. ``part``: broker, backend, or what `target` says."""

    part_hit: ClassVar[str] = ""
    away: ClassVar[str] = "down"

    @property
    def part(self) -> str:
        """As `RestartsServers` has it."""
        return self.part_hit or str(self.parameters.target)

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """What its clients felt of it. The broker's are known to notice: without a sign, it did not bite."""
        if record.begun is None:
            return never_begun(record)
        span = span_of(record)
        quiet = self.part != "broker" and idle(history, None, span)  # connections that nobody used: closing them touched nothing
        own = {} if quiet else self.own_signs()
        seen = {**felt(record, history, None, self.part), **own, **self.further_signs(record, history)}
        before = f"{self.away} for {span.ended - span.begun:.1f} s; " if record.ended is not None else ""
        if self.part == "broker":
            if contested(record, history, None):
                return evidence_of(seen, before=before, quiet=None, otherwise="what was noticed, another fault explains as well")
            return evidence_of(seen, before=before, quiet=True, otherwise="no worker noticed")
        if idle(history, None, span):
            return evidence_of(seen, before=before, quiet=True, otherwise="no task ran and nothing was sent meanwhile")
        return evidence_of(
            seen, before=before, quiet=None, otherwise=f"tasks ran, and none is known to have noticed that {self.part} was away"
        )

    def own_signs(self) -> dict[str, float]:
        """What it saw itself while it was done."""
        return {}

    def further_signs(self, record: FaultRecord, history: History) -> dict[str, float]:
        """What only this fault leaves."""
        return {}


class RestartServer(ServerFault):
    """It stops, and comes back under the same address with or without what it held."""

    Parameters: ClassVar[type[FaultParameters]] = KeepParameters
    needs: ClassVar[tuple[type[Any], ...]] = (RestartsServers,)
    by_kill: ClassVar[bool] = False  # where its parameters do not say

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        self.lasts = parameters.down
        self._kill: bool = getattr(parameters, "kill", self.by_kill)
        self._closed = 0  # connections of the app that went with it

    @property
    def keep(self) -> bool:
        """Does it remember?"""
        return bool(getattr(self.parameters, "keep", True))

    def begin(self, system: RestartsServers) -> Begun:
        """Stop it."""
        with self.healing_what_fails(system):
            self._closed = system.server_clients(self.part)
            system.stop_server(self.part, keep=self.keep, kill=self._kill)
        return Begun(self.part, note="" if self.keep else "what it held is gone")

    def own_signs(self) -> dict[str, float]:
        """Connections of the app that were open when it stopped."""
        return {"closed": float(self._closed)} if self._closed else {}

    def end(self, system: RestartsServers) -> None:
        """Start it; waits until it answers."""
        system.start_server(self.part)

    def healed(self, system: RestartsServers) -> bool:
        """It runs and answers."""
        return system.server_runs(self.part)


class PauseServer(ServerFault):
    """It is frozen: connections stay open, nobody answers; what was asked meanwhile is answered after healing."""

    needs: ClassVar[tuple[type[Any], ...]] = (PausesServers,)
    away: ClassVar[str] = "frozen"

    def begin(self, system: PausesServers) -> Begun:
        """Freeze."""
        with self.healing_what_fails(system):
            system.pause_server(self.part)
        return Begun(self.part)

    def end(self, system: PausesServers) -> None:
        """Thaw."""
        system.resume_server(self.part)

    def healed(self, system: PausesServers) -> bool:
        """It answers, where the runtime can tell."""
        return not isinstance(system, RestartsServers) or system.server_runs(self.part)
