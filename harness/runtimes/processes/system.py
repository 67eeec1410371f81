"""The processes runtime: brokers, stores, workers and producer as processes of this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.egress.wall import Wall, told_of
from harness.errors import ScenarioError
from harness.ports.beginning import Calling
from harness.ports.broker import Tls
from harness.ports.effects import EffectTriggers, WatchedPass
from harness.ports.exploring import Launch
from harness.ports.queues import HoldsMessages, Queues
from harness.ports.runtime import PassPlan, SystemPlan
from harness.ports.store import FailsOnPurpose
from harness.runtimes.processes.children import ask, asking, child_environment, interpreter
from harness.runtimes.processes.process import LAUNCHER, spawn
from harness.runtimes.processes.servers import ProcessServer
from harness.runtimes.processes.session import ProcessSession
from harness.runtimes.shared.hosting import Managed, ProxyHost, ServerHandle, ServerSpec
from harness.runtimes.shared.leftovers import end_strays
from harness.runtimes.shared.system import LocalSystem

if TYPE_CHECKING:  # most scenarios need no proxy, and so no HTTP client either
    from harness.runtimes.processes.proxy import ProcessProxy

__all__ = ["ProcessSystem"]

#: Kinds of processes that stand behind the wall, where there is one: what runs the app's own code for long.
WALLED = ("worker", "producer")


class ProcessSystem(LocalSystem):
    """See `LiveSystem`. Everything listens on loopback, and dies with this process."""

    def __init__(self, plan: SystemPlan, session: ProcessSession | None = None) -> None:
        super().__init__(plan, session)
        self.python = ""
        self._own_session = session
        self._proxy: ProcessProxy | None = None
        self._explored = False
        self._calling: Calling | None = None
        self._wall: Wall | None = None
        self._watch: EffectTriggers | None = None  # of the pass with faults, where one strikes at an effect

    def prepare_host(self) -> None:
        """The interpreter and the working folder."""
        self.python = interpreter(self.plan.scenario.system.python, self.plan.root)
        if not self.working_folder().is_dir():
            raise ScenarioError(f"system.path: {self.working_folder()} is not a folder")
        if self._own_session is not None and not self.wiring.used:
            self._own_session.stop_proxy()

    def make_server(self, spec: ServerSpec, tls: Tls | None) -> ServerHandle:
        """In a folder of its own."""
        assert self.temporary is not None
        log = self.server_log(spec)
        if self.session is not None and self.lasts(spec):
            folder = self.session.new_folder(log.stem)
            return ProcessServer(spec, folder / "data", log, self.clock, self.session.id, output=folder / "log")
        return ProcessServer(spec, self.temporary / log.stem, log, self.clock, self.plan.run_id, tls)

    def server_log(self, spec: ServerSpec) -> Path:
        """Under its name; a service may be called as anything else is."""
        return self.log_file(f"service-{spec.name}" if spec.role == "service" else spec.name)

    def origin_of(self, spec: ServerSpec) -> str:
        """Its program."""
        return " ".join(spec.kind.find())

    def interpreter(self) -> str:
        """Its path."""
        return self.python

    def all_dead(self) -> bool:
        """Also those that left their session: they carry the run's id."""
        return end_strays(self.plan.run_id)

    def certificate_hosts(self, spec: ServerSpec) -> Sequence[str]:
        """Proxies listen there too."""
        return ("127.0.0.1", "localhost")

    def spawn(self, name: str, kind: str, arguments: Sequence[str], settings: Path, *, group: str = "", pid_base: int = 0) -> Managed:
        """Under the user's interpreter, in a session of its own."""
        client_group, user = ("producer", "producer") if kind == "producer" else (group, "worker")
        door = self._door(name, settings) if kind in WALLED else None
        try:
            return spawn(
                name,
                kind,
                [self.python, "-m", "celery_harness_agent", *arguments],
                env={**self._env(settings, self.seats.offers(name, client_group, user)), **self._watched(kind), **told_of(door)},
                cwd=self.working_folder(),
                log=self.log_file(name),
                clock=self.clock,
                group=group,
                stdin=subprocess.PIPE if kind == "producer" else subprocess.DEVNULL,
                pass_fds=[door.fileno()] if door else [],
            )
        finally:
            if door is not None:
                door.close()

    def _door(self, name: str, settings: Path) -> socket.socket | None:
        """A process has one filter that asks: where one strikes at effects, there is no other."""
        if not self.plan.scenario.system.wall or self.plan.effects is not None:
            return None
        if self._wall is None:
            self._wall = Wall()
        return self._wall.door(name, json.loads(settings.read_text()))

    def undeclared(self) -> Sequence[str]:
        """What the wall has refused, too."""
        return [*super().undeclared(), *(self._wall.refused if self._wall is not None else ())]

    def environment(self) -> dict[str, str]:
        """Whether there is a wall around what has run."""
        found = super().environment()
        if self._wall is not None:
            found["Egress wall"] = self._wall.state
        elif self.plan.scenario.system.wall and self.plan.effects is not None:
            found["Egress wall"] = "none while a fault strikes at effects"
        return found

    def begin_pass(self, plan: PassPlan) -> Path:
        """What strikes at an effect strikes from outside of the workers."""
        self._end_watch()
        if self.plan.effects is not None and not plan.clean:
            reached, journal = self.zygote(), self.plan.folder / "journal" / plan.name
            own = (journal, self.seats.trigger_folder)
            self._watch = self.plan.effects(
                WatchedPass(self._effect_socket, journal, reached.services, reached.folders, own, self.log_file)
            )
        return super().begin_pass(replace(plan, triggers=self._for_agents(plan.triggers)))

    def arm(self, triggers: Sequence[Mapping[str, Any]]) -> None:
        """See `LiveSystem`."""
        super().arm(self._for_agents(triggers))

    def missed_effects(self) -> Mapping[int, str]:
        """See `StopsAtEffects`."""
        return self._watch.missed() if self._watch is not None else {}

    def _for_agents(self, triggers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        if self._watch is not None:
            self._watch.arm([trigger for trigger in triggers if trigger.get("effect")])
        return [trigger for trigger in triggers if not trigger.get("effect")]

    @property
    def _effect_socket(self) -> Path:
        return self.common_folder() / "effects"

    def _watched(self, kind: str) -> Mapping[str, str]:
        """The agent's effects.py has the name."""
        return {"CELERY_HARNESS_EFFECTS": str(self._effect_socket)} if self._watch is not None and kind == "worker" else {}

    def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def ask(
        self, program: str, request: Mapping[str, Any], settings: Path, *, log: str, offers: Mapping[str, Mapping[str, str]]
    ) -> dict[str, Any]:
        """In a child that ends with its answer."""
        env = self._env(settings, offers)
        if program == "call" and self._calling is not None:
            return self._calling(request, env, self.log_file(log))
        return ask(program, self.python, request, env=env, cwd=self.working_folder(), log=self.log_file(log))

    def examining(self, request: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        """See `ExploresHere`."""
        self.prepare()
        env = self._env(self.seats.settings("check", "check"), self.seats.dead_ends())
        asked = asking("check", self.python, request, env=env, cwd=self.working_folder(), log=self.log_file("check"))

        def answered() -> dict[str, Any]:
            answer = asked()
            if answer.get("ok"):
                self._app_transport_options = dict((answer.get("settings") or {}).get("broker_transport_options") or {})
            return answer

        return answered

    def zygote(self) -> Launch:
        """See `ExploresHere`."""
        services = {(server.endpoint.host, server.endpoint.port): server.spec.name for server in self.servers}
        folders: dict[Path, str] = {}
        for name, store in self.stores.items():
            services |= dict.fromkeys(store.addresses(), name)
            if path := store.offers().get("path"):
                own = ("", "-journal", "-wal", "-shm") if store.kind == "sqlite" else ("",)
                folders |= {Path(path + suffix): name for suffix in own}
        settings = self.seats.settings("zygote", "zygote")
        return Launch(
            command=[sys.executable, "-I", "-S", str(LAUNCHER), self.python, "-m", "celery_harness_agent", "zygote"],
            environment=self._env(settings, self.seats.offers("zygote")),
            folder=self.working_folder(),
            root=self.plan.root,
            log=self.log_file("zygote"),
            services=services,
            folders=folders,
            names=self.seats.names("zygote"),
        )

    def drawer(self) -> Launch:
        """See `ExploresHere`. What Hypothesis keeps goes with the run."""
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), self.python, "-m", "celery_harness_agent", "draw"]
        environment = self._env(self.seats.settings("check", "draw"), self.seats.dead_ends())
        environment.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(self.scratch() / "hypothesis"))
        folder, log = self.working_folder(), self.log_file("draw")
        return Launch(command=launch, environment=environment, folder=folder, root=self.plan.root, log=log, services={}, folders={})

    def begin_exploring(self, *rows: Any, setup: bool = True, calling: Calling | None = None) -> None:
        """See `ExploresHere`."""
        if self._explored:
            self.refresh()
        self._explored = True
        for store in self.stores.values():
            if isinstance(store, FailsOnPurpose):
                store.begin_pass(clean=True)
        if setup and self.plan.scenario.system.setup:
            self._calling = calling
            try:
                self.call_user_code(self.plan.scenario.system.setup, *rows)
            finally:
                self._calling = None

    def queues(self) -> Mapping[str, Queues]:
        """See `ExploresHere`."""
        found = {}
        for server in filter(None, (self.broker_server, self.backend_server)):
            kind = server.spec.kind
            if not isinstance(kind, HoldsMessages):
                raise ScenarioError(f"explore cannot look into {kind.title} as {server.spec.role} yet", hint="use redis for it")
            found[server.spec.role] = kind.queues(server.endpoint, transport_options=self.transport_options())
        return found

    def _env(self, settings: Path, offers: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        return child_environment(self.plan.run_id, self.seats.app_env(offers), self.working_folder(), settings)

    def proxy_host(self) -> ProxyHost:
        """One proxy server for the run: the one that waits, or a new one."""
        if self._proxy is None:
            self._proxy = self._new_proxy()
            assert self._proxy.process is not None
            self.every_process.append(self._proxy.process)
        return self._proxy

    def _new_proxy(self) -> ProcessProxy:
        from harness.runtimes.processes.proxy import ProcessProxy

        assert self.temporary is not None
        log, seed, session = self.log_file("toxiproxy"), self.plan.scenario.seed, self._own_session
        if session is None:
            proxy = ProcessProxy(self.temporary, log, self.clock, self.plan.run_id, seed)
        elif (waiting := session.take_proxy(seed, log)) is not None:
            return waiting
        else:
            folder = session.new_folder("toxiproxy")
            proxy = ProcessProxy(folder, log, self.clock, session.id, seed, output=folder / "log")
        proxy.start()
        return proxy

    def save_logs(self) -> None:
        """The proxy's too."""
        super().save_logs()
        if self._proxy is not None:
            self._proxy.save_log()

    def expose(self, name: str, port: int) -> tuple[str, int]:
        """The app runs on this machine too."""
        return "127.0.0.1", port

    def close(self) -> None:
        """The proxy last: it may go to the next system once it is certain that nobody is left who could talk to it."""
        if self._proxy is not None and self._proxy.process in self.every_process:
            self.every_process.remove(self._proxy.process)
        super().close()
        if self._wall is not None:
            self._wall.close()
        self._end_watch()

    def close_host(self) -> None:
        """The proxy, where the next system cannot have it."""
        proxy, self._proxy = self._proxy, None
        if proxy is not None and not (self.sound and self._own_session is not None and self._own_session.give_proxy(proxy)):
            proxy.stop()
