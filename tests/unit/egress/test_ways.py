"""Where a process may go, and what its name server says of it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from harness.egress import resolver
from harness.egress.name_server import NameServer
from harness.egress.resolver import Resolver
from harness.egress.ways import Ways

STRIPE = {"host": "api.stripe.com", "port": 443, "at": "127.83.0.1", "to": ["127.0.0.1", 5001]}
ADDRESSES = {"out.example": ["192.0.2.7", "2001:db8::7"], "mail.example": ["192.0.2.9"]}


@pytest.fixture
def ways() -> Ways:
    settings = {"allow": [["localhost", 6379]], "names": [STRIPE], "egress": ["out.example", "mail.example:587", "192.0.2.1:9"]}
    return Ways(settings, Resolver(lambda name: ADDRESSES[name]))


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


def test_our_own_and_what_stands_for_a_host_wait_for_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_PATIENCE_SECONDS", 20.0)
    hangs, asked_by = threading.Event(), []

    def ask(name: str) -> list[str]:
        asked_by.append(threading.current_thread())
        hangs.wait(60)
        return ["192.0.2.7"]

    began = time.monotonic()
    ways = Ways({"allow": [["127.0.0.1", 6379]], "names": [STRIPE], "egress": ["out.example"]}, Resolver(ask))
    assert ways.is_open(("127.0.0.1", 6379))
    assert not ways.is_open(("127.0.0.1", 6380)) and not ways.is_open(("127.83.0.1", 443))
    assert time.monotonic() - began < 15
    hangs.set()
    assert ways.is_open(("192.0.2.7", 443)), "this one waits"
    assert ways.answer("out.example") == ["192.0.2.7"]
    assert len(asked_by) == 1 and asked_by[0] is not threading.main_thread()


def test_what_may_be_a_names_address_waits_for_the_first_answer_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_PATIENCE_SECONDS", 0.2)
    hangs, done = threading.Event(), threading.Event()

    def ask(name: str) -> Iterator[str]:
        hangs.wait(60)
        yield "192.0.2.7"
        done.set()

    began = time.monotonic()
    ways = Ways({"egress": ["out.example"]}, Resolver(ask))
    assert not ways.is_open(("192.0.2.7", 443)) and ways.answer("out.example") == []
    assert 0.2 <= time.monotonic() - began < 30
    hangs.set()
    assert done.wait(60)
    deadline = time.monotonic() + 60
    while not ways.is_open(("192.0.2.7", 443)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ways.is_open(("192.0.2.7", 443)), "open once it is known"


def test_an_empty_answer_is_asked_for_again_and_a_found_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_AGAIN_SECONDS", 0.0)
    answers, asked = iter([[], ["192.0.2.7"]]), threading.Semaphore(0)

    def ask(name: str) -> list[str]:
        asked.release()
        return next(answers)

    found, deadline = Resolver(ask), time.monotonic() + 60
    assert found.addresses("out.example", wait=True) == frozenset()
    while not found.addresses("out.example", wait=True) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found.addresses("out.example", wait=True) == {"192.0.2.7"}
    assert asked.acquire(timeout=1) and asked.acquire(timeout=1) and not asked.acquire(blocking=False)


def test_a_name_that_leads_to_this_machine_opens_the_port_beside_it_alone() -> None:
    found = Resolver(lambda name: ["127.0.0.1"])
    for name in ("blocked.example", "dev.example"):
        assert found.addresses(name, wait=True)
    ways = Ways({"egress": ["blocked.example", "dev.example:8080", "localhost:9"]}, found)
    assert [ways.is_open(("127.0.0.1", port)) for port in (8080, 9, 6379)] == [True, True, False]
    assert Ways({"egress": ["localhost"]}).is_open(("::1", 6379))


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


def test_a_name_whose_address_nobody_has_told_yet_is_to_be_asked_for_again() -> None:
    server = NameServer(lambda name: [], lambda name: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(server.address)
        client.send(question("out.example"))
        server.serve()
        assert struct.unpack_from("!6H", client.recv(512))[1] & 15 == 2  # SERVFAIL
    server.close()


def test_what_is_no_question_is_said_to_be_none(ask: Callable[[bytes], bytes]) -> None:
    whole = question("api.stripe.com")
    for cut in (12, 14, 20, len(whole) - 1):
        assert struct.unpack_from("!6H", ask(whole[:cut]))[1] & 15 == 1
