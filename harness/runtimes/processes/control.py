"""The abilities of the processes runtime that faults use: signals to workers, the broker's server."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence

from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector
from harness.ports.clock import Clock
from harness.ports.system import Worker
from harness.runtimes.processes.process import ManagedProcess
from harness.runtimes.processes.servers import Server

__all__ = ["Control"]

_STOP_SECONDS = 5.0


class Control:
    """Kills, pauses, stops and scales workers; restarts and pauses the broker. Mixed into the system."""

    clock: Clock
    broker_server: Server

    def _process(self, worker: Worker) -> ManagedProcess:
        raise NotImplementedError

    def start_worker(self, worker: Worker) -> None:
        """See `RunningSystem`."""
        raise NotImplementedError

    def workers(self, target: str = "") -> Sequence[Worker]:
        """See `RunningSystem`."""
        raise NotImplementedError

    def add_worker(self, group: str) -> Worker:
        """One more replica of a group."""
        raise NotImplementedError

    def broker(self) -> BrokerInspector:
        """See `InspectsBroker`."""
        raise NotImplementedError

    def kill_group(self, worker: Worker) -> Sequence[int]:
        """SIGKILL to main process and children at once, as the OOM killer or a lost node would."""
        process = self._process(worker)
        process.expected_end = True
        return process.kill()

    def kill_child(self, worker: Worker, rng: random.Random) -> int | None:
        """SIGKILL to one pool child, picked by the seed."""
        children = sorted(worker.children())
        if not children:
            return None
        victim = rng.choice(children)
        try:
            import os

            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return victim

    def pause_group(self, worker: Worker) -> None:
        """SIGSTOP; waits until the kernel says so."""
        process = self._process(worker)
        process.signal_group(signal.SIGSTOP)
        self._wait_stopped(process)

    def resume_group(self, worker: Worker) -> None:
        """SIGCONT."""
        self._process(worker).signal_group(signal.SIGCONT)

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

    def stop_broker(self, *, keep: bool) -> None:
        """Stop the server; without `keep` its data are removed."""
        self.broker_server.stop(keep=keep)

    def start_broker(self) -> None:
        """Start it under the same port."""
        if self.broker_server.process is None or not self.broker_server.process.alive():
            self.broker_server.start()

    def pause_broker(self) -> None:
        """SIGSTOP to the server."""
        process = self.broker_server.process
        if process is None or not process.alive():
            raise EnvironmentFault("the broker is not running, so it cannot be paused")
        process.signal_group(signal.SIGSTOP)
        self._wait_stopped(process)

    def resume_broker(self) -> None:
        """SIGCONT to the server."""
        if self.broker_server.process is not None:
            self.broker_server.process.signal_group(signal.SIGCONT)

    def _wait_stopped(self, process: ManagedProcess) -> None:
        deadline = self.clock.now() + _STOP_SECONDS
        while not process.stopped() and process.alive():
            if self.clock.now() > deadline:
                process.signal_group(signal.SIGCONT)  # nobody else would
                raise EnvironmentFault(f"{process.name} did not stop on SIGSTOP within {_STOP_SECONDS:.0f} s")
            self.clock.sleep(0.005)
