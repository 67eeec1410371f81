"""The Toxiproxy container: in the run's network and in the engine's default bridge, so it is the only way in.

An internal network publishes no ports. So a fixed block of this container's ports is published on loopback when it is made
(none can be added later), and a proxy behind each leads to a server by its name: it dials anew for every connection, so a
server may be stopped, replaced and started again behind it.
"""

from __future__ import annotations

import http.client
import itertools
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from testcontainers.core.network import Network

from harness.errors import EnvironmentFault
from harness.netproxy.client import Proxies
from harness.netproxy.exchange import Answered, exchange
from harness.runtimes.containers.engine import Box, Engine, log_lines, log_tail

__all__ = ["Door"]

_API = 8474
_NAME = "toxiproxy"
#: The client of those links that lead from this process to the servers.
_OURS = "harness"
_PUBLISHED = 20_000
_LINKS = 21_000
_READY_SECONDS = 20.0
_TICK = 0.02
_SWEEP_SECONDS = 5.0
_ATTEMPTS = 3
#: A container's states, as the engine has them.
_ENDED = ("exited", "dead")
#: Another program took the port between the engine's choice and its use.
_TAKEN = ("already allocated", "already in use")


class Door:
    """Toxiproxy, once it is open. ``ports``: how many server ports can be published. ``name``: its own in the run's network.
    ``leads``: ports of its own that are taken by what `lead` opens.
    """

    def __init__(self, engine: Engine, ports: int, *, name: str = _NAME, leads: Collection[int] = ()) -> None:
        self.version = ""
        self._name = name
        self._api = next(port for port in itertools.count(_API) if port not in leads)
        self.api = ("127.0.0.1", 0)
        self._engine = engine
        self._inside = [_PUBLISHED + number for number in range(ports)]
        self._outside: dict[int, int] = {}
        self._published: dict[tuple[str, int], int] = {}
        self._links = itertools.count(_LINKS)
        self._container: Any = None
        self._status: int | None = None  # once it has ended, as subprocess has it

    def open(self, box: Box, network: Network) -> None:
        """Start it and wait until it answers; EnvironmentFault with its last lines."""
        arguments = ("-host=0.0.0.0", f"-port={self._api}")
        container = self._container = self._start(replace(box, arguments=arguments, ports=(self._api, *self._inside)))
        try:
            with self._engine.asking(box.part, "connected to the run's network"):
                network.connect(container.id, [self._name])
        finally:  # the engine's refusal to connect one that ends meanwhile does not say so
            self._demand_running(container, box.part)
        self._outside = {int(port.split("/")[0]): int(at[0]["HostPort"]) for port, at in container.ports.items() if at}
        self.api = ("127.0.0.1", self._outside.pop(self._api, 0))
        self._wait(container, box.part)
        self.version = Proxies(*self.api).version()

    def _start(self, box: Box) -> Any:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._engine.start(box)
            except EnvironmentFault as fault:
                if not any(word in fault.what for word in _TAKEN):
                    raise
        return self._engine.start(box)

    def _wait(self, container: Any, part: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not Proxies(*self.api, timeout=1.0).ready():
            self._demand_running(container, part)
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"{part} does not answer on {self.api[0]}:{self.api[1]}; its last lines:\n  {log_tail(container)}",
                    hint="does a firewall keep this machine from its own published ports? `--runtime processes` needs none",
                )
            time.sleep(_TICK)

    def _demand_running(self, container: Any, part: str) -> None:
        """EnvironmentFault with its last lines where it has ended: of an image that holds another program, say."""
        with self._engine.asking(part, "looked at"):
            container.reload()
        state = container.attrs["State"]
        if state["Status"] in _ENDED:
            what = f"{part} (toxiproxy in a container) ended with status {state['ExitCode']} before it was ready"
            raise EnvironmentFault(f"{what}; its last lines:\n  {log_tail(container)}")

    def ended(self, code: int, at: float) -> None:
        """The engine says so; 128 + signal."""
        self._status = 128 - code if code > 128 else code

    def check(self) -> None:
        """EnvironmentFault with its last lines where it has ended by itself: nobody gets in any more. Free."""
        if self._status is not None:
            tail = "\n  ".join(self.last_lines()) or "(none)"
            raise EnvironmentFault(f"{self._words} ended by itself with status {self._status}; its last lines:\n  {tail}")

    @property
    def _words(self) -> str:
        return _NAME if self._name == _NAME else f"the way out to {self._name} ({_NAME})"

    def last_lines(self) -> tuple[str, ...]:
        """Of its log; () where it was never started."""
        return log_lines(self._container) if self._container is not None else ()

    def publish(self, part: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to ``part:port``, always the same one."""
        if (part, port) in self._published:
            return self._published[part, port]
        if not self._inside:
            raise EnvironmentFault(f"{part}: all {len(self._outside)} ports that were published for this run are taken")
        inside = self._inside.pop(0)
        Proxies(*self.api).create(_OURS, f"{part}-{port}", listen=f"0.0.0.0:{inside}", upstream=f"{part}:{port}")
        self._published[part, port] = self._outside[inside]
        return self._outside[inside]

    def lead(self, port: int, address: str) -> None:
        """Who connects to that port of this container's is led to the same port of an address outside the run's network."""
        Proxies(*self.api).create(_OURS, f"{self._name}-{port}", listen=f"0.0.0.0:{port}", upstream=f"{address}:{port}")

    @property
    def room(self) -> int:
        """How many ports can still be published."""
        return len(self._inside)

    def sweep(self) -> bool:
        """Links of a run gone, toxics with them; is nothing left but our own ways to servers, all open and undisturbed?"""
        try:
            ours = {f"{_OURS}--{part}-{port}" for part, port in self._published}
            found = self._proxies()
            for name in found.keys() - ours:
                self._ask("DELETE", f"/proxies/{quote(name, safe='')}")
            found = self._proxies() if found.keys() != ours else found
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return found.keys() == ours and all(proxy["enabled"] and not proxy["toxics"] for proxy in found.values())

    def _proxies(self) -> dict[str, dict[str, Any]]:
        return dict(self._ask("GET", "/proxies").json())

    def _ask(self, method: str, path: str) -> Answered:
        return exchange(*self.api, method, path, None, _SWEEP_SECONDS)

    def listen(self) -> str:
        """A port of the container's own for a link."""
        return f"0.0.0.0:{next(self._links)}"
