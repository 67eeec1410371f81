"""Servers as processes: ports without a race, readiness on a real connection."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerKind, Endpoint
from harness.ports.clock import Clock
from harness.runtimes.processes.leftovers import owner
from harness.runtimes.processes.process import ManagedProcess, log_tail, spawn

__all__ = ["Server"]

_PORT_ATTEMPTS = 20
_START_SECONDS = 20.0


@dataclass
class Server:
    """One broker, backend or store server. The port stays the same over restarts; clients need not know of them."""

    kind: BrokerKind
    name: str
    role: str  # broker, backend, service
    folder: Path
    log: Path
    clock: Clock
    run_id: str
    persistence: bool = True
    process: ManagedProcess | None = None
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("127.0.0.1", 0, secrets.token_urlsafe(24)))
    version: str = ""
    processes: list[ManagedProcess] = field(default_factory=list)

    def start(self) -> None:
        """Start it and wait until *our* process answers. A port that somebody else takes first is not an error: the next is tried."""
        program, self.version = self.kind.find()
        keep_port = self.endpoint.port != 0
        for _ in range(_PORT_ATTEMPTS):
            if not keep_port:
                self.endpoint = replace(self.endpoint, port=_free_port())
            self._launch(program)
            if self._answers():
                return
            self.kill()
            if keep_port:
                self.clock.sleep(0.1)
        tail = "\n  ".join(log_tail(self.log))
        raise EnvironmentFault(
            f"{self.name} ({program}) did not start on {self.endpoint.host}; its last lines:\n  {tail}", where=str(self.log)
        )

    def _launch(self, program: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan = self.kind.plan(program, self.folder, self.endpoint, persistence=self.persistence)
        for path, text in plan.files.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
        env = {**os.environ, "LC_ALL": "C", "CELERY_HARNESS_RUN": self.run_id, "CELERY_HARNESS_OWNER": owner(), **plan.env}
        self.process = spawn(self.name, self.role, plan.argv, env=env, cwd=self.folder, log=self.log, clock=self.clock)
        self.processes.append(self.process)

    def _answers(self) -> bool:
        assert self.process is not None
        deadline = self.clock.now() + _START_SECONDS
        while self.clock.now() < deadline:
            if not self.process.alive():
                return False
            if self.kind.ready(self.endpoint, self.process.pid):
                return True
            self.clock.sleep(0.01)
        return False

    def stop(self, *, keep: bool = True) -> None:
        """SIGTERM (it saves what it must), SIGKILL after 10 s; without `keep` its data are removed."""
        if self.process is not None:
            self.process.expected_end = True
            if self.process.alive():
                self.process.signal_main(signal.SIGCONT)
                self.process.signal_main(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.popen.wait(10)
            self.process.kill()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.expected_end = True
            self.process.kill()


def _free_port() -> int:
    """A port that was free a moment ago; whoever loses the race for it tries another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
