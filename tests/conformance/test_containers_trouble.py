"""What can go wrong with containers, each told clearly; and nothing stays at the engine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from tests.conformance.containers_support import PARENT, Engine, available, cleanup, image, left_of, make_host, session_engine, spawn, until

__all__ = ["session_engine"]  # fixtures


# --- what can go wrong ----------------------------------------------------------------------------------------------


def test_an_image_without_python_or_that_is_missing(engine: Engine, tmp_path: Path) -> None:
    host = make_host(engine, tmp_path)
    options: dict[str, Any] = {"env": {}, "cwd": tmp_path, "log": tmp_path / "log", "network": False}
    try:
        with pytest.raises(EnvironmentFault, match=r"check could not be started.*pithon") as caught:
            host.ask("check", {}, python="pithon", image=image("redis"), **options)
        assert "needs Python 3.8" in caught.value.hint
        with pytest.raises(EnvironmentFault, match="no-such-image") as caught:
            host.ask("check", {}, python="python3", image="celery-harness/no-such-image:local", **options)
        assert "images build" in caught.value.hint
        with pytest.raises(EnvironmentFault):
            host.check()
    finally:
        host.close()
    assert left_of(engine, host.run_id) == ([], [])


def test_an_image_of_another_program(engine: Engine, tmp_path: Path) -> None:
    """Where Toxiproxy's ends at once that is told at once; where a server's lacks its program the advice is about that."""
    images = {"toxiproxy": image("redis")}
    host = make_host(engine, tmp_path)
    host.image = lambda name: images.get(name, image(name))
    try:
        with pytest.raises(EnvironmentFault, match=r"toxiproxy \(toxiproxy in a container\) ended with status \d+ before it was ready"):
            host.open()
        images["toxiproxy"] = image("python")
        with pytest.raises(EnvironmentFault, match="toxiproxy could not be started") as caught:
            host.open()
        assert "the image that stands for toxiproxy lacks that program" in caught.value.hint
    finally:
        host.close()
    assert left_of(engine, host.run_id) == ([], [])


@pytest.mark.parametrize("address", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:9"])
def test_no_engine_is_said_clearly_and_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    Engine.forget()
    try:
        began = time.monotonic()
        why = available()
        assert time.monotonic() - began < 20.0
        assert f"no container engine answers at {address}" in why and "DOCKER_HOST" in why
        with pytest.raises(EnvironmentFault, match="no container engine answers"):
            cleanup.leftovers()
    finally:
        monkeypatch.undo()
        Engine.forget()


def test_an_engine_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        Engine.forget()
        try:
            assert "no container engine answers" in available()
        finally:
            monkeypatch.undo()
            Engine.forget()


class _Cable:
    """A Unix socket that leads to the engine until it is cut."""

    def __init__(self, path: Path) -> None:
        self.path, self.ends, self.cut_off = path, [], False
        self.ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect("/var/run/docker.sock")
            self.ends += [client, engine]
            for source, target in ((client, engine), (engine, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """The engine is gone."""
        self._listener.close()
        self.path.unlink()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_an_engine_that_goes_in_mid_run_is_noticed_and_clean_works_once_it_is_back(
    engine: Engine, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = _Cable(tmp_path_factory.mktemp("e") / "s")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{cable.path}")
    Engine.forget()
    host = make_host(Engine.connect(), tmp_path)
    process = None
    try:
        process = spawn(host, "orphan", PARENT, stdin=True)
        process.box()
        host.check()
        cable.cut()
        with pytest.raises(EnvironmentFault, match="stopped answering in the middle of the run") as caught:
            until(lambda: host.check(), "the loss is noticed", 20.0)
        assert "clean" in caught.value.hint
        with pytest.raises(EnvironmentFault, match="orphan could not be paused: the container engine no longer answers"):
            process.pause()
        host.close()  # cannot remove anything, and says nothing
    finally:
        monkeypatch.undo()
        Engine.forget()
        left = cleanup.remove_run(engine, host.run_id)
    assert left == [] and left_of(engine, host.run_id) == ([], [])


def test_closing_half_way_removes_everything(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = make_host(engine, tmp_path)
    monkeypatch.setattr(host._door, "_wait", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        host.open()
    assert left_of(engine, host.run_id) != ([], [])
    host.close()
    host.close()
    assert left_of(engine, host.run_id) == ([], [])


_KILLED = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from tests.conformance import containers_support as t
from harness.runtimes.containers.engine import Engine
host = t.make_host(Engine.connect(), Path(sys.argv[1]))
process = t.spawn(host, 'orphan', t.PARENT, stdin=True, wait=True)
print(host.run_id, flush=True)
time.sleep(60)
"""


#: `make test` has it with a whole run, in tests/e2e/test_containers_stopping.py.
@pytest.mark.exhaustive
@pytest.mark.usefixtures("alone_with_leftovers")
def test_workers_end_with_a_killed_harness_and_clean_removes_the_rest(engine: Engine, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED.format(path=sys.path), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    run_id = ""
    try:
        assert child.stdout is not None
        run_id = child.stdout.readline().strip()
        assert len(left_of(engine, run_id)[0]) == 2
        assert not [text for text in cleanup.leftovers().describe() if run_id in text], "its owner lives"
        child.kill()
        child.wait()
        filters = {"label": [f"{cleanup.RUN}={run_id}", f"{cleanup.PART}=orphan"]}
        until(lambda: not engine.client.api.containers(filters=filters), "the worker ends by itself")
        found = cleanup.leftovers()
        assert len([text for text in found.describe() if run_id in text]) == 3
        assert cleanup.remove(found) == []
        assert left_of(engine, run_id) == ([], [])
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        if run_id:
            cleanup.remove_run(engine, run_id)


def test_a_port_that_another_program_has(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is told to publish at one that somebody listens on, as if it had chosen that; it is asked again a few times."""
    prepared, tries = engine._prepared, []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def choose(box: Any) -> Any:
            container = prepared(box)
            container.ports = dict.fromkeys(container.ports, ("127.0.0.1", port)) if box.ports else {}
            tries.append(box.part)
            return container

        monkeypatch.setattr(engine, "_prepared", choose)
        host = make_host(engine, tmp_path)
        try:
            with pytest.raises(EnvironmentFault, match="toxiproxy could not be started") as caught:
                host.open()
        finally:
            host.close()
    assert f"127.0.0.1:{port}" in caught.value.what and "already" in caught.value.what
    assert caught.value.exit_code == 3 and tries == ["toxiproxy"] * 3
    assert left_of(engine, host.run_id) == ([], [])


def test_a_port_that_is_free_at_the_second_try(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, tries = engine._prepared, []
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def choose(box: Any) -> Any:
            container = prepared(box)
            if box.ports and not tries:
                container.ports = {**container.ports, f"{box.ports[0]}/tcp": taken.getsockname()}
            tries.append(box.part)
            return container

        monkeypatch.setattr(engine, "_prepared", choose)
        host = make_host(engine, tmp_path)
        try:
            host.open()
            assert tries == ["toxiproxy"] * 2
        finally:
            host.close()
    assert left_of(engine, host.run_id) == ([], [])


def test_more_server_ports_than_were_published(engine: Engine, tmp_path: Path) -> None:
    """The part that finds none left is named."""
    host = make_host(engine, tmp_path, ports=1)
    try:
        host.open()
        host.publish("broker", 6379)
        with pytest.raises(EnvironmentFault, match=r"^cache: all 1 ports that were published for this run are taken") as caught:
            host.publish("cache", 6379)
        assert caught.value.exit_code == 3
    finally:
        host.close()
