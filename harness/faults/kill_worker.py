"""worker.kill: SIGKILL to a worker's whole process group (F01), as the OOM killer or a lost node would."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, Restartable, died_evidence, pick
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import KillsWorkers, RunningSystem

__all__ = ["KillWorker"]


class KillWorker(BaseFault):
    """Armed by an event it strikes inside the worker, so it lands in the task each time."""

    name: ClassVar[str] = "worker.kill"
    summary: ClassVar[str] = "SIGKILL to a worker's process group"
    Parameters: ClassVar[type[FaultParameters]] = Restartable
    needs: ClassVar[tuple[type[Any], ...]] = (KillsWorkers,)
    strike: ClassVar[str] = "kill_group"
    _victim: str = ""
    _dying: frozenset[int] = frozenset()

    @property
    def takes_away(self) -> str:
        """The one that was killed."""
        return self._victim

    def begin(self, system: KillsWorkers) -> Begun:
        """Kill one worker of the target."""
        assert isinstance(system, RunningSystem)
        worker = pick(system, self.parameters.target, self.rng)
        self._victim = worker.name
        return Begun(worker.name, tuple(system.kill_group(worker)))

    def adopt(self, system: RunningSystem, worker: str) -> None:
        """The agent killed its own worker, which on a busy machine may be there for a moment more."""
        self._victim = worker
        self._dying = frozenset(w.pid for w in system.workers() if w.name == worker)

    def end(self, system: RunningSystem) -> None:
        """Start it again."""
        for worker in system.started_workers():
            if worker.name == self._victim:
                system.start_worker(worker)

    def healed(self, system: RunningSystem) -> bool:
        """It runs again: another process than the one that was killed."""
        return not self._victim or any(w.name == self._victim and w.pid not in self._dying for w in system.workers())

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Tasks that died."""
        return died_evidence(record, history)
