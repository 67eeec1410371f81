"""Servers that run and answer nobody, though no fault did that: the environment's fault, told with their names."""

from __future__ import annotations

from harness.errors import EnvironmentFault
from harness.ports.system import HearsServers

__all__ = ["Silence", "blamed"]

_SECONDS = 15.0


class Silence:
    """Of the broker, as the run's own loop meets it."""

    def __init__(self, system: object) -> None:
        self._system = system
        self._since: float | None = None

    def note(self, now: float, *, answered: bool) -> None:
        """One question to it. EnvironmentFault once it has been silent for 15 s, if it is no fault's work."""
        if answered or self._since is None:
            self._since = None if answered else now
        elif now - self._since > _SECONDS:
            self._since = now
            if isinstance(self._system, HearsServers) and (words := self._system.silent()):
                raise EnvironmentFault(words)


def blamed(system: object, fault: EnvironmentFault) -> EnvironmentFault:
    """The same, told of the server that is silent where there is one: who asked it knows its address alone."""
    if "its last lines" in fault.what or not isinstance(system, HearsServers) or not (words := system.silent()):
        return fault
    return EnvironmentFault(f"{words}\n  ({fault})")
