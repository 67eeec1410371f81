"""worker.stop (SIGTERM, warm) and worker.stop_cold (SIGQUIT): Celery's own shutdowns, as a deploy does them."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, Restartable, pick
from harness.faults._signs import over
from harness.model.history import Delivery, Evidence, FaultRecord, History
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
        """The process left, and had something in its hands when it was told to."""
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        life = [p for p in history.processes if p.name == record.target and p.pid in record.killed_pids]
        left = next((p.down for p in life if p.down is not None), None)
        if left is None:
            return Evidence(False, "the worker did not leave")
        there = [d for d in history.deliveries.values() if d.pid in record.killed_pids and d.at <= record.begun]
        held = [d for d in there if record.begun <= max(over(d, history), _answered(d, history))]
        took = left - record.begun
        if not held:
            return Evidence(False, f"left after {took:.1f} s, but held no task then")
        return Evidence(
            True,
            f"{len(held)} task{'s' if len(held) > 1 else ''} in its hands; left after {took:.1f} s",
            {"held": float(len(held)), "took": took},
        )


def _answered(delivery: Delivery, history: History) -> float:
    """When the broker heard of a task with late acks that has ended: until then its worker has it in its hands."""
    if delivery.end is None or not history.acks_late.get(delivery.message.task, False):
        return float("-inf")
    return min((t for t in (delivery.ack, delivery.reject, delivery.died) if t is not None), default=float("inf"))


class StopWorkerCold(StopWorker):
    """Leave at once; what runs is cut off."""

    name: ClassVar[str] = "worker.stop_cold"
    summary: ClassVar[str] = "cold shutdown (SIGQUIT)"

    def _stop(self, system: StopsWorkers, worker: Worker) -> None:
        system.stop_cold(worker)
