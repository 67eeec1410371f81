"""net.disconnect: a worker's container leaves its network: no server, no proxy, no name can be reached (F09, F23)."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, TargetParameters, never_begun, pick
from harness.faults._signs import evidence_of, felt, idle, span_of
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.network import LeavesNetwork
from harness.ports.system import RunningSystem, Worker

__all__ = ["DisconnectWorker"]


class DisconnectWorker(BaseFault):
    """Nobody is told: connections stay open on both sides, and what they send is lost until it is back."""

    name: ClassVar[str] = "net.disconnect"
    summary: ClassVar[str] = "take a worker's container off its network"
    Parameters: ClassVar[type[FaultParameters]] = TargetParameters
    needs: ClassVar[tuple[type[Any], ...]] = (LeavesNetwork,)
    hits: ClassVar[str] = "worker"
    _victim: Worker | None = None

    def begin(self, system: LeavesNetwork) -> Begun:
        """One worker of the target leaves."""
        assert isinstance(system, RunningSystem)
        self._victim = pick(system, self.struck or self.parameters.target, self.rng)
        with self.healing_what_fails(system):
            system.leave_network(self._victim)
        return Begun(self._victim.name)

    def end(self, system: LeavesNetwork) -> None:
        """It comes back under its name; a worker that is on the network already is left alone."""
        if self._victim is not None and not system.on_network(self._victim):
            system.join_network(self._victim)

    def healed(self, system: LeavesNetwork) -> bool:
        """It is connected."""
        return self._victim is None or system.on_network(self._victim)

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """It lost its connection, or work waited for it; tasks of its own met connection errors or stood still."""
        if record.begun is None:
            return never_begun(record)
        clients = (record.target,)
        seen = {**felt(record, history, clients, "broker"), **felt(record, history, clients, "everything else")}
        quiet = idle(history, clients, span_of(record))
        return evidence_of(seen, quiet=quiet, otherwise=f"{record.target} {'was idle' if quiet else 'is not known to have noticed'}")
