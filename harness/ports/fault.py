"""A fault: begins, is healed, and says afterwards whether it bit."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from harness.model.history import Evidence, FaultRecord, History
from harness.ports.system import RunningSystem

__all__ = ["Begun", "Fault", "FaultParameters", "Meanwhile", "NoFault"]


class FaultParameters(BaseModel):
    """Base of every fault's own keys: unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a fault did when it began."""

    target: str = ""
    killed: tuple[int, ...] = ()
    note: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What has happened while a task is held at the point that armed a fault."""

    seconds: float  # since the fault has begun
    copies_begun: int  # copies of messages that a worker began to run


class Fault(Protocol):
    """One fault of the timeline. The runner calls begin once, tick while it lasts, end once, evidence after the run.

    ``strike``: what the agent does by itself when the fault is armed by an event: 'kill_group', 'kill_child',
    'pause_group'; '' means that the task is held at the point until the harness has begun the fault.
    ``struck_task``: id of the task that reached the point at which it was armed; set before it begins.
    ``takes_away``: the worker group, or the replica, that it takes away and starts again: it is healed when these are ready; '': none.
    ``lasts``: seconds until it is healed, where its parameters say so; the timeline's `for` goes before; None: the end of the load.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[FaultParameters]]
    needs: ClassVar[tuple[type[Any], ...]]
    strike: ClassVar[str]
    lasts: float | None
    struck_task: str

    def __init__(self, parameters: Any, rng: random.Random) -> None: ...

    def armed(self, system: Any) -> None:
        """It waits for an event, which may happen from now on."""

    @property
    def takes_away(self) -> str:
        """See above; may change when it begins."""

    def begin(self, system: Any) -> Begun:
        """Do it; returns soon (under a second), waiting is `tick`'s."""

    def adopt(self, system: Any, worker: str) -> None:
        """Armed faults: the agent in that worker has struck; remember what `end` must heal."""

    def holds(self, meanwhile: Meanwhile) -> bool:
        """Armed with strike '', and begun: must the task stay at the point? Asked at every turn until it need not."""

    def tick(self, system: Any) -> None:
        """Called about every 50 ms while the fault lasts."""

    def end(self, system: Any) -> None:
        """Heal; must work at any moment after begin, also twice."""

    def healed(self, system: Any) -> bool:
        """Probe: has healing taken? `end` is called again until it has."""

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Did it bite? Judged on the history alone."""


class NoFault:
    """The no-op: begins, heals, never bites. The first implementation, and the one that tests of the runner use."""

    name: ClassVar[str] = "none"
    summary: ClassVar[str] = "does nothing"
    Parameters: ClassVar[type[FaultParameters]] = FaultParameters
    needs: ClassVar[tuple[type[Any], ...]] = ()
    strike: ClassVar[str] = ""
    takes_away: ClassVar[str] = ""

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        self.parameters = parameters
        self.lasts: float | None = None
        self.struck_task = ""

    def armed(self, system: RunningSystem) -> None:
        """Nothing."""

    def begin(self, system: RunningSystem) -> Begun:
        """Nothing."""
        return Begun()

    def adopt(self, system: RunningSystem, worker: str) -> None:
        """Nothing."""

    def holds(self, meanwhile: Meanwhile) -> bool:
        """Never."""
        return False

    def tick(self, system: RunningSystem) -> None:
        """Nothing."""

    def end(self, system: RunningSystem) -> None:
        """Nothing."""

    def healed(self, system: RunningSystem) -> bool:
        """Always."""
        return True

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """It never bites."""
        return Evidence(False, "does nothing")
