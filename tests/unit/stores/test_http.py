from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.stores._http_server import Request
from harness.stores.http import HttpParameters, HttpStore
from tests.unit.brokers.servers import eventually
from tests.unit.stores.hosts import FolderHost

JSON = {"Content-Type": "application/json"}


class Api:
    def __init__(self, store: HttpStore) -> None:
        self.store = store
        self.address = store.addresses()[0]

    def client(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection(*self.address, timeout=10))

    def send(self, body: Any = None, key: str = "", path: str = "/charges", method: str = "POST", **headers: str) -> tuple[int, Any]:
        headers = {**JSON, **({"Idempotency-Key": key} if key else {}), **headers}
        with self.client() as client:
            client.request(method, path, None if body is None else json.dumps(body), headers)
            answer = client.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def rows(self) -> list[Any]:
        return [dict(row) for row in self.store.observe().collections["requests"].rows]


@pytest.fixture
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    parameters = {"idempotency_key": "Idempotency-Key", **getattr(request, "param", {})}
    store = HttpStore("card_api", HttpParameters.model_validate(parameters))
    store.start(FolderHost(tmp_path))
    yield Api(store)
    store.stop()


def programmed(**route: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("api", [{"routes": [route]}], indirect=True)


def test_an_accepted_request_is_an_effect(api: Api) -> None:
    assert api.send({"amount": 3}, path="/charges?a=1&a=2&b=") == (200, {"ok": True})
    assert api.rows() == [
        {"method": "POST", "path": "/charges", "query": {"a": ["1", "2"], "b": ""}, "body": {"amount": 3}, "key": None, "headers": {}}
    ]


def test_a_repeat_with_the_key_is_answered_as_before_and_no_effect(api: Api) -> None:
    assert api.send({"amount": 3}, "k1") == api.send({"amount": 3}, "k1") == (200, {"ok": True})
    api.send({"amount": 3}, "k2")
    api.send({"amount": 3}, "k1", path="/refunds")
    assert [(row["path"], row["key"]) for row in api.rows()] == [("/charges", "k1"), ("/charges", "k2"), ("/refunds", "k1")]
    assert api.store.numbers() == {"accepted": 3, "repeated": 1, "refused": 0}


def test_without_the_key_every_request_is_an_effect(api: Api) -> None:
    for _ in range(3):
        api.send({"amount": 3})
    assert len(api.rows()) == 3


@pytest.mark.parametrize("api", [{"idempotency_key": "body.order.id"}], indirect=True)
def test_a_key_in_the_body(api: Api) -> None:
    for number in (1, 1, 2, "2", None, None):
        api.send({"order": {"id": number}})
    api.send({"order": 3})
    api.send([1])
    assert [row["key"] for row in api.rows()] == ["1", "2", None, None, None, None]


def test_at_the_same_moment_one_of_two_is_the_first(api: Api) -> None:
    threads = [threading.Thread(target=api.send, args=({"a": 1}, "same")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.rows()) == 1
    assert api.store.numbers() == {"accepted": 1, "repeated": 19, "refused": 0}


def test_the_log_has_times_and_outcomes(api: Api) -> None:
    begun = time.monotonic()
    api.send({}, "k")
    api.send({}, "k")
    first, second = api.store.log()
    assert first[1:5] == ("POST", "/charges", "k", "accepted") and second.outcome == "repeated"
    (row,) = api.rows()
    assert first.row == second.row == row
    seen = [(e.text, e.outcome, e.row) for e in api.store.effects()]
    assert seen == [("POST /charges", "accepted", row), ("POST /charges", "repeated", row)]
    assert begun <= first.at <= second.at <= time.monotonic()


@programmed(method="post", path="/charges/*", status=201, body={"id": 7})
def test_status_and_body_and_the_first_route_that_matches(api: Api) -> None:
    assert api.send(path="/charges/1") == (201, {"id": 7})
    assert api.send(path="/charges") == (200, {"ok": True})
    assert api.send(path="/charges/1", method="PUT") == (200, {"ok": True})


@programmed(status=402, body={"error": "card declined"})
def test_an_answer_from_400_on_is_no_effect(api: Api) -> None:
    assert api.send({}, "k") == api.send({}, "k") == (402, {"error": "card declined"})
    assert api.rows() == []
    assert api.store.numbers() == {"accepted": 0, "repeated": 0, "refused": 2}


@programmed(fail_first=2)
def test_the_first_n_fail(api: Api) -> None:
    assert [api.send({}, f"k{n}")[0] for n in range(4)] == [503, 503, 200, 200]
    assert [row["key"] for row in api.rows()] == ["k2", "k3"]
    assert [(e.outcome, e.status) for e in api.store.effects()] == [("refused", 503)] * 2 + [("accepted", 200)] * 2


@programmed(fail="once", fail_status=500)
def test_each_key_fails_once(api: Api) -> None:
    assert [api.send({}, key)[0] for key in ("a", "b", "a", "b", "a")] == [500, 500, 200, 200, 200]
    assert [api.send({"n": n})[0] for n in (1, 2, 1)] == [500, 500, 200]


@programmed(fail="always")
def test_for_ever(api: Api) -> None:
    assert {api.send({}, "k")[0] for _ in range(5)} == {503}
    assert api.rows() == []


@programmed(drop="after_accept")
def test_dropped_after_the_effect_and_answered_when_repeated(api: Api) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        api.send({"amount": 1}, "k")
    assert len(api.rows()) == 1
    assert api.send({"amount": 1}, "k") == (200, {"ok": True})
    assert len(api.rows()) == 1
    assert [(e.outcome, e.status) for e in api.store.effects()] == [("accepted", 0), ("repeated", 200)], "0: no answer was sent"
    with pytest.raises(http.client.RemoteDisconnected):
        api.send({"amount": 2})
    assert api.send({"amount": 2}) == (200, {"ok": True})
    assert [row["body"]["amount"] for row in api.rows()] == [1, 2, 2], "without a key the repeat charges twice"


@pytest.mark.parametrize(
    "api", [{"routes": [route]} for route in ({"fail_first": 1}, {"fail": "once"}, {"drop": "after_accept"})], indirect=True
)
def test_what_a_retry_would_overcome_is_off_in_a_clean_pass(api: Api) -> None:
    """A retry there would leave its effects in the reference of one clean execution."""
    api.store.begin_pass(clean=True)
    assert [api.send({"n": n})[0] for n in (1, 1, 2)] == [200, 200, 200]
    api.store.clear()
    api.store.begin_pass(clean=False)
    try:
        refused = api.send({"n": 1})[0] == 503
    except http.client.RemoteDisconnected:
        refused = True
    assert refused and api.send({"n": 1})[0] == 200


@pytest.mark.parametrize("api", [{"routes": [route]} for route in ({"fail": "always"}, {"status": 503})], indirect=True)
def test_how_the_service_is_stays_so_in_a_clean_pass(api: Api) -> None:
    api.store.begin_pass(clean=True)
    assert {api.send({"n": 1})[0] for _ in range(3)} == {503}
    assert api.rows() == []


@programmed(delay="30s")
def test_a_delayed_answer_is_an_effect_at_once_and_does_not_hold_up_the_end(api: Api) -> None:
    with api.client() as client:
        client.request("POST", "/charges", "{}", JSON)
        eventually(api.rows)
        begun = time.monotonic()
        api.store.stop()
        assert time.monotonic() - begun < 5


def waits(api: Api, requests: int) -> list[float]:
    """Seconds until the server would answer each of so many requests that come at once; nobody waits for any."""
    return [api.store._answer(Request("POST", "/x", "", {}, b"")).delay for _ in range(requests)]


@programmed(delay="10s", capacity=2)
def test_so_many_at_a_time_and_the_others_wait_in_line_also_for_those_that_gave_up(api: Api) -> None:
    assert waits(api, 5) == pytest.approx([10, 10, 20, 20, 30], abs=1)
    api.store.clear()
    assert waits(api, 1) == pytest.approx([10], abs=1), "emptied: nobody is in line"
    api.store.begin_pass(clean=True)
    assert waits(api, 5) == [10] * 5, "a clean pass is free of what trying again overcomes"


@programmed(delay="200ms", capacity=1)
def test_a_place_is_free_again_after_its_time(api: Api) -> None:
    begun = time.monotonic()
    assert [api.send({"n": n})[0] for n in range(3)] == [200] * 3
    assert time.monotonic() - begun >= 0.6
    with api.client() as client:
        client.request("POST", "/charges", "{}", JSON)  # and gone
    eventually(lambda: len(api.rows()) == 4)
    assert waits(api, 1)[0] > 0.2


@pytest.mark.parametrize("api", [{"routes": [{"path": "/a", "delay": "10s", "capacity": 1}, {"delay": "1s"}]}], indirect=True)
def test_each_route_has_a_line_of_its_own(api: Api) -> None:
    asked = [api.store._answer(Request("POST", path, "", {}, b"")).delay for path in ("/a", "/b", "/a", "/b")]
    assert asked == pytest.approx([10, 1, 20, 1], abs=0.9)


def test_connections_are_kept_and_freed(api: Api) -> None:
    before = threading.active_count()
    with api.client() as client:
        for _ in range(20):
            client.request("POST", "/charges", "{}", JSON)
            assert client.getresponse().read()
        assert threading.active_count() == before + 1
        api.store.stop()
    assert threading.active_count() == before - 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(api.address, timeout=5)


@pytest.mark.parametrize("api", [{"headers": ["X-Tenant", "X-None"]}], indirect=True)
def test_chosen_headers_belong_to_the_effect_and_secrets_never(api: Api) -> None:
    api.send({}, Authorization="Bearer secret", Cookie="secret", **{"X-Tenant": "blue"})
    (row,) = api.rows()
    assert row["headers"] == {"X-Tenant": "blue", "X-None": None}
    assert "secret" not in repr((row, api.store.log()))
    for name in ("Authorization", "cookie", "Set-Cookie"):
        with pytest.raises(ValidationError, match="secret"):
            HttpParameters(headers=(name,))


@pytest.mark.parametrize("api", [{"ignore_methods": ["GET"]}], indirect=True)
def test_reads_may_be_left_out(api: Api) -> None:
    assert api.send(method="GET") == (200, {"ok": True})
    assert api.rows() == []
    assert api.send(method="DELETE") == (200, {"ok": True})
    assert [row["method"] for row in api.rows()] == ["DELETE"]


def test_forms_text_and_bytes(api: Api) -> None:
    for kind, body in (
        ("application/x-www-form-urlencoded; charset=utf-8", b"amount=3&tag=a&tag=b"),
        ("text/plain", "ü".encode()),
        ("application/octet-stream", b"\xff\x00"),
        ("application/json", b"{broken"),
        ("application/problem+json", b"[1]"),
        ("application/json", b""),
    ):
        with api.client() as client:
            client.request("POST", "/x", body, {"Content-Type": kind})
            assert client.getresponse().status == 200
    assert [row["body"] for row in api.rows()] == [{"amount": "3", "tag": ["a", "b"]}, "ü", "x'ff00'", "{broken", [1], None]


def test_chunked_bodies(api: Api) -> None:
    with api.client() as client:
        client.request("POST", "/x", iter([b'{"a"', b": 1}"]), JSON, encode_chunked=True)
        assert client.getresponse().status == 200
    assert [row["body"] for row in api.rows()] == [{"a": 1}]


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"nonsense\r\n\r\n",
        b"POST / HT",
    ],
)
def test_half_a_request_was_never_made(api: Api, data: bytes) -> None:
    assert not api.raw(data).startswith(b"HTTP/1.1 200")
    assert api.rows() == [] and api.store.log() == []
    assert api.send({})[0] == 200


@programmed(method="POST", status=204)
def test_answers_without_a_body(api: Api) -> None:
    assert api.send({}) == (204, None)
    assert api.send(method="HEAD") == (200, None)


def test_attempts_belong_to_the_image(tmp_path: Path) -> None:
    store = HttpStore("api", HttpParameters.model_validate({"idempotency_key": "Idempotency-Key", "routes": [{"fail": "once"}]}))
    store.start(FolderHost(tmp_path))
    try:
        api, image = Api(store), store.save()
        for _ in range(2):
            assert [api.send({}, "k")[0] for _ in range(2)] == [503, 200]
            store.restore(image)
            assert api.rows() == []
    finally:
        store.stop()


@pytest.mark.parametrize(
    "route",
    [{"status": 99}, {"delay": 3}, {"drop": "before"}, {"unknown": 1}, {"fail": "twice"}, {"capacity": 2}, {"capacity": 0, "delay": "1s"}],
)
def test_bad_routes_are_refused(route: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpParameters.model_validate({"routes": [route]})


def test_the_app_is_told_where_the_runtime_shows_it(tmp_path: Path) -> None:
    class Elsewhere(FolderHost):
        def expose(self, name: str, port: int) -> tuple[str, int]:
            self.called.append((name, port))
            return "gateway", 8080

    store, host = HttpStore("card_api", HttpParameters()), Elsewhere(tmp_path)
    store.start(host)
    try:
        assert store.offers() == {"url": "http://gateway:8080", "host": "gateway", "port": "8080"}
        assert store.addresses() == (("gateway", 8080),)
        ((name, port),) = host.called
        assert name == "card_api"
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
            client.request("POST", "/charges")
            assert client.getresponse().status == 200
    finally:
        store.stop()
