"""One smallest scenario from start to verdict in containers, against the same test in pytest-celery on the same images.

Redis, one worker, one task, no result backend. Both are timed from outside and in the same way, from the start of the command
to the first verdict, and from one verdict to the next: whatever is built up or torn down between two counts. Commands of
both take turns, so that they share what the machine is doing.

pytest-celery has a Python environment of its own, kept in the user's cache: it is a pytest plugin, and no part of the harness.
Its images are exchanged for ours by its own fixtures; RabbitMQ, memcached and a result backend are not started.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

from measurement import Measurement

ROOT = Path(__file__).resolve().parents[2]
PEER = "pytest-celery==1.3.0"
TURNS = int(os.environ.get("BENCH_TURNS", "5"))
TESTS = 4  # the first, and three that follow
LIMIT_SECONDS = 300

APP = """
from celery import Celery
app = Celery("tiny")
@app.task(name="tiny.noop")
def noop():
    pass
"""
SCENARIO = """
version: 1
system: {app: "tiny:app", broker: redis, workers: {w: {replicas: 1, concurrency: 1}}}
load: [{send: tiny.noop, count: 1}]
checks: {no_loss: {}}
"""
REQUIREMENTS = "celery[redis]>=5.3\n"
CONFTEST = """
import pytest
from pytest_docker_tools import container, fxtr
from pytest_docker_tools.wrappers import container as wrapped
from pytest_celery import DEFAULT_WORKER_CONTAINER_TIMEOUT, DEFAULT_WORKER_VOLUME, CeleryBrokerCluster, CeleryWorkerContainer
wrapped.tests_inside_container = lambda: False  # where the engine publishes on this machine's loopback, whatever /.dockerenv says
@pytest.fixture
def default_redis_broker_image():
    return "{redis}"
@pytest.fixture
def celery_broker_cluster(celery_redis_broker):
    cluster = CeleryBrokerCluster(celery_redis_broker)
    yield cluster
    cluster.teardown()
@pytest.fixture
def celery_backend_cluster():
    return None
@pytest.fixture
def default_worker_command(default_worker_container_cls):
    return ["python", "-m", *default_worker_container_cls.command("-c", "1")]
default_worker_container = container(
    image="{worker}",
    working_dir="/app",
    environment=fxtr("default_worker_env"),
    network="{{default_pytest_celery_network.name}}",
    volumes={{"{{default_worker_volume.name}}": DEFAULT_WORKER_VOLUME}},
    wrapper_class=CeleryWorkerContainer,
    timeout=DEFAULT_WORKER_CONTAINER_TIMEOUT,
    command=fxtr("default_worker_command"),
)
def pytest_runtest_logreport(report):
    if report.when == "call":
        print("VERDICT", report.outcome, flush=True)
"""
TESTS_OF_PEER = """
import pytest
@pytest.mark.parametrize("number", range({tests}))
def test_noop(celery_setup, number):
    celery_setup.app.send_task("pytest_celery.vendors.worker.tasks.noop")
    celery_setup.worker.assert_log_exists("succeeded")
"""


def measure() -> list[Measurement]:
    """The first, and those that follow."""
    with tempfile.TemporaryDirectory(prefix="bench-scenario-") as name:
        folder = Path(name)
        ours, theirs = folder / "ours", folder / "theirs"
        (worker, redis), program = _project(ours), _peer()
        _peer_project(theirs, worker=worker, redis=redis)
        mine = [sys.executable, "-m", "harness.cli", "run", "tiny.yaml", "--runtime", "containers", "--json", "--repeat", str(TESTS)]
        other = [str(program), "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_tiny.py"]
        commands = ((mine, ours, '"event":"result"'), (other, theirs, "VERDICT passed"))
        for command in commands:
            verdicts(*command)  # images, caches: not counted
        found = []
        for turn in range(TURNS):
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            times = {which: verdicts(*commands[which]) for which in order}
            found.append((times[0], times[1]))
            print(f"  ours {_shown(times[0])}   pytest-celery {_shown(times[1])}", flush=True)
    return [
        _ratio("first scenario to its verdict / first test of pytest-celery 1.3", [(a[0], b[0]) for a, b in found], "<= 1"),
        _ratio(
            "each further scenario / each further test of pytest-celery 1.3",
            [(statistics.median(a[1:]), statistics.median(b[1:])) for a, b in found],
            "<= 0.2",
        ),
    ]


def verdicts(command: Sequence[str], folder: Path, mark: str) -> list[float]:
    """Seconds from the start to the first verdict, and from each to the next."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} if "harness.cli" in command else dict(os.environ)
    with tempfile.TemporaryFile("w+") as errors:
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        times, lines = [], []
        for line in process.stdout:
            lines.append(line)
            if mark in line:
                times.append(time.monotonic() - begun)
            if time.monotonic() - begun > LIMIT_SECONDS:
                process.kill()
        status = process.wait()
        if status or len(times) != TESTS:
            errors.seek(0)
            said = "".join(lines[-30:]) + errors.read()
            raise RuntimeError(f"{' '.join(command)} ended with {status} after {len(times)} verdicts\n{said}")
    return [after - before for before, after in zip([0.0, *times], times, strict=False)]


def _project(folder: Path) -> tuple[str, str]:
    """Ours; the references of the images that it runs in."""
    from harness.assembly import registry
    from harness.runtimes.containers.engine import Engine
    from harness.runtimes.containers.images import resolve
    from harness.runtimes.containers.worker_image import worker_image
    from harness.scenario import load_scenarios

    folder.mkdir()
    for name, text in {"tiny.py": APP, "tiny.yaml": SCENARIO, "requirements.txt": REQUIREMENTS}.items():
        (folder / name).write_text(text)
    client = Engine.connect().client
    (loaded,) = load_scenarios(folder / "tiny.yaml", registry())
    worker = worker_image(client, root=folder, system=loaded.scenario.system, say=print)
    return worker.reference, resolve(client, "redis", root=folder).reference


def _peer_project(folder: Path, *, worker: str, redis: str) -> None:
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST.format(worker=worker, redis=redis))
    (folder / "test_tiny.py").write_text(TESTS_OF_PEER.format(tests=TESTS))


def _peer() -> Path:
    """Its interpreter."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celery-harness" / "bench" / PEER
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PEER, "celery[redis]"], check=True)
        (home / "complete").touch()
    return python


def _ratio(name: str, found: Sequence[tuple[float, float]], goal: str) -> Measurement:
    ratios = sorted(a / b for a, b in found)
    return Measurement(name, statistics.median(ratios), goal, "s / s", len(ratios), (ratios[0], ratios[-1]))


def _shown(times: Sequence[float]) -> str:
    return " ".join(f"{seconds:5.2f}" for seconds in times) + " s"
