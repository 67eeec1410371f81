"""backend.pause and db.pause: SIGSTOP to a server other than the broker's: connections stay open, nobody answers (F49)."""

from __future__ import annotations

from typing import ClassVar

from harness.faults._servers import PauseServer, ServerParameters
from harness.ports.fault import FaultParameters

__all__ = ["PauseBackend", "PauseDatabase"]


class PauseBackend(PauseServer):
    """Tasks that end meanwhile stand still with their result in hand."""

    name: ClassVar[str] = "backend.pause"
    summary: ClassVar[str] = "freeze the result backend, then thaw it"
    part_hit: ClassVar[str] = "backend"
    hits: ClassVar[str] = "backend"


class PauseDatabase(PauseServer):
    """Tasks that use the service stand still, with their locks and transactions open."""

    name: ClassVar[str] = "db.pause"
    summary: ClassVar[str] = "freeze a service's server, then thaw it"
    Parameters: ClassVar[type[FaultParameters]] = ServerParameters
    hits: ClassVar[str] = "server"
