"""The system of a scenario, wherever it runs: servers, stores, producer and workers, pass by pass.

A runtime says how a process, a server and a proxy are started (`Hosted`); everything else is the same for all, so
that one scenario file gets the same verdict from each.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import WorkerGroup
from harness.model.world import World
from harness.passwords import mask_files
from harness.ports.broker import BrokerInspector
from harness.ports.machine import machine
from harness.ports.runtime import Death, PassPlan, SystemPlan
from harness.ports.store import FailsOnPurpose, LogsEffects, SeenEffect, Store
from harness.ports.system import Worker
from harness.runtimes.shared.folders import remove_folder
from harness.runtimes.shared.hosted import Replica
from harness.runtimes.shared.hosting import Managed, ServerHandle
from harness.runtimes.shared.leftovers import new_folder
from harness.runtimes.shared.locusts import WithLocust
from harness.runtimes.shared.logs import log_tail
from harness.runtimes.shared.running import running
from harness.runtimes.shared.seats import Seats
from harness.runtimes.shared.session import Session
from harness.runtimes.shared.settings import effective_config, examined
from harness.runtimes.shared.tls_words import contents, tls_failure
from harness.runtimes.shared.wiring import Wiring
from harness.scenario.links import wanted_links

__all__ = ["LocalSystem"]

#: How these end is for the checks to judge; a server that ends by itself is the environment's fault.
_JUDGED = ("worker", "producer")


class LocalSystem(WithLocust):
    """See `LiveSystem`. Also the `StoreHost` of its stores. A runtime fills in the abstract methods."""

    def __init__(self, plan: SystemPlan, session: Session | None = None) -> None:
        """``session``: what it may take from the system before it, and leave to the next; None: it is alone."""
        super().__init__(plan, session)
        self.stores: dict[str, Store] = {}
        self.every_process: list[Managed] = []
        self.wiring = Wiring(wanted_links(plan.scenario), self.proxy_host)
        self.journal = Path()
        self.current: PassPlan | None = None
        self.seats = Seats(self)
        self._workers: dict[str, Replica] = {}
        self._producer: Managed | None = None
        self._inspectors: list[BrokerInspector] = []
        self.told: list[Mapping[str, Any]] = []  # what came of the user's functions, such as the files of the project that they read
        self._app_transport_options: dict[str, Any] = {}  # key prefix, separator: learnt by `examine`
        self._came_to_its_end = False

    # --- as most runtimes have it --------------------------------------------------------------------------------

    def working_folder(self) -> Path:
        """Of worker and producer, as they see it."""
        return (self.plan.root / self.plan.scenario.system.path).resolve()

    def common_folder(self) -> Path:
        """What lies in it every child may see."""
        assert self.temporary is not None
        return self.temporary

    def part_folder(self, part: str) -> Path:
        """Where a part's settings lie, with its logins. ``part``: a worker, 'producer', 'call' or 'check'."""
        assert self.temporary is not None
        return self.temporary

    def scratch(self) -> Path:
        """A killed worker leaves its temporary files (Python's multiprocessing has some): here they go with the run."""
        assert self.temporary is not None
        scratch = self.temporary / "tmp"
        scratch.mkdir(exist_ok=True, mode=0o700)
        return scratch

    def egress(self) -> Sequence[str]:
        """host or host:port that the app may connect to beside what is ours."""
        return self.plan.scenario.system.egress

    def fresh_pid_base(self) -> int:
        """What is added to the pids of the next process, so that they are unique over the run."""
        return 0

    # --- starting -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Folders, and the servers that will be started."""
        if self.temporary is not None:
            return
        spec = self.plan.scenario.system
        try:
            # Not below the session's: TMPDIR lies in it, and a path of a socket has 107 bytes at most.
            self.temporary = new_folder(self.plan.run_id)
            (self.plan.folder / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise EnvironmentFault(f"the run's folder cannot be made: {exc}", hint="choose another with --reports") from exc
        self.prepare_host()
        self.broker_server = self._add_server(self.plan.broker, "broker", spec.broker_spec)
        self.backend_server: ServerHandle | None = None
        if self.plan.backend is not None and spec.backend_spec is not None:
            self.backend_server = self._add_server(self.plan.backend, "backend", spec.backend_spec)

    def open(self) -> str:
        """Start servers and stores."""
        self.prepare()
        served = {"broker", "backend", *(name for name, store in self.plan.stores.items() if store.kind in self.plan.kinds)}
        self.lease.keep_only(served.__contains__)  # what is no server this time may have the name of one
        self.start_servers()
        for name, store in self.plan.stores.items():
            self.stores[name] = store
            store.start(self)
        self.lease.complete()
        return ", ".join([f"{s.spec.kind.title} {s.version}" for s in self.servers[:1]] + list(self.stores))

    def log_file(self, name: str) -> Path:
        """Of a process or server."""
        return self.plan.folder / "logs" / f"{name}.log"

    def folder(self, name: str) -> Path:
        """See `StoreHost`."""
        path = self.common_folder() / f"store-{name}"
        path.mkdir(mode=0o700)
        return path

    def call_user_code(self, path: str, *arguments: Any) -> Any:
        """See `StoreHost`."""
        settings = self.seats.settings("call", f"call-{path.replace(':', '-')}")
        answer = self.ask("call", {"call": path, "args": list(arguments)}, settings, log="setup", offers=self.seats.offers())
        self.told.append(answer)
        if not answer.get("ok"):
            error = answer.get("error", {})
            self.refuse_bad_certificate(path, f"{error.get('what', '')}\n{error.get('traceback', '')}")
            raise ScenarioError(f"{path} failed: {error.get('what', '')}\n{error.get('traceback', '')}".rstrip(), where="system.setup")
        return answer.get("value")

    def undeclared(self) -> Sequence[str]:
        """Of the setup; what workers and producer were refused is in their journals."""
        return list(dict.fromkeys(str(text) for answer in self.told for text in answer.get("undeclared") or ()))

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Import the app in a child that may connect to nothing; no server runs yet, so the addresses it sees are dead ends."""
        self.prepare()

        def child() -> dict[str, Any]:
            asked = {**request, "files": True} if self.session else request
            return self.ask("check", asked, self.seats.settings("check", "check"), log="check", offers=self.seats.dead_ends())

        if self.session is None:
            answer = child()
        else:
            question = examined(self.plan, request, self.interpreter())
            assert self.temporary is not None
            own = (self.session.folder, self.temporary)
            answer = self.session.answers.ask(question, self.plan.root.resolve(), self.plan.folder.parent, child, own=own)
        if answer.get("ok"):
            self._app_transport_options = dict((answer.get("settings") or {}).get("broker_transport_options") or {})
        return answer

    # --- passes -------------------------------------------------------------------------------------------------

    def begin_pass(self, plan: PassPlan) -> Path:
        """Fresh brokers and world, then producer and workers."""
        assert self.temporary is not None
        if self.current is not None:
            self.refresh()
        self.current, self._came_to_its_end = plan, False
        self.journal = self.plan.folder / "journal" / plan.name
        self.journal.mkdir(parents=True, exist_ok=True)
        triggers = self.seats.trigger_folder
        shutil.rmtree(triggers, ignore_errors=True)
        triggers.mkdir(mode=0o700)
        for store in self.stores.values():
            if isinstance(store, FailsOnPurpose):
                store.begin_pass(clean=plan.clean)
        if self.plan.scenario.system.setup:
            self.call_user_code(self.plan.scenario.system.setup)
        self._workers = {}
        self.start_producer()
        for group, spec in self.plan.scenario.system.workers.items():
            for number in range(1, (1 if plan.alone else spec.replicas) + 1):
                self._launch_worker(f"{group}-{number}", group)
        return self.journal

    def refresh(self) -> None:
        """Empty what the pass before left, so that nothing can leak into the next."""
        self._close_inspectors()
        for server in self.servers:
            server.empty()
        for store in self.stores.values():
            store.clear()
        self.wiring.refresh()

    def _started(self, process: Managed) -> Managed:
        self.every_process.append(process)
        return process

    def _launch_worker(self, name: str, group: str) -> Replica:
        assert self.current is not None
        base = self.fresh_pid_base()
        settings = self.seats.settings("worker", name, group, self.current.triggers, pid_base=base)
        arguments = ["worker", *self.seats.worker_options(name, self.group_of(group))]
        process = self._started(self.spawn(name, "worker", arguments, settings, group=group, pid_base=base))
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = Replica(name, group, process)
        else:
            worker.process = process
        return worker

    def group_of(self, group: str) -> WorkerGroup:
        """As this pass wants it."""
        assert self.current is not None
        spec = self.plan.scenario.system.workers[group]
        return spec.model_copy(update={"concurrency": 1}) if self.current.alone else spec

    def tell_producer(self, line: str) -> None:
        """One line on its standard input."""
        assert self._producer is not None
        self._producer.tell(line)

    def release(self, fault: int) -> None:
        """Create the file that the held task waits for."""
        (self.seats.trigger_folder / f"{fault}.go").touch()

    def arm(self, triggers: Sequence[Mapping[str, Any]]) -> None:
        """In one step: a worker reads it at any moment."""
        text = json.dumps([dict(trigger) for trigger in triggers])
        coming = self.seats.trigger_folder / "armed.new"
        coming.write_text(text)
        coming.replace(self.seats.trigger_folder / "armed.json")

    def poll(self) -> Sequence[Death]:
        """Processes that ended, once each. EnvironmentFault where a server ended that no fault has stopped, or the proxy hangs."""
        self.wiring.check()
        deaths = []
        servers = [process for server in self.servers for process in server.processes]
        for process in [*self.every_process, *servers]:
            if process.reported or process.alive():
                continue
            process.reported = True
            if process.kind == "worker":
                process.kill()  # children that outlived their parent hold messages nobody will ack
            status, at = process.status or 0, process.down or 0.0
            if process.kind not in _JUDGED and not process.expected_end:
                self.save_logs()
                tail = "\n  ".join(log_tail(process.log))
                raise EnvironmentFault(
                    f"{process.name} ended by itself with status {status}; its last lines:\n  {tail}", where=str(process.log)
                )
            deaths.append(Death(process.name, process.kind, process.pid, at, status, tuple(process.known_children), process.expected_end))
        return deaths

    def trouble(self, names: Collection[str], said: Sequence[str] = (), *, starting: bool = False) -> str:
        """See `LiveSystem`."""
        certificates = [contents(server.endpoint.tls.certificate) for server in self.servers if server.endpoint.tls]
        if not certificates and not starting:
            return ""  # once it has connected, whatever is said of certificates is about somebody else's server
        for name in sorted(names):
            log = self.log_file(name)
            if why := tls_failure(log_tail(log, 60), certificates):
                return f"{name} cannot connect: {why}"
        if why := tls_failure(said, certificates):
            return f"publishing failed: {why}"
        flawed = next((s.spec for s in self.servers if isinstance(s.spec.tls, str)), None)
        if said and flawed is not None:  # Celery's words for a backend that it cannot reach do not say why
            return f"publishing failed, as the certificate of the {flawed.name} is bad (tls: {flawed.tls}): {' '.join(said[0].split())}"
        return ""

    # --- workers ------------------------------------------------------------------------------------------------

    def _process(self, worker: Worker) -> Managed:
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

    def at_work(self, pids: Collection[int]) -> set[int]:
        """By this pass's journals."""
        return running(self.journal, pids)

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

    def use(self) -> Mapping[str, tuple[float, int]]:
        """See `MeasuresUse`."""
        return {name: used for name, one in sorted(self._workers.items()) if (used := one.process.use()) is not None}

    def broker(self) -> BrokerInspector:
        """A fresh inspector after each restart of the server; the caller need not close it."""
        self._inspectors.append(self.plan.broker.inspect(self.broker_server.endpoint, transport_options=self.transport_options()))
        return self._inspectors[-1]

    def transport_options(self) -> dict[str, Any]:
        """Of the broker, as they are in effect in the app: its own are known after `examine`."""
        return {**self._app_transport_options, **effective_config(self.plan).get("broker_transport_options", {})}

    def backend_results(self) -> dict[str, dict[str, Any]] | None:
        """By the backend's keys."""
        if self.backend_server is None:
            return None
        inspector = self.backend_server.spec.kind.inspect(self.backend_server.endpoint)
        try:
            return inspector.results()
        finally:
            inspector.close()

    def environment(self) -> dict[str, str]:
        """Broker, backend, services with a server, machine."""
        return {**self.described_servers(), "Machine": machine()}

    def logs(self) -> Mapping[str, Path]:
        """By process name."""
        return {p.stem: p for p in sorted((self.plan.folder / "logs").glob("*.log"))}

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop_workers(self, grace: float) -> None:
        """Warmly, then for real; without grace for real at once."""
        running = [p for p in self.every_process if p.kind in _JUDGED and p.alive()]
        for process in running:
            process.children()
            process.expected_end = True
            process.resume()
            if grace > 0:
                process.signal_main(signal.SIGTERM)
        deadline = self.clock.now() + grace
        while any(p.alive() for p in running) and self.clock.now() < deadline:
            self.clock.sleep(0.01)
        for process in running:
            process.kill()
        if self._producer is not None:
            self._producer.close_input()

    def came_to_its_end(self) -> None:
        """After anything else nobody knows in what state the servers are."""
        self._came_to_its_end = True

    def _close_inspectors(self) -> None:
        for inspector in self._inspectors:
            with contextlib.suppress(Exception):
                inspector.close()
        self._inspectors.clear()

    def close(self) -> None:
        """SIGKILL to all that is left, stores down, folders gone; no password is left in journals and logs."""
        for process in self.every_process:
            process.expected_end = True
            with contextlib.suppress(Exception):
                process.kill()
        self._close_inspectors()
        for store in self.stores.values():
            with contextlib.suppress(Exception):
                store.stop()
        self.remove_servers(keep=self._came_to_its_end)
        with contextlib.suppress(Exception):
            self.close_host()
        mask_files(self.plan.folder)
        if self.temporary is not None:
            remove_folder(self.temporary)
