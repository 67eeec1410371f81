"""worker.scale: more or fewer replicas, warmly, as an autoscaler does it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from harness.faults._base import BaseFault
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import ScalesWorkers

__all__ = ["ScaleWorkers"]


class ScaleParameters(FaultParameters):
    """Which group, and to how many."""

    target: str = Field(description="a worker group")
    replicas: Annotated[int, Field(ge=0, le=64)]


class ScaleWorkers(BaseFault):
    """Healed by going back to the number before."""

    name: ClassVar[str] = "worker.scale"
    summary: ClassVar[str] = "change the number of replicas of a group"
    Parameters: ClassVar[type[FaultParameters]] = ScaleParameters
    needs: ClassVar[tuple[type[Any], ...]] = (ScalesWorkers,)
    _before: int | None = None

    @property
    def takes_away(self) -> str:
        """Whom it may have sent away."""
        return str(self.parameters.target)

    def begin(self, system: ScalesWorkers) -> Begun:
        """Scale."""
        self._before, after = system.scale(self.parameters.target, self.parameters.replicas)
        return Begun(self.parameters.target, numbers={"before": self._before, "after": after}, note=_change(self._before, after))

    def end(self, system: ScalesWorkers) -> None:
        """Back."""
        if self._before is not None:
            system.scale(self.parameters.target, self._before)

    def healed(self, system: ScalesWorkers) -> bool:
        """As many stay as before."""
        return self._before is None or system.replicas(self.parameters.target) == self._before

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Processes came or went after it began, none of them at another fault's hands."""
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen")
        if self._before == self.parameters.replicas:
            return Evidence(False, f"{self.parameters.target} had {self._before} already")
        begun, ended = record.begun, record.ended if record.ended is not None else float("inf")
        workers = [p for p in history.processes if p.kind == "worker" and p.name.rsplit("-", 1)[0] == self.parameters.target]
        others = {pid for fault in history.faults if fault.index != record.index for pid in fault.killed_pids}
        theirs = {p.name for p in workers if p.pid in others}  # whoever comes under such a name takes the place of a killed one
        came = sum(1 for p in workers if begun <= p.up <= ended and p.name not in theirs)
        went = sum(1 for p in workers if p.down is not None and begun <= p.down <= ended and p.pid not in others)
        if came or went:
            counts = [f"{came} came"] if came else []
            counts += [f"{went} left"] if went else []
            nobody = f"; {self.parameters.target} had no worker until it was healed" if went and self.parameters.replicas == 0 else ""
            return Evidence(True, ", ".join(counts) + nobody, {"came": float(came), "went": float(went)})
        return Evidence(False, "no worker came or left before it was healed")


def _change(before: int, after: int) -> str:
    words = "none" if after == 0 else str(after)
    return f"from {before or 'none'} to {words}"
