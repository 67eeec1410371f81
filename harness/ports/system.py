"""What faults may talk to: the running system and its optional abilities, each a protocol of its own.

A runtime implements the abilities that it has; a fault names those it needs (`needs`); where one is missing the
scenario is refused before anything starts, naming both.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from harness.ports.broker import BrokerInspector
from harness.ports.clock import Clock

__all__ = [
    "HearsServers",
    "InspectsBroker",
    "KillsWorkers",
    "LeavesBehind",
    "MeasuresUse",
    "PausesServers",
    "PausesWorkers",
    "RestartsServers",
    "RunningSystem",
    "ScalesWorkers",
    "StopsAtEffects",
    "StopsWorkers",
    "Worker",
]


class Worker(Protocol):
    """One worker process (with its pool children), in a session of its own."""

    @property
    def name(self) -> str:
        """E.g. pay-1."""

    @property
    def group(self) -> str:
        """E.g. pay."""

    @property
    def pid(self) -> int:
        """The main process of its current life."""

    def alive(self) -> bool:
        """Is its main process running?"""

    def children(self) -> Sequence[int]:
        """Pool children's pids, running now."""


@runtime_checkable
class RunningSystem(Protocol):
    """The least that every runtime offers."""

    clock: Clock

    def workers(self, target: str = "") -> Sequence[Worker]:
        """Running workers: all, of a group ('pay'), or one ('pay-1')."""

    def started_workers(self) -> Sequence[Worker]:
        """All workers of this pass, also those that have ended."""

    def start_worker(self, worker: Worker) -> None:
        """Start a worker again under its name; returns at once, readiness comes by an agent event."""


@runtime_checkable
class KillsWorkers(Protocol):
    """SIGKILL, to a whole worker or one child."""

    def kill_group(self, worker: Worker) -> Sequence[int]:
        """SIGKILL main process and children; the pids that were hit."""

    def kill_child(self, worker: Worker, rng: random.Random) -> int | None:
        """SIGKILL one pool child, a running one where there is one; its pid, or None without children."""


@runtime_checkable
class PausesWorkers(Protocol):
    """SIGSTOP and SIGCONT to the whole group."""

    def pause_group(self, worker: Worker) -> None:
        """Freeze; returns when the kernel shows the main process as stopped."""

    def resume_group(self, worker: Worker) -> None:
        """Thaw."""


@runtime_checkable
class StopsWorkers(Protocol):
    """Celery's own shutdowns."""

    def stop_warm(self, worker: Worker) -> None:
        """SIGTERM to the main process: finish what runs, then leave."""

    def stop_cold(self, worker: Worker) -> None:
        """SIGQUIT to the main process: leave at once."""


@runtime_checkable
class ScalesWorkers(Protocol):
    """More or fewer replicas."""

    def scale(self, group: str, replicas: int) -> tuple[int, int]:
        """Start or warmly stop workers until `replicas` run; (before, after)."""

    def replicas(self, group: str) -> int:
        """How many run and have not been told to leave."""


@runtime_checkable
class RestartsServers(Protocol):
    """Stop and start a server under the same address. Parts: 'broker', 'backend', or a service that has a server of its own."""

    def stop_server(self, part: str, *, keep: bool, kill: bool = False) -> None:
        """Stop it, by SIGKILL where ``kill``; without ``keep`` what it held is gone at the next start."""

    def start_server(self, part: str) -> None:
        """Start it again; returns when it answers."""

    def server_clients(self, part: str) -> int:
        """How many connections the app has to it, now; 0 where it does not answer."""

    def server_runs(self, part: str) -> bool:
        """Is its process there, and does it answer?"""


@runtime_checkable
class PausesServers(Protocol):
    """Freeze a server: connections stay, nobody answers. Parts as in `RestartsServers`."""

    def pause_server(self, part: str) -> None:
        """Freeze."""

    def resume_server(self, part: str) -> None:
        """Thaw; a no-op where it is not frozen."""


@runtime_checkable
class StopsAtEffects(Protocol):
    """Holds a task before a given call that others can notice."""

    def missed_effects(self) -> Mapping[int, str]:
        """Index of a fault that will not strike any more -> why, in words. EnvironmentFault where this machine does not allow it."""


@runtime_checkable
class MeasuresUse(Protocol):
    """Processor time and memory of the workers."""

    def use(self) -> Mapping[str, tuple[float, int]]:
        """Worker -> (processor seconds of its current life, resident bytes), both with its children's; those that are gone are left out."""


@runtime_checkable
class HearsServers(Protocol):
    """Knows which of its servers are silent."""

    def silent(self) -> str:
        """Those that run and do not answer, though no fault has stopped or paused them, with their last lines; '' where there is none."""


@runtime_checkable
class LeavesBehind(Protocol):
    """Its parts may outlive it."""

    @property
    def left(self) -> Sequence[str]:
        """Once it is closed: why some of it could not be removed; () where nothing is left."""


@runtime_checkable
class InspectsBroker(Protocol):
    """A look into the broker, and message faults."""

    def broker(self) -> BrokerInspector:
        """The inspector of the scenario's broker."""
