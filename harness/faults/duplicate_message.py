"""message.duplicate: true second deliveries of messages that are waiting (sequential) or running now (together, next)."""

from __future__ import annotations

import random
import time
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.faults._base import BaseFault
from harness.model.history import Delivery, Evidence, FaultRecord, History
from harness.model.quantities import Share
from harness.ports.broker import WatchesMessages
from harness.ports.fault import Begun, FaultParameters, Meanwhile
from harness.ports.system import InspectsBroker

__all__ = ["DuplicateMessage"]

#: Seconds for which a task that a copy is to run beside is held at its point: what a free slot needs to begin a message that is
#: first in its queue, on a machine that has much else to do. Where no slot is free it takes all of it, and in vain.
_BESIDE = 3.0
#: The same where nothing was copied yet: the broker may tell of a message a moment after it was delivered.
_COPIED = 0.5


class DuplicateParameters(FaultParameters):
    """Which messages, how many, and when the copy comes."""

    queue: str = Field(description="name of the queue")
    ratio: Share | None = Field(default=None, description="share of the messages that pass meanwhile, e.g. 20%")
    count: int | None = Field(default=None, ge=1, description="that many at most")
    deliver: Literal["sequential", "together", "next"] = Field(
        default="sequential",
        description="sequential: the copy waits in the queue; together: copies of messages that run now, so that two run at once, which "
        "takes two free slots; next: the same, beside or afterwards, as slots are free",
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
        self._wanted = ""  # id of the task that is held, as long as its message is the one to copy
        self._wanted_until = 0.0

    def armed(self, system: InspectsBroker) -> None:
        """A broker that does not show what a worker has must have seen it before."""
        if self.parameters.deliver != "sequential":
            inspector = system.broker()
            if isinstance(inspector, WatchesMessages):
                inspector.watch(self.parameters.queue)
                self._inspector = inspector

    def begin(self, system: InspectsBroker) -> Begun:
        """The first look. What an event struck is copied before anything else that runs."""
        self._inspector = self._inspector or system.broker()
        if self.parameters.deliver != "sequential":
            self._wanted, self._wanted_until = self.struck_task, time.monotonic() + _COPIED
        self.tick(system)
        return Begun(self.parameters.queue)

    def holds(self, meanwhile: Meanwhile) -> bool:
        """Together: until a copy runs. A task of a few milliseconds would be over before."""
        if self.parameters.deliver != "together" or meanwhile.copies_begun:
            return False
        return meanwhile.seconds < (_BESIDE if self._copied else _COPIED)

    def tick(self, system: InspectsBroker) -> None:
        """Copy what came since the last look, up to `count`."""
        if self._ended or self._inspector is None:
            return
        left = None if self.parameters.count is None else self.parameters.count - self._copied
        if left == 0:
            return
        share = 1.0 if self.parameters.ratio is None else self.parameters.ratio
        together = self.parameters.deliver != "sequential"
        made = self._inspector.duplicate(
            self.parameters.queue, share=share, count=left, together=together, rng=self.rng, seen=self._seen, only=self._wanted
        )
        self._copied += made
        if made or time.monotonic() > self._wanted_until:
            self._wanted = ""

    def end(self, system: InspectsBroker) -> None:
        """No more copies."""
        self._ended = True

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Copies that a worker received; together: that ran beside another delivery of their message."""
        mine = self.parameters.queue if self._copied else None
        found = [d for d in history.deliveries.values() if d.copy and d.message.queue == mine]
        # A copy may be delivered again in its turn, as any message may: it is still one copy.
        copies = {(d.message.id, d.copy) for d in found}
        started = len({(d.message.id, d.copy) for d in found if d.start is not None})
        numbers = {"copied": float(self._copied), "delivered": float(len(copies)), "started": float(started)}
        told = f"{len(copies)} of {self._copied} copies delivered a second time, {started} ran"
        if copies and self.parameters.deliver == "together":
            beside = len({(d.message.id, d.copy) for d in found if _beside(d)})
            numbers["beside"] = float(beside)
            if not beside:
                why = "none beside another delivery of its message: that takes two free slots (or `deliver: next`, which asks for none)"
                return Evidence(False, f"{told}, {why}", numbers)
            return Evidence(True, f"{told}, {beside} beside another delivery of its message", numbers)
        if copies:
            return Evidence(True, told, numbers)
        if record.begun is None:
            return Evidence(False, "never begun: the event did not happen", numbers)
        return Evidence(False, f"{self._copied} copies made, none delivered" if self._copied else "no message was there to copy", numbers)


def _beside(copy: Delivery) -> bool:
    """Was there a time at which it and another delivery of its message ran?"""
    return any(
        copy.start < _over(other) and other.start < _over(copy)
        for other in copy.message.deliveries
        if other is not copy and copy.start is not None and other.start is not None
    )


def _over(delivery: Delivery) -> float:
    return min((at for at in (delivery.end, delivery.died) if at is not None), default=float("inf"))
