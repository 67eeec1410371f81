"""Where a process may go, and what its name server says of it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from harness.egress.name_server import NameServer
from harness.egress.ways import Ways

STRIPE = {"host": "api.stripe.com", "port": 443, "at": "127.83.0.1", "to": ["127.0.0.1", 5001]}
ADDRESSES = {"out.example": ["192.0.2.7", "2001:db8::7"], "mail.example": ["192.0.2.9"]}


@pytest.fixture
def ways() -> Ways:
    settings = {"allow": [["localhost", 6379]], "names": [STRIPE], "egress": ["out.example", "mail.example:587", "192.0.2.1:9"]}
    return Ways(settings, lambda name: ADDRESSES.get(name, [name] if name[0].isdigit() else []))


@pytest.mark.parametrize(
    ("address", "open_"),
    [
        (("127.0.0.1", 6379), True),
        (("::1", 6379), True),
        (("127.0.0.1", 6380), False),
        (("192.0.2.7", 1), True),  # every port of a host that is named without one
        (("2001:db8::7", 443), True),
        (("192.0.2.9", 587), True),
        (("::ffff:192.0.2.9", 587), True),
        (("192.0.2.9", 25), False),
        (("192.0.2.1", 9), True),
        (("192.0.2.2", 9), False),
        (("127.83.0.1", 443), False),  # led elsewhere, and never connected to as it is
    ],
)
def test_what_is_open(ways: Ways, address: tuple[str, int], open_: bool) -> None:
    assert ways.is_open(address) is open_


def test_a_host_leads_to_its_service_at_its_port_alone(ways: Ways) -> None:
    assert ways.leads_to(("127.83.0.1", 443)) == ("127.0.0.1", 5001)
    assert ways.leads_to(("127.83.0.1", 80)) is None
    assert ways.called(("127.83.0.1", 80)) == ("api.stripe.com", 80)


@pytest.fixture
def ask(ways: Ways) -> Iterator[Callable[[bytes], bytes]]:
    unknown: list[str] = []
    server = NameServer(ways.answer, unknown.append)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(server.address)

        def asked(question: bytes) -> bytes:
            client.send(question)
            server.serve()
            return client.recv(512)

        asked.unknown = unknown  # type: ignore[attr-defined]
        yield asked
    server.close()


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_names_that_are_declared_have_addresses_and_no_others(ask: Callable[[bytes], bytes]) -> None:
    found = {}
    for name, kind in [
        ("API.stripe.com", 1),
        ("api.stripe.com", 28),
        ("out.example", 1),
        ("other.example", 1),
        ("7.2.0.192.in-addr.arpa", 12),
    ]:
        reply = ask(question(name, kind))
        number, flags, questions, answers, *_ = struct.unpack_from("!6H", reply)
        assert (number, questions, flags & 0x8080) == (77, 1, 0x8080)
        found[name, kind] = (flags & 15, [socket.inet_ntoa(reply[-4:])] if answers else [])
    assert found == {
        ("API.stripe.com", 1): (0, ["127.83.0.1"]),
        ("api.stripe.com", 28): (0, []),  # it has no IPv6
        ("out.example", 1): (0, ["192.0.2.7"]),
        ("other.example", 1): (3, []),
        ("7.2.0.192.in-addr.arpa", 12): (3, []),
    }
    assert ask.unknown == ["other.example"]  # type: ignore[attr-defined]


def test_what_is_no_question_is_said_to_be_none(ask: Callable[[bytes], bytes]) -> None:
    whole = question("api.stripe.com")
    for cut in (12, 14, 20, len(whole) - 1):
        assert struct.unpack_from("!6H", ask(whole[:cut]))[1] & 15 == 1
