"""Which other fault could have caused what is taken for a sign of this one? A sign that two could have caused is nobody's."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.history import FaultRecord, History

__all__ = ["Rivals"]

#: Seconds for which a fault that began later than this one explains what comes after its end: a worker may notice so late.
_NOTICED_LATE = 5.0
#: The same for one that had begun before: what it set in motion is over by then.
_AFTERMATH = 2.0

#: Whose way to the broker is left alone.
_HARMLESS = ("backend.", "db.", "message.", "broker.flush")


@dataclass(frozen=True)
class Rivals:
    """The other faults of a history, seen from one of them."""

    record: FaultRecord
    history: History

    def explain(self, client: str, first: float, last: float) -> bool:
        """Could another fault be why this client lost its connection to the broker, or did not get through, from first to last?"""
        return any(self._could(other, client, first, last) for other in self.history.faults if other.index != self.record.index)

    def _could(self, other: FaultRecord, client: str, first: float, last: float) -> bool:
        assert self.record.begun is not None
        if other.begun is None or other.begun > last or not _concerns(other, client):
            return False
        later = other.begun > self.record.begun
        return other.ended is None or first < other.ended + (_NOTICED_LATE if later else _AFTERMATH)


def _concerns(fault: FaultRecord, client: str) -> bool:
    """Does it touch this client's way to the broker? A fault that is not known here may do anything.

    Faults between two parts, or on one worker, name them as their target: 'pay and broker', 'pay-1'.
    """
    if fault.name.startswith(_HARMLESS):
        return False
    if fault.name.startswith(("net.", "worker.", "task.")) and fault.target:
        parts = fault.target.split(" and ")
        if len(parts) == 2 and "broker" not in parts:
            return False
        return client in parts or client.rpartition("-")[0] in parts
    return True
