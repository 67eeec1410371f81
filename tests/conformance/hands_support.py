"""A server that changes hands: the runs that have it in turn, and what tells one's state from another's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.brokers import BROKERS
from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.runtimes.processes.servers import ProcessServer
from harness.runtimes.shared.hosting import ServerSpec
from harness.runtimes.shared.pool import Lease, ServerPool
from harness.runtimes.shared.session import Session

__all__ = ["Hands", "handed_over", "usable", "without_marks"]


def usable(kind: str) -> str:
    """A kind that this machine has."""
    try:
        BROKERS[kind].find()
    except EnvironmentFault as fault:
        pytest.skip(f"needs a server: {fault.what}")
    return kind


class Hands:
    """One server in a pool, and the runs that have it in turn."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder, self.pool = folder, ServerPool()
        self.spec = ServerSpec(BROKERS[kind], "broker", "broker" if "broker" in BROKERS[kind].roles else "backend")
        self.runs = 0
        self.all: list[ProcessServer] = []

    def begin(self) -> tuple[Any, Lease]:
        """The next run's server, and its lease; a new one where none waits."""
        self.runs += 1
        log, lease = self.folder / f"run-{self.runs}.log", Lease(self.pool)
        server: Any = lease.take(self.spec, "origin", log)
        if server is None:
            output = self.folder / f"server-{self.runs}.log"
            server = ProcessServer(self.spec, self.folder / f"data-{self.runs}", log, MonotonicClock(), "0101-000000-0000", output=output)
            server.start()
            lease.made(server, "origin")
            self.all.append(server)
        return server, lease

    def close(self) -> None:
        """Whatever was started."""
        self.pool.close()
        for server in self.all:
            server.remove()


@pytest.fixture(name="hands")
def handed_over() -> Iterator[Callable[[str], Hands]]:
    made: list[Hands] = []
    session = Session()  # for its folder, which a server that refuses root can enter as well

    def make(kind: str) -> Hands:
        made.append(Hands(usable(kind), session.new_folder(kind)))
        return made[-1]

    yield make
    for each in made:
        each.close()
    session.close()


def without_marks(state: Any) -> Any:
    """Names of logins without what is new in them each time."""
    return re.sub(r"\b(worker|producer)-[0-9a-f]{6}\b", r"\1", repr(state))
