"""The containers runtime, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.ports.runtime import LiveSystem, SystemPlan

if TYPE_CHECKING:
    from harness.runtimes.containers.pool import ContainerSession

__all__ = ["ContainerRuntime"]


class ContainerRuntime:
    """Brokers and workers in containers: the user's own image, a network that can be taken away."""

    name = "containers"

    def __init__(self) -> None:
        self._session: ContainerSession | None = None

    def available(self) -> str:
        """Does an engine answer, and is testcontainers installed?"""
        try:
            from harness.runtimes.containers.engine import available
        except ImportError as exc:
            return f"{exc.name} is not installed: pip install 'celery-harness[containers]'"
        return available()

    def system(self, plan: SystemPlan) -> LiveSystem:
        """Not started yet."""
        from harness.runtimes.containers.system import ContainerSystem

        return ContainerSystem(plan, self._session)

    def keep(self) -> None:
        """See `Runtime`."""
        from harness.runtimes.containers.pool import ContainerSession

        self._session = self._session or ContainerSession()

    def close(self) -> None:
        """See `Runtime`."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
