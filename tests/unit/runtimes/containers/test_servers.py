"""A server's life as a container, and the door to it, on stand-ins. The real ones: tests/conformance."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.ports.broker import ContainerPlan, Endpoint
from harness.ports.clock import MonotonicClock
from harness.runtimes.containers.door import Door
from harness.runtimes.containers.servers import ContainerServer
from harness.runtimes.shared.hosting import ServerSpec


class _Kind:
    """A server that is ready at its third look, or never."""

    kind = "redis"
    resets = True

    def __init__(self, *, looks: int = 3) -> None:
        self.looks = looks

    def container(self, endpoint: Endpoint, *, persistence: bool) -> ContainerPlan:
        return ContainerPlan(
            "redis", ("redis-server", "/r.conf"), 6379, {"management": 15672}, files={"/r.conf": endpoint.password}, start_seconds=0.3
        )

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        assert pid == 0 and endpoint.host == "127.0.0.1"
        self.looks -= 1
        return self.looks <= 0

    def reset(self, endpoint: Endpoint) -> bool:
        return self.resets

    def version(self, endpoint: Endpoint) -> str:
        return "7.0"


class _Container:
    def __init__(self, host: _Host, name: str) -> None:
        self.host, self.name, self.text = host, name, b"first line\n"

    def _end(self, code: int) -> None:
        self.host.expected.pop(self.name)(code, self.host.clock.now())

    def start(self) -> None:
        self.host.did.append(f"start {self.name}")

    def stop(self, timeout: int) -> None:
        self.host.did.append(f"stop {self.name}")
        self._end(0)

    def kill(self, signal: int) -> None:
        self.host.did.append(f"kill {self.name}")
        self._end(137)

    def pause(self) -> None:
        self.host.did.append("pause")

    def unpause(self) -> None:
        self.host.did.append("unpause")

    def logs(self, tail: int = 0) -> bytes:
        return self.text


class _Host:
    """ContainerHost, its engine and its watcher."""

    def __init__(self, *, dies: bool = False) -> None:
        self.did: list[str] = []
        self.expected: dict[str, Any] = {}
        self.clock = MonotonicClock()
        self.dies = dies
        self.engine = self.watcher = self
        self.network = None
        self._numbers = itertools.count(1)
        self._ports = itertools.count(40_000)
        self._bases = itertools.count(10_000_000, 10_000_000)
        self.boxes: list[Any] = []

    def expect(self, name: str, ended: Any) -> None:
        self.expected[name] = ended

    @contextlib.contextmanager
    def asking(self, part: str, what: str) -> Iterator[None]:
        yield

    def start(self, box: Any) -> Any:
        self.boxes.append(box)
        self.did.append(f"create {box.name}")
        if self.dies:
            self.expected.pop(box.name)(1, self.clock.now())
        return _Container(self, box.name)

    def remove(self, name: str) -> str:
        self.did.append(f"remove {name}")
        if name in self.expected:
            self.expected.pop(name)(137, self.clock.now())
        return ""

    def publish(self, part: str, port: int) -> int:
        return next(self._ports)

    def box_name(self, part: str) -> str:
        return f"{part}-{next(self._numbers)}"

    def new_pid_base(self) -> int:
        return next(self._bases)

    def image(self, name: str) -> str:
        return f"{name}:local"

    def labels(self, part: str) -> dict[str, str]:
        return {}

    def check(self) -> None:
        pass


def _server(folder: Path, host: _Host, kind: _Kind | None = None) -> ContainerServer:
    spec: Any = ServerSpec(kind or _Kind(), "broker", "broker")  # type: ignore[arg-type]
    whole: Any = host
    return ContainerServer(spec, Endpoint("", 0, "secret"), whole, folder / "logs" / "broker.log")


def test_where_it_is_reached_is_known_before_it_starts_and_stays(tmp_path: Path) -> None:
    host = _Host()
    server = _server(tmp_path, host)
    end = server.endpoint
    assert (end.host, end.port, dict(end.ports), end.inside) == ("127.0.0.1", 40_000, {"management": 40_001}, ("broker", 6379))
    assert not server.alive() and not server.answers() and server.processes == []
    server.start()
    assert server.alive() and server.version == "7.0" and server.endpoint == end
    assert "secret" not in repr((host.boxes[0].argv, host.boxes[0].labels, host.boxes[0].env))


def test_kept_it_is_the_same_container_else_a_new_one(tmp_path: Path) -> None:
    host = _Host()
    server = _server(tmp_path, host)
    server.start()
    server.stop()
    server.start()
    server.stop(kill=True)
    server.stop(kill=True)
    server.start()
    server.stop(keep=False)
    server.start()
    assert host.did == [
        "create broker-1",
        "stop broker-1",
        "start broker-1",
        "kill broker-1",
        "start broker-1",
        "stop broker-1",
        "remove broker-1",
        "create broker-2",
    ]
    lives = server.processes
    assert [(life.status, life.expected_end) for life in lives] == [(0, True), (-9, True), (0, True), (None, False)]
    assert len({life.pid for life in lives}) == 4


def test_emptied_in_place_where_that_is_certain_else_by_a_new_container(tmp_path: Path) -> None:
    host, kind = _Host(), _Kind()
    server = _server(tmp_path, host, kind)
    server.start()
    server.empty()
    assert host.did == ["create broker-1"]
    kind.resets = False
    server.empty()
    assert host.did[1:] == ["kill broker-1", "remove broker-1", "create broker-2"] and server.answers()


def test_a_frozen_one_is_thawed_to_be_stopped(tmp_path: Path) -> None:
    host = _Host()
    server = _server(tmp_path, host)
    with pytest.raises(EnvironmentFault, match="broker is not running"):
        server.pause()
    server.start()
    server.pause()
    server.stop()
    assert host.did[1:] == ["pause", "unpause", "stop broker-1"]


def test_one_that_ends_at_once_shows_its_last_lines(tmp_path: Path) -> None:
    server = _server(tmp_path, _Host(dies=True))
    with pytest.raises(
        EnvironmentFault, match=r"broker \(redis in a container\) ended with status 1 before it was ready.*\n  first line"
    ) as caught:
        server.start()
    assert caught.value.where == str(tmp_path / "logs" / "broker.log")
    assert (tmp_path / "logs" / "broker.log").read_text() == "first line\n"


def test_one_that_never_answers(tmp_path: Path) -> None:
    server = _server(tmp_path, _Host(), _Kind(looks=10**9))
    with pytest.raises(EnvironmentFault, match="did not answer within 0 s"):
        server.start()
    assert all(life.expected_end for life in server.processes)


def test_its_log_is_saved_once(tmp_path: Path) -> None:
    host = _Host()
    server = _server(tmp_path, host)
    server.save_log()
    server.start()
    server.save_log()
    server._container.text += b"second line\n"
    server.remove()
    server.remove()
    assert server.log.read_text() == "first line\nsecond line\n"
    server.start()
    server.remove()
    assert server.log.read_text() == "first line\nsecond line\nfirst line\n", "another container's own"


def test_a_toxiproxy_that_hangs_is_named_and_ports_run_out() -> None:
    nobody: Any = None
    door = Door(nobody, 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        door.api = ("127.0.0.1", closed.getsockname()[1])
        with pytest.raises(EnvironmentFault, match="cannot be reached"):
            door.publish("broker", 6379)
    with pytest.raises(EnvironmentFault, match="broker: all 0 ports that were published"):
        door.publish("broker", 6379)


def test_links_get_ports_of_their_own() -> None:
    nobody: Any = None
    door = Door(nobody, 1)
    assert len({door.listen() for _ in range(5)}) == 5
