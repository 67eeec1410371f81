"""Real PostgreSQL servers for tests, run as a plan asks: as root under a system user, dead when the test process is."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from harness.brokers.postgres import PostgresServer
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint, Login, ServerPlan, Tls
from tests.ports import free_port
from tests.unit.brokers.servers import die_with_parent

_AWKWARD = """ 'q" \\%@:/ü"""


def need_program() -> str:
    """A server program; without one the test is skipped, or fails under CI=true."""
    try:
        return PostgresServer().find()[0]
    except EnvironmentFault as exc:
        pytest.skip(f"needs a server: {exc}")


def fresh_endpoint(tls: Tls | None = None) -> Endpoint:
    """Credentials as a runtime makes them, with signs in them that some quoting would trip over."""
    kind = PostgresServer()
    logins = {role: Login(kind.login(role), secrets.token_urlsafe(12) + _AWKWARD) for role in ("worker", "producer")}
    return Endpoint("127.0.0.1", 0, secrets.token_urlsafe(12) + _AWKWARD, kind.login("monitor"), logins, tls)


@dataclass
class PostgresProcess:
    #: Not below pytest's own folder: each session that starts closes that to all other users again.
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="postgres-")) / "server")
    program: str = field(default_factory=need_program)
    endpoint: Endpoint = field(default_factory=fresh_endpoint)
    kind: PostgresServer = field(default_factory=PostgresServer)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> PostgresProcess:
        keep_port = self.endpoint.port != 0
        for _ in range(20):
            if not keep_port:
                self.endpoint = replace(self.endpoint, port=free_port())
            self._launch(self.kind.plan(self.program, self.folder, self.endpoint, persistence=True))
            if self._answers():
                return self
            time.sleep(0.1)  # a killed server's children may not have gone yet
        raise AssertionError(self.log())

    def _launch(self, plan: ServerPlan) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, text in plan.files.items():
            path.touch(0o600)
            path.write_text(text)
        identity: dict[str, Any] = {}
        if plan.user:
            owner = pwd.getpwnam(plan.user)
            identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            _give(self.folder, owner.pw_uid, owner.pw_gid)
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            common: dict[str, Any] = {"stdout": log, "stderr": log, "cwd": self.folder, "preexec_fn": die_with_parent, **identity}
            for argv in plan.first:
                subprocess.run(argv, check=True, timeout=60, **common)
            self.process = subprocess.Popen(plan.argv, start_new_session=True, **common)

    def _answers(self) -> bool:
        assert self.process is not None
        while self.process.poll() is None:
            if self.kind.ready(self.endpoint, self.process.pid):
                return True
            time.sleep(0.01)
        return False

    def log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text()

    def stop(self) -> None:
        """A fast shutdown: clients are cut off."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def kill(self) -> None:
        assert self.process is not None
        family = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)  # each backend leads a group of its own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for backend in family:
            with contextlib.suppress(psutil.Error):
                backend.kill()
        psutil.wait_procs(family, timeout=10)

    def connect(self, role: str = "worker", database: str = "app", **more: Any) -> closing[psycopg.Connection[Any]]:
        """Somebody's connection, in autocommit. ``role``: monitor, worker, producer."""
        end = self.endpoint if role == "monitor" else self.endpoint.for_app(role)
        more = {"autocommit": True, "sslmode": "disable", **more}
        return closing(psycopg.connect(host=end.host, port=end.port, user=end.user, password=end.password, dbname=database, **more))


def _give(folder: Path, uid: int, gid: int) -> None:
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o011)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, uid, gid, follow_symlinks=False)


@contextlib.contextmanager
def running(server: PostgresProcess) -> Iterator[PostgresProcess]:
    try:
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.send_signal(signal.SIGCONT)
            server.stop()
        shutil.rmtree(server.folder.parent, ignore_errors=True)
