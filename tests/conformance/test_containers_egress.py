"""`egress` on a network without a way out: what the scenario names is reached, and nothing beside it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import build_cell, choose_runtime, registry
from harness.errors import EnvironmentFault, ScenarioError
from harness.ports.clock import MonotonicClock
from harness.scenario import load_scenarios
from tests.conformance.containers_support import Engine, left_of, session_engine
from tests.e2e.containers import needs_engine

__all__ = ["session_engine"]  # fixtures

APP = '''"""Tries ways out: as the app does, and past the guard as a C library would."""
import json
import os
import socket
import subprocess
import sys

from celery import Celery

app = Celery("out")
ALONE = """
import json, socket, sys
sys.path.insert(0, ".")
def ask(host, port):
    try:
        with socket.create_connection((host, port), 3) as peer:
            peer.settimeout(3)
            return peer.recv(100).decode()
    except OSError as exc:
        return type(exc).__name__
print(json.dumps([ask(*where) for where in json.loads(sys.argv[1])]))
"""
exec(ALONE.partition("print(")[0])


@app.task(name="out.noop")
def noop():
    pass


def guarded(places):
    return [ask(*place) for place in places]


def unguarded(places):
    soon = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}  # resolv.conf(5): nobody answers for a name that is not open
    command = [sys.executable, "-I", "-c", ALONE, json.dumps(places)]
    return json.loads(subprocess.run(command, env=soon, capture_output=True, check=True).stdout)
'''
RUN_ID = "0104-000000-0001"


class Outside:
    """Servers on the address that this machine has on the engine's default bridge; each says its own name."""

    def __init__(self, engine: Engine, *names: str) -> None:
        (config,) = engine.client.networks.get("bridge").attrs["IPAM"]["Config"]
        self.address = str(config["Gateway"])
        self._listeners = {name: socket.create_server((self.address, 0)) for name in names}
        self.ports = {name: int(listener.getsockname()[1]) for name, listener in self._listeners.items()}
        for name, listener in self._listeners.items():
            threading.Thread(target=self._serve, args=(name, listener), daemon=True).start()

    @staticmethod
    def _serve(name: str, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.sendall(name.encode())

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def outside(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """Names under .example lead there, for this process alone."""
    found = Outside(engine, "first", "second", "closed")
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if str(host).startswith("unknown."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(found.address if str(host).endswith(".example") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield found
    found.close()


def system_of(folder: Path, *egress: str) -> Any:
    """Of a scenario that opens these; not started."""
    needs_engine()
    for name in ("project", "run"):
        (folder / name).mkdir()
    (folder / "project" / "out.py").write_text(APP)
    system = {"app": "out:app", "egress": list(egress)}
    file = folder / "project" / "s.yaml"
    file.write_text(json.dumps({"version": 1, "runtime": "containers", "system": system, "load": [{"send": "out.noop", "count": 1}]}))
    (loaded,) = load_scenarios(file, registry())
    return choose_runtime("containers").system(build_cell(loaded, folder / "project", MonotonicClock()).system(RUN_ID, folder / "run"))


def test_exactly_what_is_named_is_open(engine: Engine, outside: Outside, tmp_path: Path) -> None:
    """Two hosts on one machine, each to a port of its own; the third port is nobody's."""
    first, second, closed = (outside.ports[name] for name in ("first", "second", "closed"))
    system = system_of(tmp_path, f"one.shop.example:{first}", f"two.shop.example:{second}")
    places = [["one.shop.example", first], ["two.shop.example", second], ["one.shop.example", second], ["two.shop.example", closed]]
    with ExitStack() as stack:
        stack.callback(system.close)
        system.open()
        assert system.call_user_code("out:guarded", places) == ["first", "second", "ConnectionRefusedError", "ConnectionRefusedError"]
        assert len(system.undeclared()) == 2
        past_the_guard = [*places, [outside.address, first], ["three.shop.example", first]]
        *named, address, other = system.call_user_code("out:unguarded", past_the_guard)
        assert named == ["first", "second", "ConnectionRefusedError", "ConnectionRefusedError"]
        assert address in ("OSError", "TimeoutError") and other == "gaierror", "the network itself leads nowhere"
    assert left_of(engine, RUN_ID) == ([], [])


@pytest.mark.exhaustive
def test_a_port_that_toxiproxy_itself_would_take(engine: Engine, outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And two hosts that want the same one; without a port it is 443 and 80."""
    system = system_of(tmp_path, "one.shop.example:8474", "two.shop.example:8474", "three.shop.example")
    with ExitStack() as stack:
        stack.callback(system.close)
        system.open()
        assert set(system.egress()) == {
            *("one.shop.example:8474", "two.shop.example:8474"),
            *("three.shop.example:443", "three.shop.example:80"),
        }
        # Nobody listens at the other end: a way out is there where the connection is taken, and then closed.
        said = system.call_user_code("out:unguarded", [["one.shop.example", 8474], ["two.shop.example", 8474], ["three.shop.example", 443]])
        assert said == ["", "", ""] or set(said) <= {"", "ConnectionResetError"}
    assert left_of(engine, RUN_ID) == ([], [])


@pytest.mark.parametrize(
    ("entry", "error", "word"), [("192.0.2.1:443", ScenarioError, "is an address"), ("unknown.example", EnvironmentFault, "no IPv4")]
)
def test_what_leads_nowhere_is_said_at_its_line_before_anything_starts(
    engine: Engine, outside: Outside, tmp_path: Path, entry: str, error: type[Exception], word: str
) -> None:
    system = system_of(tmp_path, entry)
    with ExitStack() as stack:
        stack.callback(system.close)
        with pytest.raises(error, match=word) as caught:
            system.examine({})
        assert str(caught.value).startswith(f"{tmp_path / 'project' / 's.yaml'}:1:")
    assert left_of(engine, RUN_ID) == ([], [])
