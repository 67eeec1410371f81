"""Toxiproxy for the processes runtime: the program on PATH, else our embedded server."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.netproxy.client import Proxies
from harness.netproxy.program import arguments, find
from harness.ports.clock import Clock
from harness.runtimes.processes.process import ManagedProcess, spawn
from harness.runtimes.processes.servers import free_port
from harness.runtimes.shared.leftovers import owner
from harness.runtimes.shared.logs import log_tail

__all__ = ["ProcessProxy"]

_ATTEMPTS = 5
_START_SECONDS = 15.0


class ProcessProxy:
    """See `ProxyHost`."""

    def __init__(self, folder: Path, log: Path, clock: Clock, run_id: str, seed: int) -> None:
        self._folder, self._log, self._clock, self._run_id, self._seed = folder, log, clock, run_id, seed
        self._address = ("127.0.0.1", 0)

    def start(self) -> ManagedProcess:
        """Start it and wait until it answers. EnvironmentFault with its last lines."""
        program, self.description = find()
        env = {**os.environ, "LC_ALL": "C", "CELERY_HARNESS_RUN": self._run_id, "CELERY_HARNESS_OWNER": owner()}
        for _ in range(_ATTEMPTS):
            self._address = ("127.0.0.1", free_port())
            argv = [*program, *arguments(*self._address, self._seed)]
            process = spawn("toxiproxy", "proxy", argv, env=env, cwd=self._folder, log=self._log, clock=self._clock)
            if self._comes_up(process):
                return process
            process.kill()
        tail = "\n  ".join(log_tail(self._log))
        raise EnvironmentFault(f"the network proxy ({self.description}) did not start; its last lines:\n  {tail}", where=str(self._log))

    def _comes_up(self, process: ManagedProcess) -> bool:
        proxies, deadline = Proxies(*self._address), self._clock.now() + _START_SECONDS
        while process.alive() and self._clock.now() < deadline:
            if proxies.ready():
                return True
            self._clock.sleep(0.01)
        return False

    def api(self) -> tuple[str, int]:
        """Of Toxiproxy's HTTP interface."""
        return self._address

    def listen(self) -> str:
        """Any port that is free."""
        return "127.0.0.1:0"

    def last_lines(self) -> tuple[str, ...]:
        """Of its log."""
        return log_tail(self._log)

    def reached_at(self, listening: tuple[str, int]) -> tuple[str, int]:
        """The very same."""
        return listening
