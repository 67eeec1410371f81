"""A real RabbitMQ for tests, started through the plan of its kind: node and epmd, dead when the test process is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from celery import Celery
from kombu import pools

from harness.brokers.rabbitmq import RabbitBroker
from harness.brokers.rabbitmq_connection import connect
from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.brokers.rabbitmq_management import VHOST, Management
from harness.brokers.rabbitmq_memory import memory_of
from harness.ports.broker import Endpoint, Login, ServerPlan, Tls
from tests.ports import free_port
from tests.unit.brokers.servers import die_with_parent, eventually

LOGINS = {"worker": Login("worker", 'w"orker/%'), "producer": Login("producer", "pr@ducer")}


@dataclass
class RabbitServer:
    folder: Path
    tls: Tls | None = None
    kind: RabbitBroker = field(default_factory=RabbitBroker)
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("127.0.0.1", 0))
    process: subprocess.Popen[bytes] | None = None
    companions: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> RabbitServer:
        """A port that somebody else took first is not an error: others are tried."""
        program = self.kind.find()[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(5):
            if not self.endpoint.port:
                self.endpoint = self._endpoint()
            plan = self.kind.plan(program, self.folder, self.endpoint, persistence=True)
            self._launch(plan)
            if self._answers(plan.start_seconds):
                return self
            self.kill()
            self.endpoint = Endpoint("127.0.0.1", 0)
        raise AssertionError(self.log()[-3000:])

    def _endpoint(self) -> Endpoint:
        ports = {name: free_port() for name in self.kind.further_ports}
        return Endpoint("127.0.0.1", free_port(), "mon:itor@1", user="monitor", logins=LOGINS, tls=self.tls, ports=ports)

    def _launch(self, plan: ServerPlan) -> None:
        for path, text in plan.files.items():
            path.touch(0o600)
            path.write_text(text)
        env = {**os.environ, **plan.env}
        with (self.folder / "log").open("ab") as log:

            def spawn(argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    argv,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    preexec_fn=die_with_parent,
                    start_new_session=True,
                )

            self.companions = [spawn(argv) for argv in plan.companions]
            self.process = spawn(plan.argv)

    def _answers(self, seconds: float) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.kind.ready(self.endpoint, self.process.pid):
                return True
            time.sleep(0.05)
        return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The node with its helpers, and its epmd."""
        for process in [p for p in (self.process, *self.companions) if p is not None]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number if process is self.process else signal.SIGKILL)
            process.wait(30)

    def freeze(self, frozen: bool) -> None:
        """It does nothing; or it goes on, and answers. One that has nothing to do takes a twenty-fifth of a processor all the same."""
        if self.process is None or self.process.poll() is not None:
            return
        os.kill(self.process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)
        if not frozen:
            assert self._answers(60), self.log()[-3000:]

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def url(self, role: str = "") -> str:
        return self.kind.url(self.endpoint.for_app(role) if role else self.endpoint)

    def management(self) -> Management:
        return Management(self.endpoint)

    def connection(self, role: str = "") -> Any:
        return connect(self.endpoint.for_app(role) if role else self.endpoint, timeout=10.0)

    def inspector(self) -> RabbitInspector:
        found = self.kind.inspect(self.endpoint)
        assert isinstance(found, RabbitInspector)
        return found

    def clear(self) -> None:
        """No queue, exchange or policy of a test before; kombu's pools would remember what is gone."""
        pools.reset()
        management = self.management()
        for queue in (queue for queue in management.queues() if not queue.get("exclusive")):
            management.delete(f"/api/queues/{VHOST}/{quote(queue['name'], safe='')}")
        for exchange in management.get(f"/api/exchanges/{VHOST}?disable_stats=true"):
            if exchange["name"] and not exchange["name"].startswith("amq."):
                management.delete(f"/api/exchanges/{VHOST}/{exchange['name']}")
        for policy in management.get(f"/api/policies/{VHOST}"):
            management.delete(f"/api/policies/{VHOST}/{policy['name']}")
        eventually(lambda: not management.queues())  # an exclusive one goes with its connection
        memory_of(self.endpoint).forget(management.dropped())
        management.close()
        eventually(lambda: self.kind.ready(self.endpoint, 0))  # a busy node may refuse quorum queues for a moment, also in mid-life


@contextlib.contextmanager
def running(server: RabbitServer) -> Iterator[RabbitServer]:
    try:
        yield server.start()
    finally:
        server.kill()


def producer(server: RabbitServer, role: str = "producer", **config: Any) -> Celery:
    app = Celery("rabbit_test", broker=server.url(role), set_as_current=False)
    app.conf.update(broker_transport_options={"confirm_publish": True}, **config)
    return app


def without_ports(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, ports={})


def declare(channel: Any, name: str, kind: str = "classic", **arguments: Any) -> None:
    facts = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": kind, **facts})


def send(channel: Any, queue: str, number: Any = "1", **headers: Any) -> None:
    import amqp

    facts = {"task": "pay", "id": f"t{number}", "retries": 0, "celery_harness_message": f"m{number}", **headers}
    channel.basic_publish_confirm(amqp.Message(b"[[], {}, {}]", application_headers=facts, delivery_mode=2), "", queue)
