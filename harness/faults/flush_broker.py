"""broker.flush: whatever waits in the broker is thrown away, as by an operator's purge, an eviction or a failover (F30, F31)."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from harness.faults._base import BaseFault, never_begun
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun
from harness.ports.system import InspectsBroker

__all__ = ["FlushBroker"]


class FlushBroker(BaseFault):
    """Messages that a worker holds stay its own. What is thrown away is lost: nothing brings it back, so there is nothing to heal.

    Once, unless the timeline says `for`: then whatever waits until it ends.
    """

    name: ClassVar[str] = "broker.flush"
    summary: ClassVar[str] = "throw away every message that waits in the broker"
    needs: ClassVar[tuple[type[Any], ...]] = (InspectsBroker,)

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        self.lasts = 0.0
        self._thrown = 0
        self._ended = False

    def begin(self, system: InspectsBroker) -> Begun:
        """Throw away what waits now."""
        self._thrown = system.broker().flush()
        return Begun("broker", note=f"{self._thrown} thrown away")

    def tick(self, system: InspectsBroker) -> None:
        """And what came since, while it lasts."""
        if not self._ended:
            self._thrown += system.broker().flush()

    def end(self, system: InspectsBroker) -> None:
        """No more."""
        self._ended = True

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """As many as the broker says were thrown away."""
        if record.begun is None:
            return never_begun(record)
        if self._thrown:
            word = "message was" if self._thrown == 1 else "messages were"
            return Evidence(True, f"{self._thrown} waiting {word} thrown away", {"thrown_away": float(self._thrown)})
        return Evidence(False, "no message was waiting", {"thrown_away": 0.0})
