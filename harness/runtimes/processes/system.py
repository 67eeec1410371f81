"""The processes runtime: brokers, stores, workers and producer as processes of this machine."""

from __future__ import annotations

import contextlib
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import WorkerGroup
from harness.model.world import World
from harness.ports.broker import BrokerInspector, Endpoint
from harness.ports.runtime import Death, PassPlan, SystemPlan
from harness.ports.store import LogsEffects, SeenEffect, Store
from harness.ports.system import Worker
from harness.runtimes.processes.children import ask, child_environment, interpreter, resolve_placeholders, write_private
from harness.runtimes.processes.control import Control
from harness.runtimes.processes.leftovers import claim
from harness.runtimes.processes.process import ManagedProcess, WorkerProcess, spawn
from harness.runtimes.processes.servers import Server
from harness.runtimes.processes.settings import dead_end, effective_config, settings_document, worker_options

__all__ = ["ProcessSystem"]


class ProcessSystem(Control):
    """See `LiveSystem`. Also the `StoreHost` of its stores."""

    def __init__(self, plan: SystemPlan) -> None:
        self.plan = plan
        self.clock = plan.clock
        self.temporary: Path | None = None
        self.servers: list[Server] = []
        self.stores: dict[str, Store] = {}
        self.every_process: list[ManagedProcess] = []
        self._workers: dict[str, WorkerProcess] = {}
        self._producer: ManagedProcess | None = None
        self._pass: PassPlan | None = None
        self._journal = Path()
        self._inspectors: list[BrokerInspector] = []
        self.python = ""
        self._refused: list[Any] = []
        self._app_transport_options: dict[str, Any] = {}  # key prefix, separator: learnt by `examine`

    # --- starting -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Folders, and the servers that will be started."""
        if self.temporary is not None:
            return
        spec = self.plan.scenario.system
        self.python = interpreter(spec.python, self.plan.root)
        if not self._cwd().is_dir():
            raise ScenarioError(f"system.path: {self._cwd()} is not a folder")
        try:
            self.temporary = Path(tempfile.mkdtemp(prefix=f"celery-harness-{self.plan.run_id}-"))
            claim(self.temporary)
            (self.plan.folder / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise EnvironmentFault(f"the run's folder cannot be made: {exc}", hint="choose another with --reports") from exc
        self.broker_server = self._add_server(self.plan.broker, "broker", "broker", persistence=spec.broker_spec.persistence)
        self.backend_server: Server | None = None
        if self.plan.backend is not None and spec.backend_spec is not None:
            self.backend_server = self._add_server(self.plan.backend, "backend", "backend", persistence=spec.backend_spec.persistence)

    def open(self) -> str:
        """Start servers and stores."""
        self.prepare()
        for server in list(self.servers):
            server.start()
        for name, store in self.plan.stores.items():
            self.stores[name] = store
            store.start(self)
        return ", ".join([f"{s.kind.kind.capitalize()} {s.version}" for s in self.servers[:1]] + list(self.stores))

    def _add_server(self, kind: Any, name: str, role: str, *, persistence: bool = False) -> Server:
        assert self.temporary is not None
        server = Server(kind, name, role, self.temporary / name, self._log(name), self.clock, self.plan.run_id, persistence)
        self.servers.append(server)
        return server

    def _log(self, name: str) -> Path:
        return self.plan.folder / "logs" / f"{name}.log"

    def folder(self, name: str) -> Path:
        """See `StoreHost`."""
        assert self.temporary is not None
        path = self.temporary / f"store-{name}"
        path.mkdir(mode=0o700)
        return path

    def server(self, kind: str, name: str) -> Endpoint:
        """See `StoreHost`: a server for that store alone, so a fault of the broker is not a fault of the store."""
        known = {k.kind: k for k in (self.plan.broker, self.plan.backend) if k is not None}
        if kind not in known:
            raise EnvironmentFault(f"no server of kind {kind} for service {name}")
        server = self._add_server(known[kind], f"service-{name}", "service")
        server.start()
        return server.endpoint

    def call_user_code(self, path: str, *arguments: Any) -> Any:
        """See `StoreHost`."""
        settings = self._settings("call", f"call-{path.replace(':', '-')}")
        answer = ask(
            "call", self.python, {"call": path, "args": list(arguments)}, env=self._env(settings), cwd=self._cwd(), log=self._log("setup")
        )
        self._refused.extend(answer.get("undeclared") or ())
        if not answer.get("ok"):
            error = answer.get("error", {})
            raise ScenarioError(f"{path} failed: {error.get('what', '')}\n{error.get('traceback', '')}".rstrip(), where="system.setup")
        return answer.get("value")

    def undeclared(self) -> Sequence[str]:
        """Of the setup; what workers and producer were refused is in their journals."""
        return list(dict.fromkeys(str(text) for text in self._refused))

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Import the app in a child that may connect to nothing; no server runs yet, so the addresses it sees are dead ends."""
        self.prepare()
        settings = self._settings("check", "check")
        dead = {name: dead_end(self._scratch() / name, store.kind) for name, store in self.plan.stores.items()}
        env = self._env(settings, {**self.offers(), **dead})
        answer = ask("check", self.python, request, env=env, cwd=self._cwd(), log=self._log("check"))
        self._app_transport_options = dict((answer.get("settings") or {}).get("broker_transport_options") or {})
        return answer

    # --- the children's settings --------------------------------------------------------------------------------

    def _cwd(self) -> Path:
        return (self.plan.root / self.plan.scenario.system.path).resolve()

    def offers(self) -> dict[str, Mapping[str, str]]:
        """What `${{ }}` may name."""
        found: dict[str, Mapping[str, str]] = {name: store.offers() for name, store in self.stores.items()}
        for name, server in (("broker", self.broker_server), ("backend", self.backend_server)):
            if server is not None:
                end = server.endpoint
                found[name] = {"url": server.kind.url(end), "host": end.host, "port": str(end.port)}
        return found

    def _env(self, settings: Path, offers: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, str]:
        offers = self.offers() if offers is None else offers
        app_env = {k: resolve_placeholders(v, offers) for k, v in self.plan.scenario.system.env.items()}
        return child_environment(self.plan.run_id, {"TMPDIR": str(self._scratch()), **app_env}, self._cwd(), settings)

    def _scratch(self) -> Path:
        """A killed worker leaves its temporary files (Python's multiprocessing has some): here they go with the run."""
        assert self.temporary is not None
        scratch = self.temporary / "tmp"
        scratch.mkdir(exist_ok=True, mode=0o700)
        return scratch

    def _settings(self, role: str, name: str, triggers: Sequence[Mapping[str, Any]] = ()) -> Path:
        assert self.temporary is not None
        addresses = [(s.endpoint.host, s.endpoint.port) for s in self.servers]
        addresses += [address for store in self.stores.values() for address in store.addresses()]
        backend = self.backend_server
        document = settings_document(
            self.plan,
            self._pass,
            role=role,
            name=name,
            root=self._cwd(),
            journal=self._journal,
            broker=self.plan.broker.url(self.broker_server.endpoint),
            backend=backend.kind.url(backend.endpoint) if backend else None,
            addresses=addresses,
            triggers=triggers,
            trigger_folder=self.temporary / "triggers",
        )
        return write_private(self.temporary / f"{role}-{name}.json", document)

    # --- passes -------------------------------------------------------------------------------------------------

    def begin_pass(self, plan: PassPlan) -> Path:
        """Fresh brokers and world, then producer and workers."""
        assert self.temporary is not None
        if self._pass is not None:
            self._refresh()
        self._pass = plan
        self._journal = self.plan.folder / "journal" / plan.name
        self._journal.mkdir(parents=True, exist_ok=True)
        triggers = self.temporary / "triggers"
        shutil.rmtree(triggers, ignore_errors=True)
        triggers.mkdir(mode=0o700)
        if self.plan.scenario.system.setup:
            self.call_user_code(self.plan.scenario.system.setup)
        self._workers = {}
        self._start_producer()
        for group, spec in self.plan.scenario.system.workers.items():
            for number in range(1, (1 if plan.alone else spec.replicas) + 1):
                self._launch_worker(f"{group}-{number}", group)
        return self._journal

    def _refresh(self) -> None:
        """Empty what the pass before left. Servers are started anew on empty folders: nothing can leak through them."""
        self._close_inspectors()
        for server in self.servers:
            if server.role != "service":
                server.stop(keep=False)
        for server in self.servers:
            if server.role != "service":
                server.start()
        for store in self.stores.values():
            store.clear()

    def _start_producer(self) -> None:
        settings = self._settings("producer", "producer")
        argv = [self.python, "-m", "celery_harness_agent", "producer"]
        self._producer = self._spawn("producer", "producer", argv, settings, stdin=subprocess.PIPE)

    def _spawn(
        self, name: str, kind: str, argv: Sequence[str], settings: Path, *, group: str = "", stdin: int = subprocess.DEVNULL
    ) -> ManagedProcess:
        process = spawn(
            name, kind, argv, env=self._env(settings), cwd=self._cwd(), log=self._log(name), clock=self.clock, group=group, stdin=stdin
        )
        self.every_process.append(process)
        return process

    def _launch_worker(self, name: str, group: str) -> WorkerProcess:
        assert self._pass is not None
        settings = self._settings("worker", name, self._pass.triggers)
        argv = [self.python, "-m", "celery_harness_agent", "worker", *worker_options(name, self.plan.run_id, self._group(group))]
        process = self._spawn(name, "worker", argv, settings, group=group)
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = WorkerProcess(name, group, process)
        else:
            worker.process = process
        return worker

    def _group(self, group: str) -> WorkerGroup:
        assert self._pass is not None
        spec = self.plan.scenario.system.workers[group]
        return spec.model_copy(update={"concurrency": 1}) if self._pass.alone else spec

    def tell_producer(self, line: str) -> None:
        """One line on its standard input."""
        assert self._producer is not None
        assert self._producer.popen.stdin is not None
        try:
            self._producer.popen.stdin.write(line.encode() + b"\n")
            self._producer.popen.stdin.flush()
        except BrokenPipeError:
            raise EnvironmentFault("the producer ended early; its log says why", where=str(self._producer.log)) from None

    def release(self, fault: int) -> None:
        """Create the file that the held task waits for."""
        assert self.temporary is not None
        (self.temporary / "triggers" / f"{fault}.go").touch()

    def poll(self) -> Sequence[Death]:
        """Processes that ended, once each."""
        deaths = []
        servers = [p for s in self.servers for p in s.processes]
        for process in [*self.every_process, *servers]:
            if not process.reported and not process.alive():
                process.reported = True
                if process.kind == "worker":
                    process.kill()  # children that outlived their parent hold messages nobody will ack
                deaths.append(
                    Death(
                        process.name,
                        process.kind,
                        process.pid,
                        process.down or 0.0,
                        process.popen.returncode,
                        tuple(process.known_children),
                        process.expected_end,
                    )
                )
        return deaths

    # --- abilities ----------------------------------------------------------------------------------------------

    def _process(self, worker: Worker) -> ManagedProcess:
        return self._workers[worker.name].process

    def workers(self, target: str = "") -> Sequence[Worker]:
        """Running ones, by name."""
        found: list[Worker] = [w for w in self._workers.values() if w.alive() and target in ("", w.group, w.name)]
        return sorted(found, key=lambda w: w.name)

    def started_workers(self) -> Sequence[Worker]:
        """All of this pass."""
        return [self._workers[name] for name in sorted(self._workers)]

    def start_worker(self, worker: Worker) -> None:
        """Again under its name; a no-op while it runs."""
        if not worker.alive():
            self._launch_worker(worker.name, worker.group)

    def add_worker(self, group: str) -> Worker:
        """The lowest free number."""
        number = 1
        while f"{group}-{number}" in self._workers and self._workers[f"{group}-{number}"].alive():
            number += 1
        return self._launch_worker(f"{group}-{number}", group)

    # --- looking ------------------------------------------------------------------------------------------------

    def observe(self) -> World:
        """All stores."""
        return World({name: store.observe() for name, store in self.stores.items()})

    def effects(self) -> Mapping[str, Sequence[SeenEffect]]:
        """Of the stores that see them happen."""
        return {name: store.effects() for name, store in self.stores.items() if isinstance(store, LogsEffects)}

    def touched(self) -> tuple[int, ...]:
        """All stores' counters."""
        return tuple(store.touched() for store in self.stores.values())

    def broker(self) -> BrokerInspector:
        """A fresh inspector after each restart of the server; the caller need not close it."""
        forced = effective_config(self.plan).get("broker_transport_options", {})
        options = {**self._app_transport_options, **forced}
        inspector = self.broker_server.kind.inspect(self.broker_server.endpoint, transport_options=options)
        self._inspectors.append(inspector)
        return inspector

    def backend_results(self) -> dict[str, dict[str, Any]] | None:
        """By the backend's keys."""
        if self.backend_server is None:
            return None
        inspector = self.backend_server.kind.inspect(self.backend_server.endpoint)
        try:
            return inspector.results()
        finally:
            inspector.close()

    def environment(self) -> dict[str, str]:
        """Broker, backend, machine."""
        server = self.broker_server
        found = {"Broker": f"{server.kind.kind.capitalize()} {server.version}, started by this run"}
        if self.backend_server is not None:
            found["Result backend"] = f"{self.backend_server.kind.kind.capitalize()} {self.backend_server.version}, started by this run"
        found["Machine"] = f"{platform.system()} {platform.release()}, {platform.machine()}"
        return found

    def logs(self) -> Mapping[str, Path]:
        """By process name."""
        return {p.stem: p for p in sorted((self.plan.folder / "logs").glob("*.log"))}

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop_workers(self, grace: float) -> None:
        """Warmly, then for real; without grace for real at once."""
        running = [p for p in self.every_process if p.alive()]
        for process in running:
            process.children()
            process.expected_end = True
            process.signal_group(signal.SIGCONT)
            if grace > 0:
                process.signal_main(signal.SIGTERM)
        deadline = self.clock.now() + grace
        while any(p.alive() for p in running) and self.clock.now() < deadline:
            self.clock.sleep(0.01)
        for process in running:
            process.kill()
        if self._producer is not None and self._producer.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._producer.popen.stdin.close()

    def _close_inspectors(self) -> None:
        for inspector in self._inspectors:
            with contextlib.suppress(Exception):
                inspector.close()
        self._inspectors.clear()

    def close(self) -> None:
        """SIGKILL to all that is left, stores down, folders gone."""
        for process in self.every_process:
            process.expected_end = True
            process.kill()
        self._close_inspectors()
        for store in self.stores.values():
            with contextlib.suppress(Exception):
                store.stop()
        for server in self.servers:
            server.kill()
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)
