"""The processes runtime, by its name."""

from __future__ import annotations

import signal

from harness.ports.runtime import LiveSystem, SystemPlan
from harness.runtimes.processes.session import ProcessSession
from harness.runtimes.processes.system import ProcessSystem

__all__ = ["ProcessRuntime"]


class ProcessRuntime:
    """No container engine needed; workers are processes under the user's Python."""

    name = "processes"

    def available(self) -> str:
        """Everywhere that has POSIX sessions and signals."""
        return "" if hasattr(signal, "SIGKILL") else "it needs POSIX signals; use containers on this system"

    def __init__(self) -> None:
        self._session: ProcessSession | None = None

    def system(self, plan: SystemPlan) -> LiveSystem:
        """Not started yet."""
        return ProcessSystem(plan, self._session)

    def keep(self) -> None:
        """See `Runtime`."""
        self._session = self._session or ProcessSession()

    def close(self) -> None:
        """See `Runtime`."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
