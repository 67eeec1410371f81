"""The containers runtime, by its name."""

from __future__ import annotations

from harness.ports.runtime import LiveSystem, SystemPlan

__all__ = ["ContainerRuntime"]


class ContainerRuntime:
    """Brokers and workers in containers: the user's own image, a network that can be taken away."""

    name = "containers"

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

        return ContainerSystem(plan)
