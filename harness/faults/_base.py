"""What all faults share: parameters kept, nothing to tick, the least evidence."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from harness.errors import HarnessError, ScenarioError
from harness.model.history import Evidence, FaultRecord, History
from harness.model.quantities import Duration
from harness.ports.fault import Begun, FaultParameters, Meanwhile
from harness.ports.system import RunningSystem, Worker

__all__ = ["BaseFault", "Restartable", "TargetParameters", "deaths_by", "died_evidence", "never_begun", "pick"]


class TargetParameters(FaultParameters):
    """A fault that hits a worker."""

    target: str = Field(default="", description="a worker group, or one replica such as pay-1; none: any worker")


class Restartable(TargetParameters):
    """A fault that takes a worker away."""

    restart_after: Duration | None = Field(default=None, description="start it again this long after; none: at the end of the load")


class BaseFault:
    """Defaults of the `Fault` protocol."""

    needs: ClassVar[tuple[type[Any], ...]] = ()
    strike: ClassVar[str] = ""
    #: What its `target` names, for the loader: 'worker', 'server' (a service with a server of its own), 'backend' (that there
    #: must be one), or '' for anything.
    hits: ClassVar[str] = ""
    Parameters: ClassVar[type[FaultParameters]] = FaultParameters

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        self.parameters = parameters
        self.rng = rng
        self.struck = ""  # the worker in which the event happened
        self.struck_task = ""  # id of the task whose event it was
        self.lasts: float | None = getattr(parameters, "restart_after", None)

    def armed(self, system: Any) -> None:
        """Nothing."""

    def begin(self, system: Any) -> Begun:
        """Nothing."""
        return Begun()

    @contextlib.contextmanager
    def healing_what_fails(self, system: Any) -> Iterator[None]:
        """Around `begin`: one that fails half-way is never asked to end, so it heals what it did before the error is told."""
        try:
            yield
        except HarnessError:
            with contextlib.suppress(HarnessError):
                self.end(system)
            raise

    @property
    def takes_away(self) -> str:
        """No worker."""
        return ""

    def holds(self, meanwhile: Meanwhile) -> bool:
        """The task goes on as soon as the fault has begun."""
        return False

    def tick(self, system: Any) -> None:
        """Nothing."""

    def end(self, system: Any) -> None:
        """Nothing."""

    def adopt(self, system: Any, worker: str) -> None:
        """The event happened in this worker: it is the one to hit, and to heal."""
        self.struck = worker

    def healed(self, system: Any) -> bool:
        """Where healing is immediate, it has taken."""
        return True

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Subclasses judge."""
        raise NotImplementedError


def never_begun(record: FaultRecord) -> Evidence:
    """Of a fault without a beginning: its event did not happen, or what went wrong instead is in its note."""
    return Evidence(False, f"never begun: {record.note or 'the event did not happen'}")


def pick(system: RunningSystem, target: str, rng: random.Random) -> Worker:
    """One running worker of the target, by the seed; ScenarioError where none runs."""
    found: Sequence[Worker] = system.workers(target)
    if not found:
        raise ScenarioError(
            f"no worker of {target or 'any group'} is running when the fault begins", hint="let an earlier fault restart it before"
        )
    return found[rng.randrange(len(found))]


def deaths_by(record: FaultRecord, history: History) -> tuple[int, int]:
    """(deliveries that ran, deliveries that were held but not running) in processes that the fault killed."""
    hit = [d for d in history.deliveries.values() if d.died is not None and d.died_by == record.index]
    running = sum(1 for d in hit if d.running_at_death)
    return running, len(hit) - running


def died_evidence(record: FaultRecord, history: History) -> Evidence:
    """A kill bit when a task died or lay in the killed worker's hands."""
    running, held = deaths_by(record, history)
    numbers = {"running": float(running), "held": float(held)}
    if running:
        also = f", {held} more held" if held else ""
        return Evidence(True, f"{running} running task{'s' if running > 1 else ''} died{also}", numbers)
    if held:
        return Evidence(True, f"no task was running; {held} held message{'s' if held > 1 else ''} lost the worker", numbers)
    if record.begun is None:
        return never_begun(record)
    return Evidence(False, "the worker was idle: no task was running or held")
