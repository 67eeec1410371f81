"""The containers runtime: every part in a container of its own, on a network that leads nowhere.

Importing this costs nothing and needs no engine's client: a scenario's faults are held against the class when it loads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from harness.ports.broker import Endpoint, Tls
from harness.ports.runtime import Death, SystemPlan
from harness.ports.system import Worker
from harness.runtimes.shared.credentials import fresh_endpoint
from harness.runtimes.shared.environment import AGENT_FOLDER, agent_environment
from harness.runtimes.shared.hosting import Managed, ProxyHost, ServerHandle, ServerSpec
from harness.runtimes.shared.system import LocalSystem

if TYPE_CHECKING:
    from harness.runtimes.containers.host import ContainerHost
    from harness.runtimes.containers.images import Chosen
    from harness.runtimes.containers.process import ContainerProcess

__all__ = ["ContainerSystem"]

_PYTHON = "python"


class ContainerSystem(LocalSystem):
    """See `LiveSystem`. The network is internal: nothing leaves it, and only Toxiproxy's ports are published, on loopback."""

    def __init__(self, plan: SystemPlan) -> None:
        super().__init__(plan)
        self._host: ContainerHost | None = None
        self._images: dict[str, Chosen] = {}
        self._image = ""
        self._image_env: dict[str, str] = {}
        self._folder = Path()

    @property
    def host(self) -> ContainerHost:
        """Made by `prepare_host`."""
        assert self._host is not None
        return self._host

    # --- hosting ------------------------------------------------------------------------------------------------

    def prepare_host(self) -> None:
        """The engine, and the image that holds the app."""
        from harness.runtimes.containers.engine import Engine
        from harness.runtimes.containers.host import ContainerHost, Folders
        from harness.runtimes.containers.worker_image import worker_image

        assert self.temporary is not None
        spec = self.plan.scenario.system
        engine = Engine.connect()
        chosen = worker_image(engine.client, root=self.plan.root, system=spec, say=self.plan.say)
        self._images["worker"] = chosen
        self._image = chosen.reference
        own = bool(spec.image or spec.build)
        config = engine.client.images.get(chosen.reference).attrs.get("Config") or {}
        self._image_env = dict(entry.split("=", 1) for entry in config.get("Env") or () if "=" in entry)
        self._folder = self._inside(own, str(config.get("WorkingDir") or "/"))
        folders = Folders(self.temporary, self.plan.folder, None if own else self.plan.root)
        disconnects = any(item.fault == "net.disconnect" for item in self.plan.scenario.timeline)
        self._host = ContainerHost(
            self.plan.run_id, self.clock, folders, self._image_of, engine=engine, ports=self._ports(), fixed_addresses=disconnects
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
        """A part's image, present at the engine."""
        from harness.runtimes.containers.engine import Engine
        from harness.runtimes.containers.images import resolve

        if name not in self._images:
            spec = self.plan.scenario.system
            self._images[name] = resolve(Engine.connect().client, name, root=self.plan.root, chosen=spec.images, say=self.plan.say)
        return str(self._images[name].reference)

    def open(self) -> str:
        """The network first: everything else stands in it."""
        self.prepare()
        self.host.open()
        return super().open()

    def working_folder(self) -> Path:
        """As the containers see it."""
        return self._folder

    def fresh_pid_base(self) -> int:
        """Containers count their processes from 1, each for itself."""
        return self.host.new_pid_base()

    def make_server(self, spec: ServerSpec, tls: Tls | None) -> ServerHandle:
        """A container under the part's name."""
        return self.host.server(spec, replace(fresh_endpoint(spec), tls=tls))

    def certificate_hosts(self, spec: ServerSpec) -> Sequence[str]:
        """Inside by its name, or through a proxy; from here through a published port."""
        return (spec.name, "toxiproxy", "127.0.0.1", "localhost")

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
        """Also: is the engine still there?"""
        self.host.check()
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
        """Containers, volumes, network."""
        if self._host is not None:
            self._host.close()

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
