"""The engine's client against a stand-in: what is refused, and what an error becomes. The real one: tests/conformance."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, ImageNotFound

from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.runtimes.containers import engine as module
from harness.runtimes.containers.engine import Box, Engine, available
from harness.runtimes.containers.events import Watcher
from harness.runtimes.containers.system import _demand_out_of_sight


class _Client:
    """testcontainers' DockerClient and the SDK's in one. Class attributes say what the engine is like."""

    api_version = "1.41"
    kernel = platform.release()
    security: tuple[str, ...] = ()
    down = False

    def __init__(self, **_: Any) -> None:
        self.client = self
        self.api = self
        self.base_url = "http://127.0.0.1:1"
        self.adapters: dict[str, Any] = {}
        self.images = self

    def get(self, name: str) -> Any:
        raise ImageNotFound(f"No such image: {name}")

    def info(self) -> dict[str, Any]:
        if self.down:
            raise requests.exceptions.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
        return {"KernelVersion": self.kernel, "Name": "elsewhere", "MemTotal": 8 << 30, "SecurityOptions": self.security}

    def version(self) -> dict[str, Any]:
        return {"ApiVersion": self.api_version, "Version": "99.9"}

    def ping(self) -> bool:
        return not self.down

    def close(self) -> None:
        pass


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Client]]:
    class Client(_Client):
        pass

    monkeypatch.setattr(module, "DockerClient", Client)
    monkeypatch.setattr(module.docker, "DockerClient", Client)
    monkeypatch.setattr(Engine, "_shared", None)
    yield Client


def test_an_engine_that_will_do(client: type[_Client]) -> None:
    assert available() == ""
    assert Engine.connect() is Engine.connect() and Engine.connect().version == "99.9"


@pytest.mark.parametrize("version", ["1.41", "1.44", "1.52", "2.0"])
def test_the_oldest_api_and_every_later_one_will_do(client: type[_Client], version: str) -> None:
    client.api_version = version
    assert available() == ""


def test_one_that_is_too_old(client: type[_Client]) -> None:
    client.api_version = "1.40"
    assert available() == (
        "the container engine 99.9 speaks API 1.40; we need 1.41 (start Docker Engine 20.10 or later, or set DOCKER_HOST)"
    )


def test_one_on_another_machine(client: type[_Client]) -> None:
    client.kernel = "6.6.6-linuxkit"
    why = available()
    assert "another machine or in a virtual one" in why and "6.6.6-linuxkit" in why and "--runtime processes" in why


def test_none(client: type[_Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    client.down = True
    assert available().startswith("no container engine answers at tcp://127.0.0.1:2375: Connection refused (")


def test_errors_name_the_part_and_what_to_do(client: type[_Client]) -> None:
    engine = Engine.connect()
    with pytest.raises(EnvironmentFault, match=r"pay-1 could not be started.*nope:local") as caught:
        engine.start(Box("name", "pay-1", "nope:local"))
    assert "celery-harness images build" in caught.value.hint
    response: Any = type("Response", (), {"status_code": 400, "url": "", "reason": ""})()
    with pytest.raises(EnvironmentFault, match="pay-1 could not be started: exec") as caught, engine.asking("pay-1", "started"):
        raise APIError("", response=response, explanation='exec: "python": executable file not found in $PATH')
    assert "needs Python 3.8" in caught.value.hint
    with pytest.raises(EnvironmentFault, match="broker could not be started: exec") as caught, engine.asking("broker", "started", "redis"):
        raise APIError("", response=response, explanation='exec: "redis-server": executable file not found in $PATH')
    assert "the image that stands for redis lacks that program" in caught.value.hint and "Python" not in caught.value.hint
    assert "CELERY_HARNESS_IMAGE_REDIS" in caught.value.hint


def test_a_broken_connection_is_the_engines_death_only_where_it_is(client: type[_Client]) -> None:
    engine = Engine.connect()
    with pytest.raises(EnvironmentFault, match="pay-1 could not be paused: slow") as caught, engine.asking("pay-1", "paused"):
        raise requests.exceptions.ReadTimeout("slow")
    assert not caught.value.hint
    client.down = True
    with pytest.raises(EnvironmentFault, match="the container engine no longer answers") as caught, engine.asking("pay-1", "paused"):
        raise requests.exceptions.ReadTimeout("slow")
    assert "celery-harness clean" in caught.value.hint


def test_one_that_is_silent_is_not_asked_again_and_again(client: type[_Client]) -> None:
    """Each of many calls waited as long for nothing, so a run took minutes to end."""
    engine = Engine.connect()
    assert engine.answers() and engine.socket() is None
    client.down = True
    assert not engine.answers()
    client.down = False
    assert not engine.answers() and engine.remove("name") == "the container engine no longer answers"
    with (
        pytest.raises(EnvironmentFault, match="pay-1 could not be paused: the container engine no longer answers"),
        engine.asking("pay-1", "paused"),
    ):
        raise AssertionError("asked")
    engine._silent_until = 0.0
    assert engine.answers()


def test_no_worker_may_see_the_socket(tmp_path: Path) -> None:
    (project := tmp_path / "project").mkdir()
    (link := tmp_path / "link").symlink_to(project)
    _demand_out_of_sight(None, [project])
    _demand_out_of_sight(tmp_path / "docker.sock", [project])
    with pytest.raises(EnvironmentFault, match=r"docker\.sock, below .*link, which workers see"):
        _demand_out_of_sight(project / "docker.sock", [tmp_path / "reports", link])


def test_a_container_has_no_rights(client: type[_Client]) -> None:
    options = Engine.connect()._options(Box("name", "pay-1", "image", user="1000:1000", alone=True))
    assert options["cap_drop"] == ["ALL"] and options["security_opt"] == ["no-new-privileges"]
    assert options["network_mode"] == "none" and "network" not in options
    assert options["pids_limit"] == 4096 and options["mem_limit"] == 6 << 30
    assert not options.get("privileged") and "devices" not in options


def test_engines_of_another_kind(client: type[_Client]) -> None:
    client.security = ("name=seccomp,profile=default", "name=rootless", "name=selinux")
    engine = Engine.connect()
    assert engine.me() == "0:0", "root inside is we outside"
    assert engine._options(Box("name", "pay-1", "image"))["security_opt"] == ["no-new-privileges", "label=disable"]


# --- events ---------------------------------------------------------------------------------------------------------


class _Events:
    """An engine whose event streams are lists; None: it is gone."""

    def __init__(self, *streams: list[Any] | None, running: tuple[str, ...] = ()) -> None:
        self.streams = list(streams)
        self.running = running
        self._silent_until = 0.0
        self.client = self
        self.api = self

    def asking(self, part: str, what: str) -> Any:
        return Engine.asking(self, part, what)  # type: ignore[arg-type]

    def answers(self) -> bool:
        return False

    def events(self, **_: Any) -> Any:
        stream = self.streams.pop(0) if self.streams else None
        if stream is None:
            raise requests.exceptions.ConnectionError("gone")
        return iter([event() if callable(event) else event for event in stream])

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Names": [f"/{name}"]} for name in self.running]


def _died(name: str, code: int, after: float = 0.0) -> Callable[[], dict[str, Any]]:
    return lambda: {"Actor": {"Attributes": {"name": name, "exitCode": str(code)}}, "timeNano": int((time.time() + after) * 1e9)}


def _watch(events: _Events, *names: str) -> tuple[Watcher, list[tuple[str, int, float]]]:
    seen: list[tuple[str, int, float]] = []
    engine: Any = events
    watcher = Watcher(engine, MonotonicClock(), "celery-harness.run=x")
    for name in names:
        watcher.expect(name, lambda code, at, name=name: seen.append((name, code, at)))  # type: ignore[misc]
    watcher.start()
    return watcher, seen


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_end_is_told_once_and_on_our_clock() -> None:
    before = time.monotonic()
    watcher, seen = _watch(_Events([_died("a", 137), _died("a", 0), _died("stranger", 1)]), "a", "b")
    _until(lambda: seen)
    watcher.close()
    assert [(name, code) for name, code, _ in seen] == [("a", 137)]
    assert before - 0.1 <= seen[0][2] <= time.monotonic()


def test_an_earlier_life_of_the_same_name_is_not_this_one() -> None:
    watcher, seen = _watch(_Events([_died("a", 1, after=-5.0), _died("a", 2)]), "a")
    _until(lambda: seen)
    watcher.close()
    assert [(name, code) for name, code, _ in seen] == [("a", 2)]


def test_a_stream_that_breaks_is_taken_up_again() -> None:
    watcher, seen = _watch(_Events([], [_died("a", 3)], running=("a",)), "a")
    _until(lambda: seen)
    watcher.close()
    assert [(name, code) for name, code, _ in seen] == [("a", 3)]


def test_an_engine_that_was_restarted_took_our_containers_along() -> None:
    watcher, seen = _watch(_Events([], [], running=()), "a")
    _until(lambda: watcher.lost)
    assert "restarted in the middle of the run" in watcher.lost and not seen
    watcher.close()


def test_an_engine_that_is_gone() -> None:
    watcher, _ = _watch(_Events([]), "a")
    _until(lambda: watcher.lost)
    assert "stopped answering in the middle of the run" in watcher.lost
    watcher.close()
    with pytest.raises(EnvironmentFault, match="the engine's events could not be followed"):
        _watch(_Events(None))
