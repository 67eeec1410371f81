"""Everything that a run has at the container engine: its network, the Toxiproxy that is its door, servers, workers, questions.

    host = ContainerHost(run_id, clock, folders, images)
    host.open()                                       # network and Toxiproxy
    broker = host.server(spec, endpoint)              # not started yet: broker.start()
    base = host.new_pid_base()                        # goes into the agent's settings and to `spawn`
    worker = host.spawn("pay-1", "worker", argv, env=env, cwd=root, image=image, pid_base=base, log=log)
    host.check()                                      # at every tick, free: is the engine still there, did every start succeed?
    host.close()

It may be used from several threads. What a container is told beyond its command comes by files of the run's folder or by its
environment; no secret is in an argument or a label, and no container sees the engine.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from testcontainers.core.network import Network

from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from harness.ports.clock import Clock
from harness.ports.network import host_name
from harness.runtimes.containers.cleanup import OWNER, PART, PLACE, RUN, place, remove_run
from harness.runtimes.containers.door import Door
from harness.runtimes.containers.egress import Exit
from harness.runtimes.containers.engine import SILENT, Box, Engine
from harness.runtimes.containers.events import Watcher
from harness.runtimes.containers.folders import Folders, emptied
from harness.runtimes.containers.launching import Launcher, Order
from harness.runtimes.containers.process import ContainerProcess
from harness.runtimes.containers.relay import LoopbackRelay
from harness.runtimes.containers.seats import SeatedProcess, Seats
from harness.runtimes.containers.servers import ContainerServer
from harness.runtimes.shared.environment import AGENT_FOLDER
from harness.runtimes.shared.hosting import ServerSpec
from harness.runtimes.shared.leftovers import owner

__all__ = ["SESSION", "ContainerHost", "Folders"]

#: Label: what several runs of one process share has the same as what each of them has alone.
SESSION = "celery-harness.session"

_OPENERS = 4
_AGAIN_SECONDS = 0.5
_PID_BASE = 10_000_000
_RELAY = AGENT_FOLDER / "celery_harness_agent" / "relay.py"


class ContainerHost:
    """See the module. Implements `ProxyHost`."""

    def __init__(
        self,
        run_id: str,
        clock: Clock,
        folders: Folders,
        images: Callable[[str], str],
        *,
        engine: Engine | None = None,
        ports: int = 8,
        fixed_addresses: bool = False,
        ways_out: Sequence[Exit] = (),
        site: ContainerHost | None = None,
    ) -> None:
        """``images``: name of the table (redis, toxiproxy, python …) -> id or reference, present at the engine; raises EnvironmentFault.

        ``ports``: how many server ports the harness itself needs to reach at most; each costs some 60 ms at the end.
        ``fixed_addresses``: who leaves the network and joins it again has its old address, so that connections may live on;
        costs some 150 ms at the start. ``ways_out``: hosts outside that the app may reach; not on a site.

        ``site``: another host, whose network and Toxiproxy this one uses, and whose containers serve it as far as they can. What
        stands there carries the site's id and stays when this one closes.
        """
        self.run_id, self.clock, self.folders, self.image = run_id, clock, folders, images
        self.engine = engine or Engine.connect()
        self.site = site
        self.session: str = site.session if site else run_id
        self.watcher: Watcher = site.watcher if site else Watcher(self.engine, clock, f"{SESSION}={self.session}")
        self.network: Network | None = None
        self._door: Door = site._door if site else Door(self.engine, ports)
        self._ways_out = {way: Door(self.engine, 0, name=way.host, leads=way.ports) for way in ways_out}
        self._bases: Iterator[int] = site._bases if site else itertools.count(_PID_BASE, _PID_BASE)
        self._numbers = itertools.count(1)
        self.seats: Seats = site.seats if site else Seats(self.engine, self.watcher, folders, self._outline)
        #: Every process that was started here, questions too.
        self._launcher = Launcher(self.engine, clock, self.watcher, folders, self._outline, self.seats if site else None)
        self._fixed_addresses = fixed_addresses
        self._servers: list[ContainerServer] = []
        self._latest: dict[str, ContainerProcess] = {}
        self._relays: list[LoopbackRelay] = []
        self._begun = self._open = self._closed = False
        self.left: Sequence[str] = ()  # why not all of it could be removed
        self._lock = threading.RLock()

    # --- the run's own ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Network and Toxiproxy, ready. `ask` without network works before. Once; a second call is a no-op."""
        with self._lock:
            self._begin()
            if not self._open and self.site is not None:
                self.site.open()
                self.network, self._open = self.site.network, True
            if not self._open:
                image = self.image("toxiproxy")
                self.network = self.engine.network(
                    f"celery-harness-{self.run_id}", self.labels("network"), fixed_addresses=self._fixed_addresses
                )
                box = replace(self._outline("toxiproxy", image), network=None, stands_for="toxiproxy")
                self._door.open(box, self.network)
                self.watcher.expect(box.name, self._door.ended)
                with ThreadPoolExecutor(_OPENERS) as pool:
                    list(pool.map(self._open_way_out, self._ways_out.items(), itertools.count(1)))
                self._open = True

    def _open_way_out(self, way: tuple[Exit, Door], number: int) -> None:
        leads, door = way
        assert self.network is not None
        box = replace(self._outline(f"egress-{number}", self.image("toxiproxy")), network=None, stands_for="toxiproxy")
        door.open(box, self.network)
        self.watcher.expect(box.name, door.ended)
        for port in leads.ports:
            door.lead(port, leads.address)

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                if self.folders.run:
                    emptied(self.folders.common().parent, {self.folders.run})
                self._launcher.prepare()
                if self.site is None:
                    self.watcher.start()
                else:
                    self.site._begin()
                self._begun = True

    def _outline(self, part: str, image: str) -> Box:
        """A container of this run."""
        return Box(self.box_name(part), part, image, labels=self.labels(part), network=self.network)

    def labels(self, part: str) -> dict[str, str]:
        """What `clean` knows ours by."""
        return {RUN: self.run_id, SESSION: self.session, OWNER: owner(), PLACE: place(), PART: part}

    def box_name(self, part: str) -> str:
        """The engine's name for a new container."""
        return f"celery-harness-{self.run_id}-{part}-{next(self._numbers)}"

    def new_pid_base(self) -> int:
        """For one life of one container: write it into the agent's settings (`pid_base`) and hand it to `spawn`."""
        return next(self._bases)

    def ends_clean(self) -> bool:
        """After its close: is what the site goes on with as it was before?"""
        return self.site is None or not self._open or self.site.sound()

    def sound(self) -> bool:
        """Has nothing of it ended or been disturbed, between two runs? Links that a run left are removed."""
        return not self.watcher.lost and (not self._open or self._door.sweep())

    def room(self) -> int:
        """How many ports of further servers can be published."""
        return self._door.room

    def check(self) -> None:
        """EnvironmentFault where the engine has gone, or a start in the background failed. Free."""
        if self.watcher.lost:
            raise EnvironmentFault(self.watcher.lost, hint="when it is back, `celery-harness clean` removes what this run left")
        if self._launcher.failures:
            raise self._launcher.failures[0]
        for door in (self._door, *self._ways_out.values()):
            door.check()

    def environment(self) -> dict[str, str]:
        """For the report."""
        found = {"Container engine": self.engine.version}
        if self._door.version:
            found["Proxy"] = f"Toxiproxy {self._door.version}"
        return found

    # --- servers, and the door to them --------------------------------------------------------------------------

    def server(self, spec: ServerSpec, endpoint: Endpoint, *, lasting: bool = False) -> ContainerServer:
        """Not started. ``endpoint``: credentials and TLS only; where it is reached, from here and inside, is filled in.

        ``lasting``: it belongs to the site, where there is one, and whoever has it removes it.
        """
        self.open()
        log = self.folders.report / "logs" / f"{spec.name}.log"
        if lasting and self.site is not None:
            return ContainerServer(spec, endpoint, self.site, log, self.image(spec.kind.container(endpoint, persistence=False).image))
        server = ContainerServer(spec, endpoint, self, log)
        self._servers.append(server)
        return server

    def publish(self, part: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to a part's port, whatever container answers to its name at the time."""
        return self._door.publish(part, port)

    def api(self) -> tuple[str, int]:
        """(host, port) of Toxiproxy's API on loopback."""
        self.open()
        return self._door.api

    def listen(self) -> str:
        """A new address for a link's proxy, '0.0.0.0:21000', inside the Toxiproxy container."""
        return self._door.listen()

    def reached_at(self, listening: tuple[str, int]) -> tuple[str, int]:
        """('toxiproxy', port)."""
        return ("toxiproxy", listening[1])

    def last_lines(self) -> tuple[str, ...]:
        """Of Toxiproxy's log."""
        return self._door.last_lines()

    def expose(self, name: str, port: int) -> tuple[str, int]:
        """What this process serves on 127.0.0.1:``port``, for the app: (host, port). A relay container of that name passes it on."""
        self.open()
        relay = LoopbackRelay(self.folders.part(name) / f"{name}.relay", port)
        self._relays.append(relay)
        argv = ["python3", "-I", "-S", str(_RELAY), "--port", str(port), "--socket", str(relay.path)]
        log = self.folders.report / "logs" / f"relay-{name}.log"
        self._launcher.launch(Order(name, "relay", argv, {}, Path("/"), self.image("python"), log, self.new_pid_base())).box()
        return host_name(name), port

    # --- workers, producer, questions ---------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        kind: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        image: str,
        log: Path,
        pid_base: int,
        group: str = "",
        stdin: bool = False,
        wait: bool = False,
    ) -> ContainerProcess:
        """A worker or the producer in a container of its own; ``argv[0]`` is the Python program in the image. Alias: ``name``.

        Returns at once where not ``wait``: the container starts in the background (about 0.4 s, several side by side); `tell`
        does not mind, `pid`, `kill` and the like wait for it. What went wrong is raised by `check` (or by them), with the part's
        name and its last lines. CELERY_HARNESS_PARENT is set inside. A container that had the name before is removed.
        """
        self.open()
        with self._lock:
            before = self._latest.get(name)
            order = Order(name, kind, argv, env, cwd, image, log, pid_base, group, stdin)
            process = self._latest[name] = self._launcher.launch(order)
        if before is not None:
            before.close_input()
            if not isinstance(before, SeatedProcess):
                self._launcher.pool.submit(self.engine.remove, before.box_name)
        if wait:
            process.box()
        return process

    def ask(
        self,
        program: str,
        request: Mapping[str, Any],
        *,
        python: str,
        env: Mapping[str, str],
        cwd: Path,
        image: str,
        log: Path,
        network: bool,
    ) -> dict[str, Any]:
        """Run `check` or `call` in a container of its own; its JSON answer. Without ``network`` it has loopback only."""
        self.open() if network else self._begin()
        argv = [python, "-m", "celery_harness_agent", program]
        return self._launcher.ask(Order(program, program, argv, env, cwd, image, log, request=request, alone=not network))

    def leave(self, process: ContainerProcess) -> None:
        """Take a worker's container off the network; neither side hears a word. A no-op where it is off."""
        with self._lock:
            if process.left_address is None and self.network is not None:
                box = process.box()
                with self.engine.asking(process.name, "taken off the network"):
                    attached = self.engine.client.api.inspect_container(box.id)["NetworkSettings"]["Networks"]
                    self.engine.client.api.disconnect_container_from_network(box.id, self.network.id, force=True)
                process.left_address = str(attached.get(self.network.name, {}).get("IPAddress", ""))

    def join(self, process: ContainerProcess) -> None:
        """Back, with its alias, and its address where addresses are fixed. A no-op where it is there, or has ended meanwhile."""
        with self._lock:
            if process.left_address is not None and process.alive() and self.network is not None:
                address = process.left_address if self._fixed_addresses else None
                with self.engine.asking(process.name, "put back on the network"):
                    self.engine.client.api.connect_container_to_network(
                        process.container_id, self.network.id, aliases=[host_name(process.name)], ipv4_address=address or None
                    )
            process.left_address = None

    def joined(self, process: ContainerProcess) -> bool:
        """On the network? No engine call."""
        return process.alive() and process.left_address is None

    # --- stopping -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Logs saved; containers, anonymous volumes, network and relays gone. Never raises; also twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        follow = [] if self.site else [self.watcher.close, self.seats.close]
        for step in (self._launcher.let_go, self._remove, *follow, *(r.close for r in self._relays), self.folders.forget):
            with contextlib.suppress(Exception):
                step()

    def _remove(self) -> None:
        """By the run's label, so that what was only half made goes too. An engine that has gone is not asked again and again."""
        if self.site is not None and not self._relays and not self._servers and self._launcher.nothing_left():
            return
        if self.engine.answers():
            for server in self._servers:
                server.save_log()
            if remove_run(self.engine, self.run_id):
                time.sleep(_AGAIN_SECONDS)  # what was busy a moment ago
                self.left = remove_run(self.engine, self.run_id)
        else:
            self.left = [SILENT]
