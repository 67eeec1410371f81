"""Servers as processes: ports without a race, readiness on a real connection."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import EnvironmentFault, ScenarioError
from harness.ports.broker import ServerPlan, Tls
from harness.ports.clock import Clock
from harness.runtimes.processes.process import ManagedProcess, spawn
from harness.runtimes.shared.credentials import fresh_endpoint
from harness.runtimes.shared.folders import remove_folder
from harness.runtimes.shared.hosting import Managed, ServerSpec
from harness.runtimes.shared.leftovers import owner
from harness.runtimes.shared.logs import append_new, log_tail

__all__ = ["ProcessServer", "free_port"]

_PORT_ATTEMPTS = 20
_FIRST_SECONDS = 60.0
_STOP_SECONDS = 20.0
_TIDY_SECONDS = 3.0


class ProcessServer:
    """See `ServerHandle`. The ports stay the same over restarts."""

    def __init__(
        self, spec: ServerSpec, folder: Path, log: Path, clock: Clock, run_id: str, tls: Tls | None = None, *, output: Path | None = None
    ) -> None:
        """``output``: where it writes, if it may outlive its run: each run's part of that is copied to the run's own ``log``."""
        self.spec, self.folder, self.log, self.clock, self.run_id = spec, folder, log, clock, run_id
        self._output = output or log
        self._copied = 0
        self.endpoint = replace(fresh_endpoint(spec), host="127.0.0.1", tls=tls)
        self.version = ""
        self.process: ManagedProcess | None = None
        self.processes: list[Managed] = []
        self._companions: list[ManagedProcess] = []
        self._plan: ServerPlan | None = None

    def start(self) -> None:
        """A port that somebody else takes first is not an error: the next is tried."""
        program, self.version = self.spec.kind.find()
        keep_port = self.endpoint.port != 0
        for _ in range(_PORT_ATTEMPTS):
            if not keep_port:
                ports = {name: free_port() for name in self.spec.kind.further_ports}
                self.endpoint = replace(self.endpoint, port=free_port(), ports=ports)
            plan = self._launch(program)
            if self._comes_up(plan.start_seconds):
                return
            late = self.process is not None and self.process.alive()
            self.kill()
            if late:
                break
            if keep_port:
                self.clock.sleep(0.1)
        self.save_log()
        tail = "\n  ".join(log_tail(self.log))
        raise EnvironmentFault(
            f"{self.spec.name} ({program}) did not start on {self.endpoint.host}; its last lines:\n  {tail}", where=str(self.log)
        )

    def _launch(self, program: str) -> ServerPlan:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._plan = plan = self.spec.kind.plan(program, self.folder, self.endpoint, persistence=self.spec.persistence)
        for path, text in plan.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "RABBITMQ_", "ERL_"))}
        env = {**inherited, "LC_ALL": "C", "CELERY_HARNESS_RUN": self.run_id, "CELERY_HARNESS_OWNER": owner(), **plan.env}
        if plan.user and os.geteuid() == 0:
            env["CELERY_HARNESS_USER"] = _give_to(self.folder, plan.user)
        for argv in plan.first:
            self._run_first(argv, env)
        for argv in plan.companions:
            self._companions.append(self._spawn(argv, env))
        self.process = self._spawn(plan.argv, env)
        self.processes.append(self.process)
        return plan

    def _spawn(self, argv: tuple[str, ...], env: Mapping[str, str]) -> ManagedProcess:
        process = spawn(self.spec.name, self.spec.role, argv, env=env, cwd=self.folder, log=self._output, clock=self.clock)
        process.log = self.log
        return process

    def _run_first(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        process = self._spawn(argv, env)
        try:
            status = process.popen.wait(_FIRST_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
        if status != 0:
            self.save_log()
            tail = "\n  ".join(log_tail(self.log))
            how = "did not end" if status is None else f"ended with status {status}"
            raise EnvironmentFault(f"{self.spec.name}: {Path(argv[0]).name} {how}; its last lines:\n  {tail}", where=str(self.log))

    def _comes_up(self, seconds: float) -> bool:
        assert self.process is not None
        deadline = self.clock.now() + seconds
        while self.clock.now() < deadline:
            if not self.process.alive():
                return False
            if self.answers():
                return True
            self.clock.sleep(0.01)
        return False

    def alive(self) -> bool:
        """Its process runs."""
        return self.process is not None and self.process.alive()

    def answers(self) -> bool:
        """Our process, on a real connection."""
        return self.process is not None and self.process.alive() and self.spec.kind.ready(self.endpoint, self.process.pid)

    def stop(self, *, keep: bool = True, kill: bool = False) -> None:
        """SIGTERM, and SIGKILL to what is left after 20 s."""
        if not kill:
            self._tell(_STOP_SECONDS)
        self.kill()
        if not keep:
            remove_folder(self.folder)

    def _tell(self, seconds: float) -> None:
        """Ask it to leave, and wait so long."""
        if self.process is not None and self._plan is not None and self.process.alive():
            self.process.expected_end = True
            self.process.resume()
            self.process.signal_main(self._plan.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.popen.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, companions too."""
        for process in [*([self.process] if self.process else []), *self._companions]:
            process.expected_end = True
            process.kill()
        self._companions.clear()

    def empty(self) -> None:
        """See `ServerHandle`."""
        if not self.spec.owned and self.answers() and self.spec.kind.reset(self.endpoint):
            return
        self.stop(keep=False, kill=self.spec.owned or self._plan is None or not self._plan.tidies)
        self.start()

    def pause(self) -> None:
        """SIGSTOP to all of it."""
        if self.process is None or not self.process.alive():
            raise ScenarioError(f"{self.spec.name} is not running, so it cannot be paused", hint="another fault has stopped it")
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT to all of it."""
        if self.process is not None:
            self.process.resume()

    def hand_over(self, log: Path) -> None:
        """See `Lasting`."""
        self.log = log
        self.processes = [self.process] if self.process is not None else []
        for process in self.processes:
            process.log = log

    def set_aside(self) -> None:
        """See `Lasting`. It keeps listening: nobody else has a login."""
        self.save_log()

    def save_log(self) -> None:
        """What it has written since the last time, into the run's own file."""
        self._copied = append_new(self._output, self._copied, self.log)

    def remove(self) -> None:
        """SIGKILL; the folder goes with the run's, or the session's."""
        if self._plan is not None and self._plan.tidies:
            with contextlib.suppress(Exception):
                self._tell(_TIDY_SECONDS)
        self.kill()
        self.save_log()
        if self._output != self.log:
            remove_folder(self.folder)


def _give_to(folder: Path, user: str) -> str:
    """Let a system user own a server's folder; 'uid:gid' for the launcher. The folders above need only be crossed."""
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise EnvironmentFault(
            f"there is no system user {user}, and this server refuses to run as root", hint=f"run as another user, or add {user}"
        ) from None
    folder.parent.chmod(0o711)
    for above in folder.parent.parents:
        if above.stat().st_mode & 0o001 == 0:
            raise EnvironmentFault(
                f"the system user {user} must run this server, as it refuses root, and cannot enter {above}",
                where=str(above),
                hint="set TMPDIR to a folder that is open to all, such as /tmp",
            )
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, found.pw_uid, found.pw_gid, follow_symlinks=False)
    return f"{found.pw_uid}:{found.pw_gid}"


def free_port() -> int:
    """A port that was free a moment ago; whoever loses the race for it tries another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
