"""What tests of the containers runtime share: an engine or a clear word about it, a cable to it, and what a run has there."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.model.scenario import System
from harness.runtimes.containers.engine import Engine, available
from harness.runtimes.containers.worker_image import worker_image
from tests.e2e.support import Project, wait_until

__all__ = ["Cable", "Standing", "client", "made_image", "needs_engine", "run_of", "why_no_engine"]

_RUN, _PART = "celery-harness.run", "celery-harness.part"
_IMAGES = ("python", "redis", "toxiproxy")


@cache
def client() -> Any:
    """The test's own, not the harness's."""
    return docker.from_env(timeout=60)


def why_no_engine() -> str:
    """'' where one answers. One that is there and busy is asked again: the harness itself gives it a few seconds."""
    why = available()
    for _ in range(9):
        if "timed out" in why:
            why = available()
    return why


def needs_engine(*images: str) -> None:
    """With the local images; without them the test is skipped, or fails under CI=true."""
    if why := why_no_engine():
        pytest.skip(f"needs a server: a container engine ({why})")
    known = {tag for found in client().api.images() for tag in found["RepoTags"] or ()}
    if missing := [name for name in (*_IMAGES, *images) if f"celery-harness/{name}:local" not in known]:
        pytest.skip(f"needs a server: a container engine with images of {', '.join(missing)} (`celery-harness images build`)")
    _make_workers_image()


@cache
def _make_workers_image() -> None:
    """Projects of tests name no requirements, so their workers' image holds all of this environment. It is made once, which takes
    minutes on a busy machine: here, before the time of a run counts, and of all processes of `pytest -n` by one.
    """
    with tempfile.TemporaryDirectory() as empty:
        worker_image(Engine.connect().client, root=Path(empty), system=System(app="shop:app"), say=lambda line: None)


@contextlib.contextmanager
def made_image(name: str, *lines: str) -> Iterator[str]:
    """Redis's local image with more lines of a Dockerfile; its reference. Gone afterwards."""
    tag = f"celery-harness-test/{name}:{uuid.uuid4().hex[:12]}"
    text = "\n".join(["FROM celery-harness/redis:local", *lines])
    client().images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, forcerm=True)
    try:
        yield tag
    finally:
        client().images.remove(tag, force=True)


def run_of(shop: Project, reports: str = "reports") -> str:
    """The id of the only run of this project."""

    def find() -> str:
        folders = [p for p in (shop.folder / reports).glob("*-*-*") if p.is_dir()]
        return folders[0].name if folders else ""

    return str(wait_until(find, "the run has a folder"))


class Standing:
    """What a run has at the engine, asked by its label."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._filters = {"label": f"{_RUN}={run_id}"}

    def containers(self, part: str = "") -> list[Any]:
        """Running and ended ones; of one part."""
        filters = {"label": [f"{_RUN}={self.run_id}", *([f"{_PART}={part}"] if part else [])]}
        return list(client().containers.list(all=True, filters=filters, ignore_removed=True))

    def one(self, part: str) -> Any:
        """The only container of a part."""
        (found,) = wait_until(lambda: self.containers(part), f"{part} has a container")
        return found

    def documents(self) -> list[dict[str, Any]]:
        """All that the engine knows of each container."""
        found = []
        for container in self.containers():
            with contextlib.suppress(docker.errors.NotFound):
                found.append(client().api.inspect_container(container.id))
        return found

    def volumes(self) -> set[str]:
        """Names of those that its containers have now."""
        return {m["Name"] for document in self.documents() for m in document["Mounts"] if m["Type"] == "volume"}

    def left(self, volumes: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
        """Containers, networks, and those of these volumes that are still there."""
        networks = [network.name for network in client().networks.list(filters=self._filters)]
        there = {volume.name for volume in client().volumes.list()} & volumes
        return [container.name for container in self.containers()] + networks + sorted(there)


class Cable:
    """A Unix socket that leads to the engine until it is cut; ``mend``: leads there again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends: list[socket.socket] = []
        self.mend()

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.path}"

    def mend(self) -> None:
        """The engine is there."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """It is gone, in the middle of whatever was said."""
        self.path.unlink(missing_ok=True)
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        engine_path = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock"
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(engine_path)
                self._ends += [peer, engine]
                for source, target in ((peer, engine), (engine, peer)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
