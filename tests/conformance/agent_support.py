"""A real Redis, real workers and a small reader of journals, for the agent's own tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.ports import free_port

HERE = Path(__file__).resolve().parent
AGENT = HERE.parents[1] / "harness" / "agent"
LAUNCH = AGENT / "celery_harness_agent" / "launch.py"
PROJECT = HERE / "agent_project"
DEADLINE = 60.0
Record = dict[str, Any]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = DEADLINE, *, every: float = 0.01) -> Any:
    """The first true value of `condition`; AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(every)


def read(folder: Path, *, torn_at_the_end: bool = False) -> list[Record]:
    """All records in time order, with the pid and role of their file and its name (`in`).

    AssertionError for a torn line; `torn_at_the_end` allows it as a file's last: its writer is, or was killed, inside the copy.
    """
    found: list[Record] = []
    for path in sorted(folder.glob("*.journal")):
        pid, role = 0, ""
        lines = [line.strip(b"\0") for line in re.split(rb"\n\0*", path.read_bytes())]
        texts = [line for line in lines if line]
        for number, text in enumerate(texts):
            if torn_at_the_end and number == len(texts) - 1 and not text.endswith(b"}"):
                continue
            assert text.startswith(b"{") and text.endswith(b"}") and b"\0" not in text, f"torn: {text[:200]!r}"
            record = json.loads(text)
            if record["k"] == "open":
                pid, role = record["pid"], record["role"]
                assert number == 0
            found.append({**record, "pid": pid, "role": role, "in": path.stem})
    return sorted(found, key=lambda r: r["m"])


def kinds(records: list[Record], *names: str) -> list[Record]:
    return [r for r in records if r["k"] in names]


@dataclass
class RedisServer:
    """A real redis-server with a password of its own, in a folder of its own."""

    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(10):
            self.port = free_port()
            self.process = subprocess.Popen(
                [
                    "redis-server",
                    "--port",
                    str(self.port),
                    "--bind",
                    "127.0.0.1",
                    "--requirepass",
                    self.password,
                    "--save",
                    "",
                    "--dir",
                    str(self.folder),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self.process.poll() is not None or self._answers(), "redis-server", 30)
            if self._answers():
                return self
            self.stop()
        raise AssertionError("redis-server did not start")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def client(self, db: int = 0) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, db=db, password=self.password)

    def url(self, db: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{db}"

    def commands_seen(self) -> set[str]:
        """Names of commands that the server was ever sent, but for this look and the readiness probe."""
        stats = self.client().info("commandstats")
        return {name.removeprefix("cmdstat_") for name in stats} - {
            "ping",
            "info",
            "auth",
            "client",
            "client|setinfo",
            "hello",
            "config|resetstat",
            "command",
        }

    def connections_refused_or_made(self) -> int:
        return int(self.client().info("stats")["total_connections_received"])

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)


@dataclass
class Bench:
    """One run: project folder, Redis, settings, and every process that a test starts."""

    folder: Path
    redis: RedisServer
    settings: Record = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    app: str = "shop:app"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def triggers(self) -> Path:
        return self.folder / "triggers"

    def prepare(self) -> Bench:
        shutil.copytree(PROJECT, self.project, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        self.triggers.mkdir(exist_ok=True)
        return self

    def records(self) -> list[Record]:
        """As they are now: a line that is being written at this moment is not there yet."""
        return read(self.journal, torn_at_the_end=True)

    def write_settings(self, role: str, name: str, **over: Any) -> Path:
        document = {
            "run": "r1",
            "pass": "faults",
            "role": role,
            "name": name,
            "journal": str(self.journal) if role in ("worker", "producer") else "",
            "app": self.app,
            "root": str(self.project),
            "broker": self.redis.url(),
            "backend": None,
            "config": {},
            "allow": [["127.0.0.1", self.redis.port]] if role != "check" else [],
            "egress": [],
            "retry_divisor": 1,
            "triggers": [],
            "trigger_folder": str(self.triggers),
            **self.settings,
            **over,
        }
        path = self.folder / f"{role}-{name}.json"
        path.write_text(json.dumps(document))
        return path

    def start(self, arguments: list[str], settings: Path, *, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        log = (self.folder / f"{settings.stem}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), sys.executable, "-m", "celery_harness_agent", *arguments],
            cwd=self.project,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("CELERY_")},
                "PYTHONPATH": os.pathsep.join([str(AGENT), str(self.project)]),
                "PYTHONDONTWRITEBYTECODE": "1",
                "CELERY_HARNESS_AGENT": str(settings),
                "CELERY_HARNESS_PARENT": str(os.getpid()),
                "SHOP_FOLDER": str(self.folder),
                "TMPDIR": str(self.folder),  # a killed worker leaves its multiprocessing folder
                **(env or {}),
            },
            text=True,
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options},
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(
        self, pool: str = "prefork", *, name: str = "w-1", concurrency: int = 2, options: tuple[str, ...] = (), env: Any = None, **over: Any
    ) -> subprocess.Popen[str]:
        settings = self.write_settings("worker", name, **over)
        quick = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        return self.start(
            ["worker", "-n", f"{name}@r1", "-P", pool, "-c", str(concurrency), "-l", "INFO", *quick, *options], settings, env=env
        )

    def ready_worker(self, *args: Any, **kwargs: Any) -> subprocess.Popen[str]:
        process = self.worker(*args, **kwargs)
        self.wait_record("ready", lambda r: r["in"].startswith(f"{process.pid}-"), process)
        return process

    def producer(
        self,
        items: list[Record],
        calls: list[list[int]],
        mode: str = "fast",
        *,
        name: str = "producer",
        plan: Record | None = None,
        **over: Any,
    ) -> subprocess.Popen[str]:
        document = {"seed": 1, "items": items, "calls": calls, "mode": mode, "order": [], **(plan or {})}
        settings = self.write_settings("producer", name, plan=document, **over)
        process = self.start(["producer"], settings, stdin=subprocess.PIPE)
        self.wait_record("ready", lambda r: r["in"].startswith(f"{process.pid}-"), process)
        return process

    def send(self, *items: Record, stop: bool = True, **over: Any) -> subprocess.Popen[str]:
        """Publish each item once, through a real producer."""
        calls = [[number, number - 1, 0] for number in range(1, len(items) + 1)]
        process = self.producer(list(items), calls, **over)
        tell(process, f"go {time.monotonic_ns()}")
        self.wait_record("load_done", lambda r: r["in"].startswith(f"{process.pid}-"), process)
        if stop:
            tell(process, "stop")
            assert process.wait(DEADLINE) == 0, self.logs()
        return process

    def wait_record(
        self, kind: str, wanted: Callable[[Record], bool] = lambda r: True, process: subprocess.Popen[str] | None = None, count: int = 1
    ) -> list[Record]:
        def found() -> list[Record] | None:
            records = [r for r in kinds(self.records(), kind) if wanted(r)] if self.journal.exists() else []
            if process is not None and len(records) < count:
                assert process.poll() is None, f"it ended with {process.poll()}\n{self.logs()}"
            return records if len(records) >= count else None

        try:
            return wait_for(found, f"{count} x {kind}", every=0.04)  # reading takes processor time from the workers
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.logs()}") from None

    def post(self, *items: Record) -> None:
        """Publish each item once, numbered as a producer numbers its calls, but by the test itself: that takes no process."""
        app = Celery("post", broker=self.redis.url(), set_as_current=False)
        for number, item in enumerate(items, 1):
            stamps = {"celery_harness_message": f"m{number}", "celery_harness_call": number}
            app.send_task(item["send"], item.get("args"), headers=stamps, queue="shop")  # where the test project has its tasks
        app.close()

    def ask(self, program: str, request: Record, **over: Any) -> Record:
        settings = self.write_settings(program, program, **over)
        read_end, write_end = os.pipe()
        process = self.start([program], settings, env={"CELERY_HARNESS_OUT": str(write_end)}, stdin=subprocess.PIPE, pass_fds=(write_end,))
        os.close(write_end)
        assert process.stdin is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        with os.fdopen(read_end) as stream:
            text = stream.read()
        assert process.wait(DEADLINE) == 0, self.logs()
        return json.loads(text)

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in sorted(self.folder.glob("*.log")))

    def stop(self, process: subprocess.Popen[str]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE)

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def line_of(text: str) -> int:
    """The line of the test project that carries the comment `line of <text>`."""
    lines = (PROJECT / "shop.py").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if f"# line of {text}" in line)


@contextlib.contextmanager
def bench(folder: Path, *, app: str = "shop:app") -> Iterator[Bench]:
    server = RedisServer(folder / "redis").start()
    run = Bench(folder, server, app=app).prepare()
    try:
        yield run
    finally:
        run.close()
        server.stop()
