"""What `egress` may say where the only way out is by name."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.runtimes.containers.egress import Exit, exits

KNOWN = {"api.example.com": "192.0.2.7", "pay.example.com": "192.0.2.8", "here": "127.0.1.1"}


@pytest.fixture(autouse=True)
def name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: Any, family: int, kind: int) -> list[Any]:
        assert family == socket.AF_INET
        if host not in KNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, kind, 6, "", (KNOWN[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def opened(*entries: str) -> list[Exit]:
    return exits(entries, {"broker", "pay-1"}, lambda number: f"s.yaml:{number + 1}:1")


def test_ports_are_the_two_usual_ones_or_those_that_are_named() -> None:
    assert opened("API.example.com.") == [Exit("api.example.com", (443, 80), "192.0.2.7")]
    assert opened("api.example.com:8443", "pay.example.com:443", "api.example.com:443", "api.example.com:443") == [
        Exit("api.example.com", (8443, 443), "192.0.2.7"),
        Exit("pay.example.com", (443,), "192.0.2.8"),
    ]
    assert opened("api.example.com:81")[0].entries == ("api.example.com:81",)
    assert opened() == []


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("192.0.2.7", "is an address"),
        ("192.0.2.7:443", "is an address"),
        ("2001:db8::1", "is an address"),
        ("[2001:db8::1]:443", "is an address"),
        ("api.example.com:0", "`0` in api.example.com:0 is no port"),
        ("api.example.com:65536", "is no port"),
        ("api.example.com:https", "is no port"),
        ("https://api.example.com", "is no port"),
        ("*.example.com", "not a host's name"),
        ("a..b", "not a host's name"),
        ("", "not a host's name"),
        ("broker:6379", "`broker` is a part of this system"),
        ("here", "127.0.1.1, which inside a container is the container itself"),
    ],
)
def test_what_no_container_can_reach_is_refused_at_its_line(entry: str, word: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        opened("api.example.com", entry)
    assert caught.value.where == "s.yaml:2:1" and word in caught.value.what
    assert caught.value.exit_code == 2 and caught.value.hint


def test_a_name_that_nobody_knows_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentFault, match=r"nowhere\.example has no IPv4 address .* not known") as caught:
        opened("nowhere.example")
    assert caught.value.where == "s.yaml:1:1" and caught.value.exit_code == 3
