"""worker.pause: SIGSTOP to a worker's group, then SIGCONT: a frozen host, a long garbage collection, a swapped-out process."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, TargetParameters, pick
from harness.faults._signs import over
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import PausesWorkers, RunningSystem, Worker

__all__ = ["PauseWorker"]


class PauseWorker(BaseFault):
    """Connections stay open; nobody answers on them."""

    name: ClassVar[str] = "worker.pause"
    summary: ClassVar[str] = "SIGSTOP a worker's process group, SIGCONT at the end"
    Parameters: ClassVar[type[FaultParameters]] = TargetParameters
    needs: ClassVar[tuple[type[Any], ...]] = (PausesWorkers,)
    strike: ClassVar[str] = "pause_group"
    _victim: Worker | None = None

    def begin(self, system: PausesWorkers) -> Begun:
        """Freeze one worker."""
        assert isinstance(system, RunningSystem)
        self._victim = pick(system, self.parameters.target, self.rng)
        system.pause_group(self._victim)
        return Begun(self._victim.name)

    def adopt(self, system: RunningSystem, worker: str) -> None:
        """The agent stopped its own group."""
        self._victim = next((w for w in system.workers() if w.name == worker), None)

    def end(self, system: PausesWorkers) -> None:
        """Thaw."""
        if self._victim is not None:
            system.resume_group(self._victim)

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """A task was under way or waiting in that worker while it was frozen."""
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        until = record.ended if record.ended is not None else float("inf")
        frozen = [d for d in history.deliveries.values() if d.worker == record.target and d.at < record.begun <= over(d, history)]
        if frozen:
            return Evidence(
                True, f"{len(frozen)} delivered task{'s' if len(frozen) > 1 else ''} stood still", {"frozen": float(len(frozen))}
            )
        waiting = [
            d
            for d in history.deliveries.values()
            if d.worker == record.target and d.at >= until and d.message.ok is not None and record.begun <= d.message.ok < until
        ]
        if waiting:
            return Evidence(True, f"{len(waiting)} messages waited for it while it was frozen", {"waited": float(len(waiting))})
        return Evidence(False, "the worker was idle and nothing was sent meanwhile")
