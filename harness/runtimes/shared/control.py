"""The abilities that faults use, on whatever a runtime calls a process and a server."""

from __future__ import annotations

import random
import signal
from collections.abc import Collection, Sequence

from harness.errors import EnvironmentFault, ScenarioError
from harness.ports.broker import BrokerInspector
from harness.ports.clock import Clock
from harness.ports.network import Link
from harness.ports.system import Worker
from harness.runtimes.shared.hosting import Managed, ServerHandle
from harness.runtimes.shared.wiring import Wiring

__all__ = ["Control"]


class Control:
    """Kills, pauses, stops and scales workers; stops and pauses servers; network links. Mixed into the system."""

    clock: Clock
    wiring: Wiring

    def _process(self, worker: Worker) -> Managed:
        raise NotImplementedError

    def server_of(self, part: str) -> ServerHandle | None:
        """The server behind 'broker', 'backend' or a service; None: that part has none."""
        raise NotImplementedError

    def start_worker(self, worker: Worker) -> None:
        """See `RunningSystem`."""
        raise NotImplementedError

    def workers(self, target: str = "") -> Sequence[Worker]:
        """See `RunningSystem`."""
        raise NotImplementedError

    def at_work(self, pids: Collection[int]) -> set[int]:
        """Those of them that run a task now."""
        raise NotImplementedError

    def add_worker(self, group: str) -> Worker:
        """One more replica of a group."""
        raise NotImplementedError

    def broker(self) -> BrokerInspector:
        """See `InspectsBroker`."""
        raise NotImplementedError

    # --- workers ------------------------------------------------------------------------------------------------

    def kill_group(self, worker: Worker) -> Sequence[int]:
        """SIGKILL to main process and children at once, as the OOM killer or a lost node would."""
        process = self._process(worker)
        process.expected_end = True
        return process.kill()

    def kill_child(self, worker: Worker, rng: random.Random) -> int | None:
        """SIGKILL to one pool child, picked by the seed from those that run a task, or from all where none does."""
        children = sorted(worker.children())
        if not children:
            return None
        victim = rng.choice(sorted(self.at_work(children)) or children)
        return victim if self._process(worker).kill_child(victim) else None

    def pause_group(self, worker: Worker) -> None:
        """Freeze the worker with its children."""
        self._process(worker).pause()

    def resume_group(self, worker: Worker) -> None:
        """Thaw it."""
        self._process(worker).resume()

    def stop_warm(self, worker: Worker) -> None:
        """SIGTERM to the main process."""
        self._end_by(worker, signal.SIGTERM)

    def stop_cold(self, worker: Worker) -> None:
        """SIGQUIT to the main process."""
        self._end_by(worker, signal.SIGQUIT)

    def _end_by(self, worker: Worker, number: int) -> None:
        process = self._process(worker)
        process.children()
        process.expected_end = True
        process.signal_main(number)

    def scale(self, group: str, replicas: int) -> tuple[int, int]:
        """Start or warmly stop replicas, the highest numbers first."""
        staying = self._staying(group)
        for worker in staying[replicas:]:
            self.stop_warm(worker)
        for _ in range(replicas - len(staying)):
            self.add_worker(group)
        return len(staying), replicas

    def replicas(self, group: str) -> int:
        """How many run and have not been told to leave."""
        return len(self._staying(group))

    def _staying(self, group: str) -> list[Worker]:
        """By number: pay-2 before pay-10."""
        found = [w for w in self.workers(group) if not self._process(w).expected_end]
        return sorted(found, key=lambda w: int(w.name.rpartition("-")[2]))

    # --- servers ------------------------------------------------------------------------------------------------

    def _server(self, part: str) -> ServerHandle:
        server = self.server_of(part)
        if server is None:
            raise ScenarioError(
                f"{part} has no server of its own that could be stopped", hint="broker, backend, or a service such as postgres"
            )
        return server

    def stop_server(self, part: str, *, keep: bool, kill: bool = False) -> None:
        """See `RestartsServers`."""
        self._server(part).stop(keep=keep, kill=kill)

    def start_server(self, part: str) -> None:
        """See `RestartsServers`."""
        server = self._server(part)
        if not server.alive():
            server.start()

    def server_clients(self, part: str) -> int:
        """See `RestartsServers`."""
        server = self._server(part)
        try:
            return server.spec.kind.clients(server.endpoint)
        except EnvironmentFault:
            return 0

    def server_runs(self, part: str) -> bool:
        """See `RestartsServers`."""
        return self._server(part).answers()

    def pause_server(self, part: str) -> None:
        """See `PausesServers`."""
        self._server(part).pause()

    def resume_server(self, part: str) -> None:
        """See `PausesServers`."""
        self._server(part).resume()

    # --- network ------------------------------------------------------------------------------------------------

    def links(self, between: Sequence[str]) -> Sequence[Link]:
        """See `ShapesNetwork`."""
        return self.wiring.links(between)
