"""worker.stop (SIGTERM, warm) and worker.stop_cold (SIGQUIT): Celery's own shutdowns, as a deploy does them."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, Restartable, pick
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import RunningSystem, StopsWorkers, Worker

__all__ = ["StopWorker", "StopWorkerCold"]


class StopWorker(BaseFault):
    """Finish what runs, then leave."""

    name: ClassVar[str] = "worker.stop"
    summary: ClassVar[str] = "warm shutdown (SIGTERM)"
    Parameters: ClassVar[type[FaultParameters]] = Restartable
    needs: ClassVar[tuple[type[Any], ...]] = (StopsWorkers,)
    _victim: Worker | None = None
    _pid: int = 0

    @property
    def takes_away(self) -> str:
        """The one that was told to leave."""
        return self._victim.name if self._victim is not None else ""

    def begin(self, system: StopsWorkers) -> Begun:
        """Ask one worker to leave."""
        assert isinstance(system, RunningSystem)
        self._victim = pick(system, self.struck or self.parameters.target, self.rng)
        self._pid = self._victim.pid
        pids = (self._pid, *self._victim.children())
        self._stop(system, self._victim)
        return Begun(self._victim.name, pids)

    def _stop(self, system: StopsWorkers, worker: Worker) -> None:
        system.stop_warm(worker)

    def end(self, system: RunningSystem) -> None:
        """Start it again once it has left: a warm shutdown may outlast `restart_after`."""
        if self._victim is not None:
            system.start_worker(self._victim)

    def healed(self, system: RunningSystem) -> bool:
        """It runs again under a new pid; one that has not left yet is not healed."""
        return self._victim is None or (self._victim.alive() and self._victim.pid != self._pid)

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """The process left, and something was delivered to it before."""
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        life = [p for p in history.processes if p.name == record.target and p.pid in record.killed_pids]
        left = next((p.down for p in life if p.down is not None), None)
        if left is None:
            return Evidence(False, "the worker did not leave")
        held = [
            d
            for d in history.deliveries.values()
            if d.pid in record.killed_pids and d.at <= record.begun and (d.ack is None or d.ack > record.begun)
        ]
        took = left - record.begun
        if not held:
            return Evidence(False, f"left after {took:.1f} s, but held no task then")
        return Evidence(
            True,
            f"{len(held)} task{'s' if len(held) > 1 else ''} in its hands; left after {took:.1f} s",
            {"held": float(len(held)), "took": took},
        )


class StopWorkerCold(StopWorker):
    """Leave at once; what runs is cut off."""

    name: ClassVar[str] = "worker.stop_cold"
    summary: ClassVar[str] = "cold shutdown (SIGQUIT)"

    def _stop(self, system: StopsWorkers, worker: Worker) -> None:
        system.stop_cold(worker)
