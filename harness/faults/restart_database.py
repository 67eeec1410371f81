"""db.restart: the server behind a service goes and comes back."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.faults._servers import DownParameters, RestartServer, ServerParameters
from harness.ports.fault import FaultParameters

__all__ = ["RestartDatabase"]


class DatabaseParameters(DownParameters, ServerParameters):
    """Which one, for how long, and how it goes."""

    kill: bool = Field(default=False, description="by SIGKILL instead of a shutdown")


class RestartDatabase(RestartServer):
    """Its data stay: a database that forgets them is another kind of failure. Open transactions are rolled back."""

    name: ClassVar[str] = "db.restart"
    summary: ClassVar[str] = "stop a service's server and start it again"
    Parameters: ClassVar[type[FaultParameters]] = DatabaseParameters
    hits: ClassVar[str] = "server"
