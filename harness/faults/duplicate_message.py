"""message.duplicate: true second deliveries of messages that are waiting (sequential) or running now (together)."""

from __future__ import annotations

import random
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.faults._base import BaseFault
from harness.model.history import Evidence, FaultRecord, History
from harness.model.quantities import Share
from harness.ports.fault import Begun, FaultParameters
from harness.ports.system import InspectsBroker

__all__ = ["DuplicateMessage"]


class DuplicateParameters(FaultParameters):
    """Which messages, how many, and when the copy comes."""

    queue: str = Field(description="name of the queue")
    ratio: Share | None = Field(default=None, description="share of the messages that pass meanwhile, e.g. 20%")
    count: int | None = Field(default=None, ge=1, description="that many at most")
    deliver: Literal["sequential", "together"] = Field(
        default="sequential",
        description="sequential: the copy waits in the queue; together: copies of messages that run now, so two run at once",
    )

    @model_validator(mode="after")
    def _how_many(self) -> DuplicateParameters:
        if self.ratio is None and self.count is None:
            raise ValueError("message.duplicate needs `ratio` or `count`")
        return self


class DuplicateMessage(BaseFault):
    """Copies while it lasts; there is nothing to heal."""

    name: ClassVar[str] = "message.duplicate"
    summary: ClassVar[str] = "deliver messages a second time"
    Parameters: ClassVar[type[FaultParameters]] = DuplicateParameters
    needs: ClassVar[tuple[type[Any], ...]] = (InspectsBroker,)

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        self._seen: set[str] = set()
        self._copied = 0
        self._ended = False
        self._inspector: Any = None

    def begin(self, system: InspectsBroker) -> Begun:
        """The first look."""
        self._inspector = system.broker()
        self.tick(system)
        return Begun(self.parameters.queue)

    def tick(self, system: InspectsBroker) -> None:
        """Copy what came since the last look, up to `count`."""
        if self._ended or self._inspector is None:
            return
        left = None if self.parameters.count is None else self.parameters.count - self._copied
        if left == 0:
            return
        share = 1.0 if self.parameters.ratio is None else self.parameters.ratio
        together = self.parameters.deliver == "together"
        self._copied += self._inspector.duplicate(
            self.parameters.queue, share=share, count=left, together=together, rng=self.rng, seen=self._seen
        )

    def end(self, system: InspectsBroker) -> None:
        """No more copies."""
        self._ended = True

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Copies that a worker received."""
        mine = self.parameters.queue if self._copied else None
        found = [d for d in history.deliveries.values() if d.copy and d.message.queue == mine]
        # A copy may be delivered again in its turn, as any message may: it is still one copy.
        copies = {(d.message.id, d.copy) for d in found}
        started = len({(d.message.id, d.copy) for d in found if d.start is not None})
        numbers = {"copied": float(self._copied), "delivered": float(len(copies)), "started": float(started)}
        if copies:
            return Evidence(True, f"{len(copies)} of {self._copied} copies delivered a second time, {started} ran", numbers)
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen", numbers)
        return Evidence(False, f"{self._copied} copies made, none delivered" if self._copied else "no message was there to copy", numbers)
