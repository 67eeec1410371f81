"""The Toxiproxy container: in the run's network and in the engine's default bridge, so it is the only way in.

An internal network publishes no ports. So a fixed block of this container's ports is published on loopback when it is made
(none can be added later), and a proxy behind each leads to a server by its name: it dials anew for every connection, so a
server may be stopped, replaced and started again behind it.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

from testcontainers.core.network import Network

from harness.errors import EnvironmentFault
from harness.netproxy.client import Proxies
from harness.runtimes.containers.engine import Box, Engine, log_lines

__all__ = ["Door"]

_API = 8474
_PUBLISHED = 20_000
_LINKS = 21_000
_READY_SECONDS = 20.0
_TICK = 0.02
_ATTEMPTS = 3
#: Another program took the port between the engine's choice and its use.
_TAKEN = ("already allocated", "already in use")


class Door:
    """Toxiproxy, once it is open. ``ports``: how many server ports can be published."""

    def __init__(self, engine: Engine, ports: int) -> None:
        self.version = ""
        self.api = ("127.0.0.1", 0)
        self._engine = engine
        self._inside = [_PUBLISHED + number for number in range(ports)]
        self._outside: dict[int, int] = {}
        self._links = itertools.count(_LINKS)

    def open(self, box: Box, network: Network) -> None:
        """Start it and wait until it answers; EnvironmentFault with its last lines."""
        container = self._start(replace(box, arguments=("-host=0.0.0.0",), ports=(_API, *self._inside)))
        with self._engine.asking("toxiproxy", "connected to the run's network"):
            network.connect(container.id, ["toxiproxy"])
            container.reload()
        self._outside = {int(port.split("/")[0]): int(at[0]["HostPort"]) for port, at in container.ports.items() if at}
        self.api = ("127.0.0.1", self._outside.pop(_API, 0))
        self._wait(container)
        self.version = Proxies(*self.api).version()

    def _start(self, box: Box) -> Any:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._engine.start(box)
            except EnvironmentFault as fault:
                if not any(word in fault.what for word in _TAKEN):
                    raise
        return self._engine.start(box)

    def _wait(self, container: Any) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not Proxies(*self.api, timeout=1.0).ready():
            if time.monotonic() > deadline:
                tail = "\n  ".join(log_lines(container)) or "(none)"
                raise EnvironmentFault(
                    f"toxiproxy does not answer on {self.api[0]}:{self.api[1]}; its last lines:\n  {tail}",
                    hint="does a firewall keep this machine from its own published ports? `--runtime processes` needs none",
                )
            time.sleep(_TICK)

    def publish(self, part: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to ``part:port``."""
        if not self._inside:
            raise EnvironmentFault(f"{part}: all {len(self._outside)} ports that were published for this run are taken")
        inside = self._inside.pop(0)
        Proxies(*self.api).create("harness", f"{part}-{port}", listen=f"0.0.0.0:{inside}", upstream=f"{part}:{port}")
        return self._outside[inside]

    def listen(self) -> str:
        """A port of the container's own for a link."""
        return f"0.0.0.0:{next(self._links)}"
