"""Locust: a process of this machine in every runtime, since it is the outside world to the system under test."""

from __future__ import annotations

import json
import math
import os
import secrets
import subprocess
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.model.scenario import LocustSpec
from harness.ports.runtime import PassPlan
from harness.runtimes.processes.children import ask, child_environment, interpreter
from harness.runtimes.processes.process import spawn
from harness.runtimes.processes.servers import free_port
from harness.runtimes.shared.environment import write_private
from harness.runtimes.shared.hosting import Managed
from harness.runtimes.shared.serving import Serving

if TYPE_CHECKING:
    from harness.runtimes.shared.seats import Seats

__all__ = ["WithLocust", "locust_options", "worker_settings"]

_LOOPBACK = "127.0.0.1"
#: Each option of Locust's may be set by a variable; a run is what its scenario says.
_SETTINGS = "LOCUST_"
#: Of the settings of Locust's master: what holds on another machine as well.
_EVERYWHERE = ("run", "pass", "role", "name", "app", "broker", "backend", "config", "egress", "retry_divisor")


class WithLocust(Serving):
    """What a system does about Locust; mixed into it."""

    seats: Seats
    current: PassPlan | None
    _producer: Managed | None

    @abstractmethod
    def log_file(self, name: str) -> Path:
        """Of a process or server."""

    @abstractmethod
    def fresh_pid_base(self) -> int:
        """What is added to the pids of the next process."""

    @abstractmethod
    def _started(self, process: Managed) -> Managed:
        """It belongs to the system from now on."""

    def start_producer(self) -> None:
        """Whoever makes the calls of this pass."""
        if self.current is not None and self.current.mode == "locust":
            settings = self.seats.settings("producer", "producer", outside=True)
            self._producer = self._started(self._spawn_locust("producer", settings))
            return
        base = self.fresh_pid_base()
        settings = self.seats.settings("producer", "producer", pid_base=base)
        self._producer = self._started(self.spawn("producer", "producer", ["producer"], settings, pid_base=base))

    def examine_locust(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """See `LiveSystem`."""
        settings = self.seats.settings("check", "locust-check")
        python, folder, env = self._locust_child(settings, self.seats.dead_ends())
        asked = {**request, "file": str(self._locustfile(request["file"]))}
        return ask("locust-check", python, asked, env=env, cwd=folder, log=self.log_file("locust"))

    def _spawn_locust(self, name: str, settings: Path) -> Managed:
        """In place of the agent's producer. Its standard output is in logs/producer.log, its own log in logs/locust.log."""
        spec = self.plan.scenario.locust
        assert spec is not None
        python, folder, env = self._locust_child(settings, self.seats.offers(name, name, name, outside=True))
        options = locust_options(spec, self._locustfile(spec.file), self.plan.folder / "locust", self.log_file("locust"))
        if any(option.startswith("--expect-workers=") for option in spec.options):
            self._invite(settings, env)
        command = [python, "-m", "celery_harness_agent", "locust", *options]
        log = self.log_file(name)
        return spawn(name, name, command, env=env, cwd=folder, log=log, clock=self.clock, stdin=subprocess.PIPE)

    def _invite(self, settings: Path, env: Mapping[str, str]) -> None:
        """The file for workers on other machines, beside the master's settings: it goes with the run. With TLS there is none: the run's
        authority would have to be over there, too.
        """
        if any(server.endpoint.tls for server in self.servers):
            return
        document = json.loads(settings.read_text())
        token = secrets.token_hex(16)
        own = {name: env[name] for name in self.plan.scenario.system.env}
        theirs = worker_settings(document, token, own)
        path = write_private(settings.with_name("locust-worker.json"), theirs)
        write_private(settings, {**document, "token": token, "worker_file": str(path), "allow_elsewhere": theirs["allow"]})

    def _locust_child(self, settings: Path, offers: Mapping[str, Mapping[str, str]]) -> tuple[str, Path, dict[str, str]]:
        """Interpreter, working folder and environment, on this machine."""
        spec = self.plan.scenario.system
        folder = (self.plan.root / spec.path).resolve()
        app_env = self.seats.app_env(offers)
        env = child_environment(self.plan.run_id, app_env, folder, settings)
        for name in [name for name in os.environ if name.startswith(_SETTINGS) and name not in app_env]:
            env.pop(name, None)
        return interpreter(spec.python, self.plan.root), folder, env

    def _locustfile(self, file: str) -> Path:
        return (self.plan.root / file).resolve()


def locust_options(spec: LocustSpec, file: Path, csv: Path, log: Path) -> list[str]:
    """Of its command line. Its own ports are free ones, on loopback; `--web-port` among the options asks for the page."""
    given = {option.partition("=")[0] for option in spec.options}
    options = [f"--locustfile={file}", f"--users={spec.users}", f"--spawn-rate={spec.spawn_rate or spec.users:g}", f"--logfile={log}"]
    if spec.duration is not None:
        options.append(f"--run-time={math.ceil(spec.duration)}")  # 0 would be no limit
    if "--csv" not in given:
        options.append(f"--csv={csv}")
    options += ["--autostart", f"--web-host={_LOOPBACK}"] if "--web-port" in given else ["--headless"]
    if given & {"--master-bind-port", "--expect-workers"}:
        options += ["--master", *([] if "--master-bind-host" in given else [f"--master-bind-host={_LOOPBACK}"])]
    elif spec.processes > 1:
        port = free_port()
        options += [f"--processes={spec.processes}", f"--master-bind-host={_LOOPBACK}", f"--master-bind-port={port}"]
        options += [f"--master-host={_LOOPBACK}", f"--master-port={port}"]
    return [*options, *spec.options]


def worker_settings(master: Mapping[str, Any], token: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What a worker on another machine is told. It may connect to broker and result backend, and to nothing else that the run started:
    behind such an address there is something else over there.
    """
    urls = [urlsplit(url) for url in (master["broker"], master["backend"]) if url]
    allow = sorted({(url.hostname, url.port) for url in urls if url.hostname and url.port})
    told = {name: master[name] for name in _EVERYWHERE}
    return {**told, "elsewhere": True, "token": token, "env": dict(env), "allow": [list(address) for address in allow]}
