"""worker.kill_child: SIGKILL to one pool child (F02); the main process lives and reports WorkerLostError."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault, TargetParameters, deaths_by, pick
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import KillsWorkers, RunningSystem

__all__ = ["KillChild"]


class KillChild(BaseFault):
    """Only the prefork pool has children; Celery replaces the dead one itself, so there is nothing to heal."""

    name: ClassVar[str] = "worker.kill_child"
    summary: ClassVar[str] = "SIGKILL to one pool child"
    Parameters: ClassVar[type[FaultParameters]] = TargetParameters
    needs: ClassVar[tuple[type[Any], ...]] = (KillsWorkers,)
    strike: ClassVar[str] = "kill_child"
    needs_pool: ClassVar[str] = "prefork"

    def begin(self, system: KillsWorkers) -> Begun:
        """Kill one child of one worker."""
        assert isinstance(system, RunningSystem)
        worker = pick(system, self.parameters.target, self.rng)
        pid = system.kill_child(worker, self.rng)
        return Begun(worker.name, (pid,) if pid else (), "" if pid else "the worker had no pool child")

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """A task that ran in the child."""
        running, _ = deaths_by(record, history)
        if running:
            return Evidence(True, f"{running} running task lost its pool child", {"running": float(running)})
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        return Evidence(False, record.note or "the child was idle")
