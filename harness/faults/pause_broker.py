"""broker.pause: SIGSTOP to the broker's server: connections stay open, nobody answers (F23, F24)."""

from __future__ import annotations

from typing import ClassVar

from harness.faults._base import never_begun
from harness.faults._servers import PauseServer
from harness.model.history import Evidence, FaultRecord, History

__all__ = ["PauseBroker"]


class PauseBroker(PauseServer):
    """Bytes arrive after healing."""

    name: ClassVar[str] = "broker.pause"
    summary: ClassVar[str] = "freeze the broker, then thaw it"
    part_hit: ClassVar[str] = "broker"

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Nothing was delivered while it was frozen, although work was there or came."""
        if record.begun is None:
            return never_begun(record)
        if record.ended is None:
            return Evidence(False, "it was not healed")
        begun, ended = record.begun, record.ended
        delivered = sum(1 for d in history.deliveries.values() if begun + 0.05 < d.at < ended)
        waited = sum(
            1
            for m in history.messages.values()
            if m.begun is not None
            and m.begun < ended
            and (m.ok is None or m.ok > begun or not any(d.at < begun for d in m.deliveries))
            and any(d.at >= ended for d in m.deliveries)
        )
        numbers = {"waited": float(waited), "delivered": float(delivered)}
        if waited:
            return Evidence(True, f"{delivered} deliveries for {ended - begun:.1f} s; {waited} waited", numbers)
        return Evidence(False, "no message waited for it", numbers)
