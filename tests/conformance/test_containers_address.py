"""Where the engine is: DOCKER_HOST is honoured, as a socket elsewhere or as a port of loopback; and who else may clean up after a run."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.containers_support import Engine, image, left_of, make_host, session_engine, spawn, until
from tests.parts import parts

engines = pytest.importorskip(
    "harness.runtimes.containers.engine", reason="needs a server: testcontainers is not installed", exc_type=ImportError
)

__all__ = ["session_engine"]  # fixtures

_PROGRAM = "print('here', flush=True)"


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Way:
    """A listener that leads to the engine, and counts who takes it."""

    def __init__(self, listener: socket.socket, engine_path: str) -> None:
        self.taken = 0
        self._listener, self._path = listener, engine_path
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.taken += 1
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._path)
                self._ends += [peer, engine]
                for source, target in ((peer, engine), (engine, peer)):
                    threading.Thread(target=pass_on, args=(source, target), daemon=True).start()

    def close(self) -> None:
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture(params=parts(["unix", "tcp"], quick=["unix"]))
def way(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """DOCKER_HOST names it."""
    known = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not known.startswith("unix://"):
        pytest.skip("needs a server: a container engine on a Unix socket")
    if request.param == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "e"))
        listener.listen(64)
        address = f"unix://{tmp_path / 'e'}"
    else:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("DOCKER_HOST", address)
    found = Way(listener, known.removeprefix("unix://"))
    yield found
    found.close()


def test_the_engine_that_docker_host_names_is_the_one_that_is_used(way: Way, tmp_path: Path) -> None:
    there = engines._connect()
    assert way.taken > 0 and os.environ["DOCKER_HOST"], "and the variable is left as it was"
    (tmp_path / "host").mkdir()
    host = make_host(there, tmp_path / "host")
    try:
        host.open()
        process = spawn(host, "pay-1", _PROGRAM)
        until(lambda: not process.alive(), "it ends")
        assert process.status == 0
    finally:
        host.close()
    assert left_of(there, host.run_id) == ([], [])
    there._quick.close()
    there.client.close()


def test_ryuk_is_used_where_its_image_is_and_is_not_missed_where_it_is_not(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision alone: no registry is needed, the image is another one under that name."""
    config = engines.testcontainers_config
    monkeypatch.setattr(config, "ryuk_disabled", False)
    name = "celery-harness-test/ryuk:0"
    monkeypatch.setattr(config, "ryuk_image", name)
    engines._connect()
    assert config.ryuk_disabled, "none there: our own labels and `clean` do its work"
    monkeypatch.setattr(config, "ryuk_disabled", False)
    engine.client.images.get(image("redis")).tag("celery-harness-test/ryuk", "0")
    try:
        engines._connect()
        assert not config.ryuk_disabled
    finally:
        engine.client.images.remove(name)
    monkeypatch.setattr(config, "ryuk_disabled", True)
    engines._connect()
    assert config.ryuk_disabled, "whoever switched it off is obeyed"
