"""Locustfiles on the shop, Locust's own CSV files, and Locust without the harness on a Redis of the test's own."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.support import Project, processes_of

REPOSITORY = Path(__file__).resolve().parents[2]

USERS = """from harness.locust import CeleryUser
from locust import constant, task


class Worker(CeleryUser):
    app = "shop:app"
    wait_time = constant(0.1)

    @task
    def send(self):
        self.celery.send("shop.work", 1)

    @task
    def wait(self):
        self.celery.send_and_wait("shop.work", 2, timeout=20)
"""


#: Behind USERS: the load is over when so much was counted, however long a busy machine takes to begin with it.
ENOUGH = """

import gevent
from locust import events
from locust.runners import WorkerRunner


@events.init.add_listener
def watch(environment, **_):
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(quit_when_enough, environment)


def quit_when_enough(environment):
    while sum(one.num_requests for (_, kind), one in [*environment.stats.entries.items()] if kind == "end to end") < 20:
        gevent.sleep(0.1)
    gevent.sleep(3)  # Locust writes its CSV files once a second
    environment.runner.quit()
"""
SYSTEM = {"workers": {"pay": {"replicas": 1, "pool": "threads", "concurrency": 4}}}


def scenario(made: Project, name: str = "s", **changes: Any) -> Path:
    """With Locust in place of the load."""
    path = made.scenario(name, **{"system": SYSTEM, "runtime": "processes", **changes})
    document = json.loads(path.read_text())
    del document["load"]
    path.write_text(json.dumps(document, indent=1))
    return path


def a_sending_process(folder: Path, *, forked: bool) -> int | None:
    """Of Locust, and it has sent something. ``forked``: one that Locust has made itself."""
    for process in processes_of(folder):
        parent = process.parent()
        if "locust" not in process.cmdline() or (forked and (parent is None or "locust" not in parent.cmdline())):
            continue
        journals = list(folder.glob(f"reports/*/journal/faults/{process.pid}-*.journal"))
        if journals and b'"k":"call_ok"' in journals[0].read_bytes():
            return process.pid
    return None


def rows(prefix: Path) -> dict[str, dict[str, str]]:
    """Type of request -> its line, of a load with one task."""
    with Path(f"{prefix}_stats.csv").open(newline="") as stream:
        return {row["Type"]: row for row in csv.DictReader(stream) if row["Type"]}


def rows_by_task(prefix: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(type of request, name) -> its line."""
    with Path(f"{prefix}_stats.csv").open(newline="") as stream:
        return {(row["Type"], row["Name"]): row for row in csv.DictReader(stream) if row["Type"]}


def failures(prefix: Path) -> dict[tuple[str, str], int]:
    """(type of request, error) -> how often."""
    with Path(f"{prefix}_failures.csv").open(newline="") as stream:
        return {(row["Method"], row["Error"]): int(row["Occurrences"]) for row in csv.DictReader(stream)}


def of_all(result: dict[str, Any], metric: str) -> dict[str, Any]:
    """The summary of a measure over everything, of a load with one task."""
    found = [m for m in result["measures"] if m["metric"] == metric and not (m["task"] or m["queue"] or m["worker"] or m["phase"])]
    summary: dict[str, Any] = found[0]["summary"]
    return summary


def locust(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start Locust as its users do."""
    return subprocess.Popen(
        [sys.executable, "-m", "locust", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def redis_server(folder: Path, program: str, port: int) -> Iterator[str]:
    """A Redis of the test's own; its URL."""
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "Redis does not answer"
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def shop_worker(folder: Path, url: str) -> Iterator[None]:
    """A worker of the shop without the harness, on broker 0 and result backend 1."""
    env = {**os.environ, "CELERY_BROKER_URL": f"{url}/0", "CELERY_RESULT_BACKEND": f"{url}/1"}
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "shop:app",
        "worker",
        "-P",
        "threads",
        "-c",
        "4",
        "--without-mingle",
        "--without-gossip",
    ]
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()
