"""What the parts of a running system use, asked for once a second."""

from __future__ import annotations

from harness.errors import EnvironmentFault
from harness.model.history import Usage
from harness.ports.broker import BrokerInspector, ShowsUse
from harness.ports.runtime import LiveSystem
from harness.ports.system import MeasuresUse

__all__ = ["UsageSampler"]

_EVERY = 1.0


class UsageSampler:
    """Of one pass. Seconds since its load began."""

    def __init__(self, system: LiveSystem) -> None:
        self._system = system
        self._next = 0.0

    def sample(self, now: float, inspector: BrokerInspector | None) -> Usage | None:
        """None where it is not yet time. ``inspector``: of a broker that has just answered, else None: who is silent is not asked again."""
        if now < self._next:
            return None
        self._next = max(self._next + _EVERY, now + _EVERY / 2)
        used = self._system.use() if isinstance(self._system, MeasuresUse) else {}
        memory, connections = _of_broker(inspector)
        cpu, sizes = {name: one[0] for name, one in used.items()}, {name: one[1] for name, one in used.items()}
        return Usage(now, cpu, sizes, memory, connections)


def _of_broker(inspector: object) -> tuple[int | None, int | None]:
    if not isinstance(inspector, ShowsUse):
        return None, None
    try:
        return inspector.use()
    except (OSError, EnvironmentFault):
        return None, None
