"""Calls in words: payloads, identities, addresses."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from harness.explore.identities import without_varying
from harness.explore.payloads import Conversations
from harness.explore.targets import Targets, address_of, normal


def resp(*commands: tuple[bytes, ...]) -> bytes:
    return b"".join(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in c) for c in commands)


PUBLISH = b'{"body": "W10=", "headers": {"lang": "py", "task": "orders.charge", "id": "1"}}'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"POST /charges?card=4111 HTTP/1.1\r\nHost: x\r\n\r\n", "POST /charges sent to s"),
        (b"PUT http://api/x HTTP/1.0\r\n", "PUT http://api/x sent to s"),
        (resp((b"SET", b"order:7", b"secret")), "SET order:7 sent to s"),
        (resp((b"SET", b"lock:7", b"x", b"NX", b"exat", b"1790000000")), "SET lock:7 EXAT sent to s"),
        (resp((b"AUTH", b"user", b"secret")), "AUTH sent to s"),
        (resp((b"HELLO", b"3", b"AUTH", b"user", b"secret")), "HELLO sent to s"),
        (resp((b"MULTI",), (b"INCR", b"n"), (b"EXEC",)), "MULTI, INCR n, EXEC sent to s"),
        (resp(*[(b"GET", b"k%d" % n) for n in range(9)]), "GET k0, GET k1, GET k2, GET k3, GET k4, GET k5, … sent to s"),
        (resp(*[(b"GET", b"k")] * 7, (b"TIME",)), "GET k, GET k, GET k, GET k, GET k, GET k, TIME, … sent to s"),
        (resp((b"LPUSH", b"celery", PUBLISH)), "message of orders.charge published to s"),
        (resp((b"LLEN", b"celery\x06\x163"), (b"GET", b"a\nb")), "LLEN celery[priority=3], GET a\\nb sent to s"),
        (resp((b"SETEX", b"celery-task-meta-1", b"10", b"{}")), "result stored in s"),
        (resp((b"SET", b"k", b"x" * 5000))[:2048], "SET k sent to s"),
        (resp((b"EVAL", b"local now = redis.call('time')[1]", b"0")), "EVAL, TIME sent to s"),
        (b"*7", "data sent to s"),
        (b"*x\r\n", "data sent to s"),
        (b"MAIL FROM:<a@example.com>\r\n", "MAIL FROM sent to s"),
        (b"ehlo me\r\n", "EHLO sent to s"),
        (b"\x16\x03\x01\x02\x00", "a step of the TLS handshake sent to s"),
        (b"\x17\x03\x03\x02\x00", "encrypted data sent to s"),
        (b"\x00\x01", "data sent to s"),
        (b"", "data sent to s"),
    ],
)
def test_what_is_sent(data: bytes, expected: str) -> None:
    assert Conversations().words("socket:[1]", "s", data) == expected


def test_the_rest_of_a_request_and_a_mail_are_named_by_their_connection() -> None:
    words = Conversations()
    words.words("a", "api", b"POST /x HTTP/1.1\r\n")
    words.words("b", "mail", b"DATA\r\n")
    assert words.words("a", "api", b'{"n": 1}') == "the rest of POST /x sent to api"
    assert words.words("b", "mail", b"Subject: hello\r\n") == "the mail sent to mail"
    words.forget()
    assert words.words("a", "api", b"{}") == "data sent to api"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GET payment-17", "GET payment-203"),
        ("write to tmpab12cd_3", "write to tmpzz9_qq1x"),
        ("POST /x/8c6cbb0e-3c1c-4b0e-9f57-1d2c3b4a5968", "POST /x/00000000-3c1c-4b0e-9f57-000000000000"),
        ("SET lock-8c6cbb0e3c1c4b0e9f571d2c3b4a5968", "SET lock-aaaaaaaa3c1c4b0e9f571d2c3b4a5968"),
        ("SET s:Zk3J-aq_81LmNoPq", "SET s:aB1-defgHIJKLmn09"),
    ],
)
def test_what_varies_by_itself_does_not_count(one: str, other: str) -> None:
    assert without_varying(one) == without_varying(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("GET paid", "GET done"), ("write to a.txt", "write to b.txt"), ("POST /charges", "POST /refunds"), ("INCR n", "DECR n")],
)
def test_what_does_not_vary_counts(one: str, other: str) -> None:
    assert without_varying(one) != without_varying(other)


def test_addresses() -> None:
    four = struct.pack("=H", socket.AF_INET) + (8080).to_bytes(2, "big") + socket.inet_aton("10.0.0.7") + bytes(8)
    six = struct.pack("=H", socket.AF_INET6) + (53).to_bytes(2, "big") + bytes(4) + socket.inet_pton(socket.AF_INET6, "::1") + bytes(4)
    assert address_of(four) == ("10.0.0.7", 8080) and address_of(six) == ("::1", 53)
    assert address_of(struct.pack("=H", socket.AF_UNIX) + b"/run/x\0rest") == ("unix:/run/x", 0)
    assert address_of(struct.pack("=H", socket.AF_UNIX) + b"\0hidden") == ("unix:@hidden", 0)
    assert address_of(struct.pack("=H", socket.AF_UNSPEC)) is None and address_of(b"") is None
    assert address_of(struct.pack("=H", 40) + bytes(20)) == ("address family 40", 0)


def test_all_of_loopback_is_one() -> None:
    assert {normal(host) for host in ("localhost", "127.0.0.2", "::1", "::ffff:127.0.0.1")} == {"127.0.0.1"}
    assert normal("10.0.0.1") == "10.0.0.1" and normal("api.example.com") == "api.example.com"


@pytest.mark.parametrize(
    ("path", "kind", "service", "name"),
    [
        ("/data/shop/a.txt", "file", "files", "a.txt"),
        ("/data/shop/deep/b.txt", "file", "deep", "b.txt"),
        ("/data/shopper/a.txt", "other", "", "/data/shopper/a.txt"),
        ("/data/shop", "file", "files", "shop"),
        ("/logs/app.log", "", "", ""),
        ("/data/shop/a.txt (deleted)", "file", "files", "a.txt (deleted)"),  # so it is called
        ("pipe:[1]", "", "", ""),
        ("anon_inode:[eventfd]", "", "", ""),
        ("/dev/null", "", "", ""),
        ("/dev/nullable", "other", "", "/dev/nullable"),
        ("/dev/shm/x", "other", "", "/dev/shm/x"),
    ],
)
def test_files(path: str, kind: str, service: str, name: str) -> None:
    targets = Targets({}, {Path("/data/shop"): "files", Path("/data/shop/deep"): "deep"}, Path("/logs/app.log"))
    found = targets.of_file(path)
    assert (found.kind, found.service, found.name) == (kind, service, name)


def test_services() -> None:
    targets = Targets({("localhost", 80): "api"}, {}, Path("/logs/app.log"))
    assert targets.service_at(("::1", 80)) == "api" and targets.service_at(("127.0.0.1", 81)) == ""
