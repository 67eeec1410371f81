"""Toxiproxy for the processes runtime: the program on PATH, else our embedded server."""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from harness.errors import EnvironmentFault
from harness.netproxy.client import Proxies
from harness.netproxy.exchange import exchange
from harness.netproxy.program import arguments, find
from harness.ports.clock import Clock
from harness.runtimes.processes.process import ManagedProcess, spawn
from harness.runtimes.processes.servers import free_port
from harness.runtimes.shared.leftovers import owner
from harness.runtimes.shared.logs import append_new, log_tail

__all__ = ["ProcessProxy"]

_ATTEMPTS = 5
_START_SECONDS = 15.0
#: Of a call between two runs: nobody else talks to it then.
_SWEEP_SECONDS = 2.0
#: It goes on counting under the labels of links that are gone, and tells all of them whenever it is asked for one.
_MOST_RUNS = 100


class ProcessProxy:
    """See `ProxyHost`. ``seed``: what its draws hang on, with a link's name and the number of the connection.

    ``log``: of the run. ``output``: where it writes, if it may outlive its run: each run's part is copied to the run's own log.
    """

    def __init__(self, folder: Path, log: Path, clock: Clock, run_id: str, seed: int, *, output: Path | None = None) -> None:
        self.seed = seed
        self.process: ManagedProcess | None = None
        self._folder, self._log, self._clock, self._run_id = folder, log, clock, run_id
        self._output = output or log
        self._copied = 0
        self._runs = 1
        self._embedded = False
        self._address = ("127.0.0.1", 0)

    def start(self) -> ManagedProcess:
        """Start it and wait until it answers. EnvironmentFault with its last lines."""
        program, self.description = find()
        self._embedded = "harness.netproxy" in program
        env = {**os.environ, "LC_ALL": "C", "CELERY_HARNESS_RUN": self._run_id, "CELERY_HARNESS_OWNER": owner()}
        for _ in range(_ATTEMPTS):
            self._address = ("127.0.0.1", free_port())
            argv = [*program, *arguments(*self._address, self.seed)]
            process = spawn("toxiproxy", "proxy", argv, env=env, cwd=self._folder, log=self._output, clock=self._clock)
            if self._comes_up(process):
                process.log = self._log
                self.process = process
                return process
            process.kill()
        self.save_log()
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
        return log_tail(self._output)

    def reached_at(self, listening: tuple[str, int]) -> tuple[str, int]:
        """The very same."""
        return listening

    # --- between two runs ---------------------------------------------------------------------------------------

    def lasts(self) -> bool:
        """May it serve another run? The embedded one alone: Toxiproxy's own counts a connection's bytes some time after its end,
        when a link of the next run may have the same name.
        """
        return self._embedded and self._output != self._log and self._runs < _MOST_RUNS

    def sweep(self) -> bool:
        """Every link gone, with its toxics and connections; is it empty?"""
        try:
            for name in self._proxies():
                exchange(*self._address, "DELETE", f"/proxies/{quote(name, safe='')}", None, _SWEEP_SECONDS)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return self.empty()

    def empty(self) -> bool:
        """Does it run, and say itself that it has no proxy?"""
        try:
            return self.process is not None and self.process.alive() and not self._proxies()
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def _proxies(self) -> Mapping[str, object]:
        return dict(exchange(*self._address, "GET", "/proxies", None, _SWEEP_SECONDS).json())

    def hand_over(self, log: Path) -> None:
        """To the next run: from now on what it writes goes to ``log``."""
        self._runs += 1
        self._log = log
        if self.process is not None:
            self.process.log = log

    def save_log(self) -> None:
        """What it has written since the last time, into the run's own file; never raises."""
        self._copied = append_new(self._output, self._copied, self._log)

    def stop(self) -> None:
        """SIGKILL; also twice."""
        if self.process is not None:
            self.process.expected_end = True
            self.process.kill()
        self.save_log()
