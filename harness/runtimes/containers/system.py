"""The containers runtime: every part in a container of its own, on a network that leads nowhere.

Importing this costs nothing and needs no engine's client: a scenario's faults are held against the class when it loads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint, Tls
from harness.ports.network import host_name
from harness.ports.runtime import Death, SystemPlan
from harness.ports.system import Worker
from harness.runtimes.shared.credentials import fresh_endpoint
from harness.runtimes.shared.environment import AGENT_FOLDER, agent_environment
from harness.runtimes.shared.hosting import Managed, ProxyHost, ServerHandle, ServerSpec
from harness.runtimes.shared.system import LocalSystem

if TYPE_CHECKING:
    from harness.runtimes.containers.egress import Exit
    from harness.runtimes.containers.host import ContainerHost
    from harness.runtimes.containers.images import Chosen
    from harness.runtimes.containers.pool import ContainerSession
    from harness.runtimes.containers.process import ContainerProcess
    from harness.runtimes.containers.servers import ContainerServer

__all__ = ["ContainerSystem"]

_PYTHON = "python"


class ContainerSystem(LocalSystem):
    """See `LiveSystem`. The network is internal: nothing leaves it, and only Toxiproxy's ports are published, on loopback."""

    def __init__(self, plan: SystemPlan, session: ContainerSession | None = None) -> None:
        super().__init__(plan, session)
        self._containers = session
        self._host: ContainerHost | None = None
        self._images: dict[str, Chosen] = {}
        self._image = ""
        self._image_env: dict[str, str] = {}
        self._folder = Path()
        self._ways_out: list[Exit] = []
        self.left: Sequence[str] = ()  # see `LeavesBehind`

    @property
    def host(self) -> ContainerHost:
        """Made by `prepare_host`."""
        assert self._host is not None
        return self._host

    # --- hosting ------------------------------------------------------------------------------------------------

    def prepare_host(self) -> None:
        """The engine, and the image that holds the app."""
        from harness.runtimes.containers.egress import exits
        from harness.runtimes.containers.engine import Engine
        from harness.runtimes.containers.folders import Folders
        from harness.runtimes.containers.host import ContainerHost
        from harness.runtimes.containers.worker_image import worker_image

        assert self.temporary is not None
        spec = self.plan.scenario.system
        engine = Engine.connect()
        chosen = worker_image(engine.client, root=self.plan.root, system=spec, say=self.plan.say)
        self._images["worker"] = chosen
        self._image = chosen.id
        own = bool(spec.image or spec.build)
        config = engine.client.images.get(chosen.reference).attrs.get("Config") or {}
        self._image_env = dict(entry.split("=", 1) for entry in config.get("Env") or () if "=" in entry)
        self._folder = self._inside(own, str(config.get("WorkingDir") or "/"))
        root = None if own else self.plan.root
        ours = {host_name(name) for name in (*self._names(), "toxiproxy", "broker", "backend", *self.plan.stores)}
        self._ways_out = exits(spec.egress, ours, lambda n: self.plan.where("system", "egress", n))
        disconnects = any(item.fault == "net.disconnect" for item in self.plan.scenario.timeline)
        _demand_out_of_sight(engine.socket(), [path for path in (root, self.plan.folder.parent) if path is not None])
        folders, site = Folders(self.temporary, self.plan.folder, root), None
        # Where containers have addresses of their choice, or ways out, the next scenario starts on a network of its own.
        if self._containers is not None and not disconnects and not self._ways_out:
            reports = self.plan.folder.parent
            site = self._containers.site(engine, self.clock, self._image_of, reports=reports, root=root, ports=self._ports())
            folders = replace(site.folders, report=self.plan.folder, run=self.plan.run_id)
        self._host = ContainerHost(
            self.plan.run_id,
            self.clock,
            folders,
            self._image_of,
            engine=engine,
            ports=self._ports(),
            fixed_addresses=disconnects,
            ways_out=self._ways_out,
            site=site,
        )

    def _ports(self) -> int:
        """How many ports of servers the harness itself must reach."""
        kinds = [self.plan.broker, *filter(None, [self.plan.backend])]
        kinds += [self.plan.kinds[store.kind] for store in self.plan.stores.values() if store.kind in self.plan.kinds]
        return sum(1 + len(kind.container(Endpoint("", 0), persistence=False).ports) for kind in kinds)

    def _inside(self, own: bool, workdir: str) -> Path:
        """The working folder as a container sees it: the project's own path where it is mounted, else below the image's."""
        path = self.plan.scenario.system.path
        return Path(PurePosixPath(workdir) / path) if own else (self.plan.root / path).resolve()

    def _image_of(self, name: str) -> str:
        """The id of a part's image, present at the engine; the same for the whole run."""
        from harness.runtimes.containers.engine import Engine
        from harness.runtimes.containers.images import resolve

        if name not in self._images:
            chosen = self.plan.scenario.system.images
            self._images[name] = resolve(Engine.connect().client, name, root=self.plan.root, chosen=chosen, say=self.plan.say)
        return self._images[name].id

    def open(self) -> str:
        """The network first: everything else stands in it."""
        self.prepare()
        self.host.open()
        if self.host.site is not None:
            self.host.seats.keep_only(self._names())
        return super().open()

    def _names(self) -> set[str]:
        """Of the processes that begin it."""
        groups = self.plan.scenario.system.workers
        return {"producer", "call", *(f"{name}-{n}" for name, group in groups.items() for n in range(1, group.replicas + 1))}

    def common_folder(self) -> Path:
        """Mounted into every container of the app's."""
        return self.host.folders.common()

    def part_folder(self, part: str) -> Path:
        """Mounted into that part's containers alone."""
        return self.host.folders.part(part)

    def scratch(self) -> Path:
        """A file system in memory, each container's own."""
        return Path("/tmp")

    def egress(self) -> Sequence[str]:
        """With the ports that are open."""
        return [entry for way in self._ways_out for entry in way.entries]

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What cannot be imported is missing in the image: `system.python` is for processes."""
        answer = super().examine(request)
        error = answer.get("error") or {}
        if error.get("kind") == "import":
            chosen, spec = self._images["worker"], self.plan.scenario.system
            if spec.image or spec.build:
                error["hint"] = f"the app is what the image {chosen.reference} holds below {self._folder}; system.path names another folder"
            else:
                where = "run the harness from the folder your app is imported from, or set system.path"
                error["hint"] = f"{where}; its packages are those of {chosen.origin}"
        return answer

    def working_folder(self) -> Path:
        """As the containers see it."""
        return self._folder

    def fresh_pid_base(self) -> int:
        """Containers count their processes from 1, each for itself."""
        return self.host.new_pid_base()

    def make_server(self, spec: ServerSpec, tls: Tls | None) -> ServerHandle:
        """A container under the part's name."""
        return self.host.server(spec, replace(fresh_endpoint(spec), tls=tls), lasting=self.lasts(spec))

    def lasts(self, spec: ServerSpec) -> bool:
        """Only what stands on a network that lasts too."""
        return self.host.site is not None and super().lasts(spec)

    def server_log(self, spec: ServerSpec) -> Path:
        """Under its name."""
        return self.log_file(spec.name)

    def origin_of(self, spec: ServerSpec) -> str:
        """Its image, as it is now."""
        name = spec.kind.container(Endpoint("", 0), persistence=False).image
        return f"{self._image_of(name)} {id(self.host.site)}"

    def interpreter(self) -> str:
        """The workers' image, as it is now."""
        return self._images["worker"].id

    def all_dead(self) -> bool:
        """Each had a process space of its own, and its process 1 has ended it, or will before its seat is used again."""
        return True

    def certificate_hosts(self, spec: ServerSpec) -> Sequence[str]:
        """Inside by its name, or through a proxy; from here through a published port."""
        return (host_name(spec.name), "toxiproxy", "127.0.0.1", "localhost")

    def spawn(self, name: str, kind: str, arguments: Sequence[str], settings: Path, *, group: str = "", pid_base: int = 0) -> Managed:
        """In a container of its own, from the app's image."""
        client_group, user = ("producer", "producer") if kind == "producer" else (group, "worker")
        return self.host.spawn(
            name,
            kind,
            [_PYTHON, "-m", "celery_harness_agent", *arguments],
            env=self._env(settings, self.seats.offers(name, client_group, user)),
            cwd=self._folder,
            image=self._image,
            log=self.log_file(name),
            pid_base=pid_base,
            group=group,
            stdin=kind == "producer",
        )

    def ask(
        self, program: str, request: Mapping[str, Any], settings: Path, *, log: str, offers: Mapping[str, Mapping[str, str]]
    ) -> dict[str, Any]:
        """In a container that ends with its answer; a check has no network at all."""
        return self.host.ask(
            program,
            request,
            python=_PYTHON,
            env=self._env(settings, offers),
            cwd=self._folder,
            image=self._image,
            log=self.log_file(log),
            network=program != "check",
        )

    def _env(self, settings: Path, offers: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        app = self.seats.app_env(offers)
        own = app.get("PYTHONPATH") or self._image_env.get("PYTHONPATH", "")
        path = os.pathsep.join([str(AGENT_FOLDER), str(self._folder), *filter(None, [own])])
        return {**app, "PYTHONPATH": path, **agent_environment(self.plan.run_id, settings)}

    def proxy_host(self) -> ProxyHost:
        """Toxiproxy stands in the network from the start."""
        return self.host

    def expose(self, name: str, port: int) -> tuple[str, int]:
        """Through a relay, since the network has no way to this machine."""
        return self.host.expose(name, port)

    def poll(self) -> Sequence[Death]:
        """Also: is the engine still there? A server that has ended by itself leaves its last words first."""
        self.host.check()
        for server in self.servers:
            cast("ContainerServer", server).keep_last_words()
        return super().poll()

    def environment(self) -> dict[str, str]:
        """Images too."""
        found = super().environment()
        if self._host is not None:
            found.update(self._host.environment())
        for name, chosen in self._images.items():
            found[f"Image of {name}"] = f"{chosen.reference} ({chosen.origin})"
        return found

    def close_host(self) -> None:
        """Containers, volumes, network; or, on a site, what is this run's own."""
        if self._host is not None:
            self._host.close()
            self.left = self._host.left
            if self._containers is not None and not self._host.ends_clean():
                self._containers.leave_site()

    # --- abilities of containers alone --------------------------------------------------------------------------

    def _container(self, worker: Worker) -> ContainerProcess:
        return cast("ContainerProcess", self._process(worker))

    def leave_network(self, worker: Worker) -> None:
        """See `LeavesNetwork`."""
        self.host.leave(self._container(worker))

    def join_network(self, worker: Worker) -> None:
        """See `LeavesNetwork`."""
        self.host.join(self._container(worker))

    def on_network(self, worker: Worker) -> bool:
        """See `LeavesNetwork`."""
        return self.host.joined(self._container(worker))


def _demand_out_of_sight(socket: Path | None, mounted: Sequence[Path]) -> None:
    """Whoever can talk to the engine is root on this machine: no worker may see its socket."""
    if socket is not None and (folder := next((path for path in mounted if socket.is_relative_to(path.resolve())), None)) is not None:
        raise EnvironmentFault(
            f"the container engine listens at {socket}, below {folder}, which workers see",
            hint="run from a folder that does not hold it, with --reports elsewhere; or let the engine listen elsewhere",
        )
