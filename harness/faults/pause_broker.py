"""broker.pause: SIGSTOP to the broker's server: connections stay open, nobody answers (F23, F24)."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.faults._base import BaseFault
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun
from harness.ports.system import PausesBroker

__all__ = ["PauseBroker"]


class PauseBroker(BaseFault):
    """Bytes arrive after healing."""

    name: ClassVar[str] = "broker.pause"
    summary: ClassVar[str] = "freeze the broker, then thaw it"
    needs: ClassVar[tuple[type[Any], ...]] = (PausesBroker,)

    def begin(self, system: PausesBroker) -> Begun:
        """Freeze."""
        system.pause_broker()
        return Begun("broker")

    def end(self, system: PausesBroker) -> None:
        """Thaw."""
        system.resume_broker()

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """Nothing was delivered while it was frozen, although work was there or came."""
        if record.begun is None or record.ended is None:
            return Evidence(False, "never begun: the event did not happen" if record.begun is None else "it was not healed")
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
