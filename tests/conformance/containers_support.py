"""A host at a real engine, programs to run in its containers, and waiting for what they do."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.ports.clock import MonotonicClock
from harness.runtimes.shared.environment import AGENT_FOLDER

cleanup = pytest.importorskip(
    "harness.runtimes.containers.cleanup", reason="needs a server: testcontainers is not installed", exc_type=ImportError
)
from harness.runtimes.containers.engine import Engine, available  # noqa: E402
from harness.runtimes.containers.folders import Folders  # noqa: E402
from harness.runtimes.containers.host import ContainerHost  # noqa: E402
from harness.runtimes.containers.process import ContainerProcess  # noqa: E402
from tests.e2e.containers import why_no_engine  # noqa: E402

__all__ = [
    "PARENT",
    "ContainerHost",
    "ContainerProcess",
    "Engine",
    "available",
    "cleanup",
    "image",
    "left_of",
    "make_host",
    "module_host",
    "parent",
    "session_engine",
    "spawn",
    "until",
    "wrote",
]

_IMAGES = ("python", "redis", "toxiproxy")
#: A main process with a child of its own, which answers lines and signals.
PARENT = """
import os, signal, sys, threading, time
child = os.fork()
if child == 0:
    while True: time.sleep(60)
signal.signal(signal.SIGTERM, lambda *_: (print('warm', flush=True), os._exit(3)))
print('pid', os.getpid(), 'child', child, flush=True)
def listen():
    for line in sys.stdin:
        word = line.strip()
        print('heard', word, flush=True)
        if word == 'die': os.killpg(0, signal.SIGKILL)
        if word == 'freeze': os.killpg(0, signal.SIGSTOP)
        if word == 'leave': os._exit(7)
    print('end of input', flush=True)
threading.Thread(target=listen, daemon=True).start()
while True: time.sleep(0.05)  # a signal that comes just before a long wait would be handled after it
"""


def image(name: str) -> str:
    """The local equivalent."""
    return f"celery-harness/{name}:local"


@pytest.fixture(scope="session", name="engine")
def session_engine() -> Engine:
    """With the local images; without them the tests are skipped, or fail under CI=true."""
    if why := why_no_engine():
        pytest.skip(f"needs a server: a container engine ({why})")
    engine = Engine.connect()
    known = {tag for found in engine.client.api.images() for tag in found["RepoTags"] or ()}
    if missing := [name for name in _IMAGES if image(name) not in known]:
        pytest.skip(f"needs a server: a container engine with images of {', '.join(missing)} (`celery-harness images build`)")
    return engine


def make_host(engine: Engine, folder: Path, **options: Any) -> ContainerHost:
    """Not open yet."""
    for name in ("run", "report", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    run_id = f"0101-000000-{secrets.token_hex(2)}"
    return ContainerHost(
        run_id, MonotonicClock(), Folders(folder / "run", folder / "report", folder / "root"), image, engine=engine, **options
    )


@pytest.fixture(scope="module", name="host")
def module_host(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerHost]:
    """One network for the module; every test uses names of its own."""
    host = make_host(engine, tmp_path_factory.mktemp("host"), fixed_addresses=True, ports=8)
    try:
        host.open()
        yield host
    finally:
        host.close()
        assert left_of(engine, host.run_id) == ([], [])


def left_of(engine: Engine, run_id: str) -> tuple[list[str], list[str]]:
    """Names of containers and networks of a run."""
    filters = {"label": f"{cleanup.RUN}={run_id}"}
    containers = [c["Names"][0] for c in engine.client.api.containers(all=True, filters=filters)]
    return containers, [n["Name"] for n in engine.client.api.networks(filters=filters)]


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Its answer, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)
    return found


def spawn(host: ContainerHost, name: str, program: str, *arguments: str, kind: str = "worker", **options: Any) -> ContainerProcess:
    """A Python program in a container of its own."""
    return host.spawn(
        name,
        kind,
        ["python3", "-c", program, *arguments],
        env={"PYTHONPATH": str(AGENT_FOLDER)},
        cwd=host.folders.common(),
        image=image("python"),
        log=host.folders.report / "logs" / f"{name}.log",
        pid_base=host.new_pid_base(),
        **options,
    )


def wrote(process: ContainerProcess, text: str) -> str:
    """The line of its log that begins so."""

    def find() -> str:
        lines = process.log.read_text().splitlines() if process.log.exists() else []
        return next((line for line in lines if line.startswith(text)), "")

    return str(until(find, f"{process.name} writes {text!r}"))


def parent(host: ContainerHost, name: str) -> tuple[ContainerProcess, int]:
    """A running parent, and its child's pid as we see it."""
    process = spawn(host, name, PARENT, stdin=True)
    words = wrote(process, "pid ").split()
    assert process.pid == process.pid_base + int(words[1])
    return process, process.pid_base + int(words[3])
