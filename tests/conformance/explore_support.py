"""The explorer's mechanism over a real Redis, a real HTTP server, real files and the kernel of this machine."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.explore.choosing import mechanism_for
from harness.explore.mechanism import EffectStops
from harness.model.exploration import Ending, Message, Stop
from harness.ports.exploring import Decision, Job, Launch
from harness.runtimes.shared.leftovers import owner
from tests.conformance.agent_support import AGENT, LAUNCH, RedisServer

HERE = Path(__file__).resolve().parent
PROJECT = HERE / "explore_project"


class Api(http.server.ThreadingHTTPServer):
    """Keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    self.close_connection = True  # its sender died: this was no request
                    return
                requests.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@dataclass
class Mill:
    """One app, what it talks to, and the mechanism that is tested."""

    folder: Path
    broker: RedisServer
    store: RedisServer
    api: Api
    project: Path = PROJECT
    app: str = "mill:app"
    env: dict[str, str] = field(default_factory=dict)
    points: str = "effects"

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        single = self.points == "effects"  # with two imports of the app: "auto"
        self.stops: Any = EffectStops(self.launch()) if single else mechanism_for(self.points, self.launch())
        self.seen: list[Stop] = []

    def launch(self) -> Launch:
        services = {("127.0.0.1", self.broker.port): "broker", ("127.0.0.1", self.store.port): "cache"}
        services[("127.0.0.1", self.api.server_port)] = "card_api"
        settings = self.folder / "zygote.json"
        document = {"run": "x1", "role": "zygote", "app": self.app, "root": str(self.project), "broker": self.broker.url()}
        settings.write_text(json.dumps({**document, "backend": self.broker.url(1), "allow": [list(address) for address in services]}))
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("CELERY_")},
            "PYTHONPATH": os.pathsep.join([str(AGENT), str(self.project)]),
            "CELERY_HARNESS_AGENT": str(settings),
            "CELERY_HARNESS_RUN": f"explore-{self.broker.port}",
            "CELERY_HARNESS_OWNER": owner(),  # or `celery-harness clean` beside us takes it for something left over
            "MILL_FOLDER": str(self.data),
            "MILL_BROKER": "redis://nowhere.invalid/0",
            "MILL_STORE": self.store.url(),
            "MILL_API": f"127.0.0.1:{self.api.server_port}",
            **self.env,
        }
        command = [sys.executable, "-I", "-S", str(LAUNCH), sys.executable, "-m", "celery_harness_agent", "zygote"]
        log = self.folder / "zygote.log"
        return Launch(command, environment, self.project, self.project, log, services, {self.data: "files"})

    def publish(self, task: str, *args: Any) -> Message:
        """Through the app, as a caller does; taken out of the queue."""
        self.stops.publish(f"mill.{task}", args, {})
        return self.taken()

    def taken(self, queue: str = "mill", *, redelivered: bool = False) -> Message:
        raw = json.loads(self.broker.client().lpop(queue))
        headers = raw["headers"]
        return Message(headers["id"], headers["task"], headers["retries"], redelivered, 0.0, raw)

    def run(self, task: str, *args: Any, kill: int | None = None, at_stop: Callable[[Stop], Any] | None = None, **options: Any) -> Ending:
        """Publish, and deliver. ``at_stop`` looks; ``kill`` is the number of a stop."""
        return self.deliver(self.publish(task, *args), kill=kill, at_stop=at_stop, **options)

    def deliver(self, message: Message, *, kill: int | None = None, at_stop: Callable[[Stop], Any] | None = None, **options: Any) -> Ending:
        self.seen = []

        def stopped(stop: Stop) -> Decision:
            self.seen.append(stop)
            if at_stop is not None:
                at_stop(stop)
            return Decision.KILL if stop.number == kill else Decision.GO_ON

        ending = self.stops.deliver(Job(message, **options), stopped)
        assert list(ending.stops) == self.seen
        return ending

    def files(self) -> dict[str, str]:
        return {p.name: p.read_text(errors="replace") for p in sorted(self.data.iterdir()) if p.is_file()}

    def clean(self) -> None:
        for path in self.data.iterdir():
            path.unlink()
        self.store.client().flushall()
        self.broker.client().flushall()
        self.api.requests.clear()

    def log(self) -> str:
        return (self.folder / "zygote.log").read_text()


@contextlib.contextmanager
def mill(folder: Path, *, start: bool = True, **options: Any) -> Iterator[Mill]:
    """Started, and gone afterwards. ``start``: the app is imported."""
    api = Api()
    threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True).start()
    with contextlib.ExitStack() as stack:
        stack.callback(api.server_close)
        stack.callback(api.shutdown)
        broker, store = RedisServer(folder / "broker").start(), RedisServer(folder / "store")
        stack.callback(broker.stop)
        store.start()
        stack.callback(store.stop)
        found = Mill(folder, broker, store, api, **options)
        stack.callback(found.stops.close)
        if start:
            found.stops.start()
        yield found


def words(stops: Sequence[Stop]) -> list[str]:
    return [stop.words for stop in stops]


def changes(seen: Sequence[Any]) -> list[Any]:
    """Without those that are as the one before."""
    return [one for number, one in enumerate(seen) if not number or one != seen[number - 1]]


def line_of(text: str) -> int:
    """The line of the test project that carries the comment `line of <text>`."""
    lines = (PROJECT / "mill.py").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# line of {text}"))
