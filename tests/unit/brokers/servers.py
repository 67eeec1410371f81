"""Real servers for tests: each on a port of its own, dead when the test process is."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.brokers.redis import RedisBroker
from harness.ports.broker import Endpoint, Login, Tls
from harness.ports.trust import wrapped
from tests.ports import free_port

T = TypeVar("T")


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def eventually(question: Callable[[], T], seconds: float = 60.0) -> T:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {question}"
        time.sleep(0.01)
    return answer


@dataclass
class RedisServer:
    folder: Path
    kind: RedisBroker = field(default_factory=RedisBroker)
    program: str = ""
    persistence: bool = False
    tls: Tls | None = None
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("127.0.0.1", 0))
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        program = self.program or self.kind.find()[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(20):
            self.endpoint = self.endpoint if self.endpoint.port else self._fresh()
            plan = self.kind.plan(program, self.folder, self.endpoint, persistence=self.persistence)
            for path, text in plan.files.items():
                path.touch(0o600)
                path.write_text(text)
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(plan.argv, stdout=log, stderr=log, preexec_fn=die_with_parent, start_new_session=True)
            if self._answers():
                return self
            self.endpoint = Endpoint("127.0.0.1", 0)
        raise AssertionError((self.folder / "log").read_text())

    def _fresh(self) -> Endpoint:
        logins = {role: Login(self.kind.login(role), _password()) for role in ("worker", "producer")}
        return Endpoint("127.0.0.1", free_port(), _password(), self.kind.login("monitor"), logins, self.tls)

    def _answers(self) -> bool:
        assert self.process is not None
        while self.process.poll() is None:
            if self.kind.ready(self.endpoint, self.process.pid):
                return True
            time.sleep(0.01)
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def url(self, login: str = "monitor", *, role: str = "broker") -> str:
        return self.kind.url(self.endpoint.for_app(login), role=role)

    def client(self, db: int = 0) -> Any:
        import redis

        end = self.endpoint
        pool = redis.ConnectionPool(wrapped(redis.Connection, end.tls), host=end.host, port=end.port, password=end.password, db=db)
        return redis.Redis(connection_pool=pool)

    def settings(self) -> dict[str, Any]:
        """What an app needs to verify this server as its broker and its result backend."""
        if self.tls is None:
            return {}
        return {**self.kind.tls_settings("broker", self.tls.authority), **self.kind.tls_settings("backend", self.tls.authority)}


def _password() -> str:
    """With what a configuration file, a URL and a shell would like to read otherwise."""
    return secrets.token_urlsafe(12) + ' "x'


@contextlib.contextmanager
def running(server: RedisServer) -> Iterator[RedisServer]:
    try:
        yield server.start()
    finally:
        if server.process is not None:
            server.kill()


@contextlib.contextmanager
def worker(module: str, env: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real `celery worker` in a session of its own; SIGKILLed with its children at the end."""
    quick = ["--without-mingle", "--without-gossip", "--without-heartbeat", "-l", "WARNING"]
    log = Path(env["LOG"]).open("ab")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", module, "worker", *quick, *options],
        env={**os.environ, "TMPDIR": str(Path(env["LOG"]).parent), **env},  # a killed worker leaves multiprocessing's folder
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=die_with_parent,
        cwd=Path(__file__).resolve().parents[3],
    )
    try:
        yield process
    finally:
        log.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
