"""broker.restart and broker.kill: the broker's server goes and comes back, with its messages or without (F22, F29, F32)."""

from __future__ import annotations

from typing import ClassVar

from harness.faults._servers import DownParameters, RestartServer
from harness.ports.fault import FaultParameters

__all__ = ["KillBroker", "RestartBroker"]


class RestartBroker(RestartServer):
    """The address stays the same; workers must find back by themselves."""

    name: ClassVar[str] = "broker.restart"
    summary: ClassVar[str] = "stop the broker and start it again"
    part_hit: ClassVar[str] = "broker"


class KillBroker(RestartServer):
    """Nothing is written that was not on disk already: what it remembers is up to its persistence."""

    name: ClassVar[str] = "broker.kill"
    summary: ClassVar[str] = "SIGKILL to the broker, then start it again"
    Parameters: ClassVar[type[FaultParameters]] = DownParameters
    part_hit: ClassVar[str] = "broker"
    by_kill: ClassVar[bool] = True
