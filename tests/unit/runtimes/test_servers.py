"""Ports of servers that are processes: none is ours until the server has it."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from harness.brokers.redis import RedisBroker
from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.runtimes.processes import servers
from harness.runtimes.processes.servers import ProcessServer
from harness.runtimes.shared.hosting import ServerSpec


@pytest.fixture
def server(tmp_path: Path) -> ProcessServer:
    """Not started."""
    try:
        RedisBroker().find()
    except EnvironmentFault as fault:
        pytest.skip(f"needs a server: {fault}")
    spec = ServerSpec(RedisBroker(), "broker", "broker")
    return ProcessServer(spec, tmp_path / "data", tmp_path / "broker.log", MonotonicClock(), "0106-000000-0001")


def test_another_programs_port_is_left_to_it(server: ProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    free = servers.free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = [taken.getsockname()[1]] * 2
        monkeypatch.setattr(servers, "free_port", lambda: choices.pop() if choices else free())
        try:
            server.start()
            assert server.answers() and server.endpoint.port != taken.getsockname()[1]
        finally:
            server.remove()


def test_where_every_port_is_taken_the_part_is_named_with_its_last_lines(server: ProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # where nobody listens, nobody keeps whoever asks waiting
        monkeypatch.setattr(servers, "free_port", lambda: taken.getsockname()[1])
        monkeypatch.setattr(servers, "_PORT_ATTEMPTS", 3)
        try:
            with pytest.raises(EnvironmentFault, match="did not start") as caught:
                server.start()
        finally:
            server.remove()
    assert re.match(r"broker \(.*\) did not start on 127\.0\.0\.1; its last lines:\n", caught.value.what)
    assert "Address already in use" in caught.value.what and caught.value.exit_code == 3
