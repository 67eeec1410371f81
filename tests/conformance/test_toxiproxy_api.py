"""The HTTP API: every endpoint, what it refuses, and in which words. One body of tests for both servers."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.toxiproxy_support import DEADLINE, KINDS, Server, Upstream, dial, echo, ending, eventually, receive, serving


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.clear()


def bare(shown: dict[str, Any]) -> dict[str, Any]:
    """A proxy's JSON without the field in which the servers differ by agreement."""
    return {key: value for key, value in shown.items() if key != "Logger"}


def test_version(server: Server) -> None:
    status, body, _ = server.raw("GET", "/version")
    assert status == 200
    assert list(json.loads(body)) == ["version"]


def test_a_proxy_from_its_making_to_its_end(server: Server) -> None:
    assert server.ask("GET", "/proxies") == (200, {})
    wish = {"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}
    status, made = server.ask("POST", "/proxies", wish)
    assert status == 201
    assert bare(made) == {**wish, "listen": made["listen"], "enabled": True, "toxics": []}
    assert int(made["listen"].removeprefix("127.0.0.1:")) > 0
    assert server.ask("GET", "/proxies") == (200, {"p": made})
    assert server.ask("GET", "/proxies/p") == (200, made)
    assert server.ask("DELETE", "/proxies/p") == (204, None)
    assert server.ask("GET", "/proxies") == (200, {})


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_update_changes_what_it_names(server: Server, method: str) -> None:
    _, port = server.proxy(1)
    server.toxic("latency", latency=1)
    status, shown = server.ask(method, "/proxies/p", {"enabled": False})
    assert (status, shown["enabled"], shown["listen"]) == (200, False, f"127.0.0.1:{port}")
    assert [toxic["name"] for toxic in shown["toxics"]] == ["latency_downstream"]
    with pytest.raises(ConnectionRefusedError):
        dial(("127.0.0.1", port))
    status, shown = server.ask(method, "/proxies/p", {"enabled": True, "upstream": "127.0.0.1:2", "name": "other"})
    assert (status, shown["enabled"], shown["listen"], shown["upstream"]) == (200, True, f"127.0.0.1:{port}", "127.0.0.1:2")
    assert shown["name"] == "p"
    dial(("127.0.0.1", port)).close()
    status, shown = server.ask(method, "/proxies/p", {"listen": "localhost:0"})
    assert status == 200
    assert shown["enabled"]
    assert shown["listen"].startswith("127.0.0.1:")
    assert not shown["listen"].endswith(f":{port}")


def test_a_proxy_made_disabled_listens_when_enabled(server: Server) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    status, made = server.ask("POST", "/proxies", {"name": "p", "listen": listen, "upstream": "127.0.0.1:1", "enabled": False})
    assert (status, made["enabled"], made["listen"]) == (201, False, listen)
    assert server.ask("PATCH", "/proxies/p", {"enabled": True})[1]["enabled"]
    dial(("127.0.0.1", int(listen.rpartition(":")[2]))).close()


def test_a_toxic_from_its_making_to_its_end(server: Server) -> None:
    server.proxy(1)
    made = {
        "attributes": {"latency": 5, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
    }
    assert server.ask("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 5}}) == (200, made)
    assert server.ask("GET", "/proxies/p/toxics") == (200, [made])
    assert server.ask("GET", "/proxies/p/toxics/latency_downstream") == (200, made)
    change = {"attributes": {"jitter": 2}, "toxicity": 0.5, "stream": "upstream", "name": "other", "type": "timeout"}
    changed = {**made, "attributes": {"latency": 5, "jitter": 2}, "toxicity": 0.5}
    for method in ("PATCH", "POST"):
        assert server.ask(method, "/proxies/p/toxics/latency_downstream", change) == (200, changed)
    assert server.ask("GET", "/proxies/p")[1]["toxics"] == [changed]
    assert server.ask("DELETE", "/proxies/p/toxics/latency_downstream") == (204, None)
    assert server.ask("GET", "/proxies/p/toxics") == (200, [])


TYPES = {
    "bandwidth": {"rate": 0},
    "latency": {"latency": 0, "jitter": 0},
    "limit_data": {"bytes": 0},
    "noop": {},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 0, "size_variation": 0, "delay": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
}


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("type_", TYPES)
def test_every_type_on_either_stream_with_its_defaults(server: Server, type_: str, stream: str) -> None:
    server.proxy(1)
    status, made = server.ask("POST", "/proxies/p/toxics", {"type": type_, "stream": stream})
    assert status == 200
    assert made == {"attributes": TYPES[type_], "name": f"{type_}_{stream}", "type": type_, "stream": stream, "toxicity": 1}


def test_toxics_are_shown_upstream_first_each_in_order(server: Server) -> None:
    server.proxy(1)
    for name, stream in (("d1", "downstream"), ("u1", "upstream"), ("d2", "Downstream"), ("u2", "UPSTREAM")):
        assert server.ask("POST", "/proxies/p/toxics", {"type": "latency", "stream": stream, "name": name})[0] == 200
    assert [toxic["name"] for toxic in server.ask("GET", "/proxies/p/toxics")[1]] == ["u1", "u2", "d1", "d2"]


def test_reset_enables_all_and_removes_every_toxic(server: Server) -> None:
    server.proxy(1, "a")
    server.proxy(1, "b", enabled=True)
    server.ask("PATCH", "/proxies/a", {"enabled": False})
    server.toxic("latency", proxy="b", latency=1)
    server.toxic("timeout", "upstream", proxy="b")
    assert server.ask("POST", "/reset") == (204, None)
    assert [(proxy["enabled"], proxy["toxics"]) for proxy in server.ask("GET", "/proxies")[1].values()] == [(True, []), (True, [])]


def test_populate_makes_leaves_and_replaces(server: Server) -> None:
    first = [{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]
    status, made = server.ask("POST", "/populate", [*first, {"name": "b", "listen": "127.0.0.1:0", "upstream": "u:1", "enabled": False}])
    assert status == 201
    a, b = made["proxies"]
    assert (a["name"], a["enabled"], b["enabled"]) == ("a", True, False)
    server.toxic("latency", proxy="a", latency=1)
    again = {"name": "a", "listen": a["listen"], "upstream": "127.0.0.1:1"}
    kept = server.ask("POST", "/populate", [again])[1]["proxies"][0]
    assert [toxic["type"] for toxic in kept["toxics"]] == ["latency"]
    replaced = server.ask("POST", "/populate", [{**again, "upstream": "127.0.0.1:2"}])[1]["proxies"][0]
    assert (replaced["toxics"], replaced["upstream"]) == ([], "127.0.0.1:2")
    assert server.ask("POST", "/populate", []) == (201, {"proxies": None})


def test_populate_refuses_as_a_whole_what_lacks_a_field(server: Server) -> None:
    good = {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}
    for bad, field in (({"name": "b"}, "upstream"), ({"upstream": "u:1"}, "name")):
        status, body = server.ask("POST", "/populate", [good, bad])
        assert (status, body) == (400, {"error": f"missing required field: {field} at proxy 2", "status": 400, "proxies": None})
    assert server.ask("POST", "/populate", good)[1]["error"].startswith("bad request body: ")
    assert server.ask("GET", "/proxies")[1] == {}


def test_populate_from_a_file_at_the_start(tmp_path: Any) -> None:
    config = tmp_path / "proxies.json"
    config.write_text(json.dumps([{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]))
    for kind in KINDS:
        with serving(kind, "-config", str(config)) as server:
            eventually(lambda server=server: list(server.ask("GET", "/proxies")[1]) == ["a"])  # it answers before it has read the file
        with serving(kind, "-config", str(tmp_path / "absent")) as server:
            assert server.ask("GET", "/proxies")[1] == {}


REFUSALS = [
    ("GET", "/proxies/none", None, 404, "proxy not found"),
    ("PATCH", "/proxies/none", {}, 404, "proxy not found"),
    ("DELETE", "/proxies/none", None, 404, "proxy not found"),
    ("GET", "/proxies/none/toxics", None, 404, "proxy not found"),
    ("POST", "/proxies/none/toxics", {"type": "latency"}, 404, "proxy not found"),
    ("GET", "/proxies/none/toxics/t", None, 404, "proxy not found"),
    ("GET", "/proxies/p/toxics/none", None, 404, "toxic not found"),
    ("PATCH", "/proxies/p/toxics/none", {}, 404, "toxic not found"),
    ("DELETE", "/proxies/p/toxics/none", None, 404, "toxic not found"),
    ("POST", "/proxies", {"name": "p", "upstream": "u:1", "listen": "127.0.0.1:0"}, 409, "proxy already exists"),
    ("POST", "/proxies", {"upstream": "u:1"}, 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "q"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {}, 400, "missing required field: name"),
    ("POST", "/proxies/p/toxics", {"type": "latency"}, 409, "toxic already exists"),
    ("POST", "/proxies/p/toxics", {"type": "timeout", "name": "latency_downstream"}, 409, "toxic already exists"),
    ("POST", "/proxies/p/toxics", {"type": "fire"}, 400, "invalid toxic type"),
    ("POST", "/proxies/p/toxics", {}, 400, "invalid toxic type"),
    (
        "POST",
        "/proxies/p/toxics",
        {"type": "timeout", "stream": "sideways"},
        400,
        "stream was invalid, can be either upstream or downstream",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "error"), REFUSALS)
def test_refusals(server: Server, method: str, path: str, body: Any, status: int, error: str) -> None:
    server.proxy(1)
    server.toxic("latency")
    assert server.ask(method, path, body) == (status, {"error": error, "status": status})


BAD = [
    ("POST", "/proxies", b""),
    ("POST", "/proxies", b"{"),
    ("POST", "/proxies", b"no json"),
    ("POST", "/proxies", b"[]"),
    ("POST", "/proxies", b'"text"'),
    ("POST", "/proxies", b'{"name": 5, "upstream": "u:1"}'),
    ("POST", "/proxies", b'{"name": "q", "upstream": "u:1", "enabled": "yes"}'),
    ("PATCH", "/proxies/p", b'{"enabled": 1}'),
    ("PATCH", "/proxies/p", b""),
    ("POST", "/populate", b"{"),
    ("POST", "/proxies/p/toxics", b""),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "toxicity": "1"}'),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "attributes": []}'),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "attributes": {"timeout": "5"}}'),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "attributes": {"timeout": 1.5}}'),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "attributes": {"timeout": true}}'),
    ("POST", "/proxies/p/toxics", b'{"type": "timeout", "attributes": {"timeout": 9223372036854775808}}'),
    ("PATCH", "/proxies/p/toxics/latency_downstream", b'{"attributes": {"latency": "5"}}'),
    ("PATCH", "/proxies/p/toxics/latency_downstream", b""),
    ("PATCH", "/proxies/p/toxics/latency_downstream", b"nothing"),
]


@pytest.mark.parametrize(("method", "path", "body"), BAD)
def test_bad_bodies_are_refused_and_change_nothing(server: Server, method: str, path: str, body: bytes) -> None:
    server.proxy(1)
    server.toxic("latency", latency=3)
    before = server.ask("GET", "/proxies")
    status, found, _ = server.raw(method, path, body)
    assert status == 400
    refusal = json.loads(found)
    assert set(refusal) - {"proxies"} == {"error", "status"}
    assert refusal["status"] == 400
    assert refusal["error"].startswith("bad request body: ")
    assert server.ask("GET", "/proxies") == before


LENIENT = [
    b'{"TYPE": "timeout", "Stream": "upstream"}',
    b'{"type": "timeout", "stream": "upstream", "unknown": 1, "attributes": {"unknown": "x"}}',
    b'{"type": "timeout", "stream": "upstream", "toxicity": null, "attributes": null, "name": null}',
    b'{"type": "timeout", "stream": "upstream"} and more',
]


@pytest.mark.parametrize("body", LENIENT)
def test_bodies_that_are_read_leniently(server: Server, body: bytes) -> None:
    server.proxy(1)
    assert server.raw("POST", "/proxies/p/toxics", body)[0] == 200
    shown = {"attributes": {"timeout": 0}, "name": "timeout_upstream", "type": "timeout", "stream": "upstream", "toxicity": 1}
    assert server.ask("GET", "/proxies/p/toxics")[1] == [shown]


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "1.2.3.4.5:1", "192.0.2.1:0"])
def test_an_address_that_cannot_be_listened_on(server: Server, listen: str) -> None:
    status, body = server.ask("POST", "/proxies", {"name": "q", "upstream": "u:1", "listen": listen})
    assert (status, body["status"]) == (500, 500)
    assert body["error"].startswith("listen tcp")
    assert server.ask("GET", "/proxies") == (200, {})


def test_a_port_in_use(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        status, body = server.ask("POST", "/proxies", {"name": "q", "upstream": "u:1", "listen": listen})
        assert (status, body["error"]) == (500, f"listen tcp {listen}: bind: address already in use")
        server.proxy(1)
        status, body = server.ask("PATCH", "/proxies/p", {"listen": listen})
        assert status == 500
        assert server.ask("GET", "/proxies/p")[1]["enabled"] is False


def test_paths_and_methods_that_are_none(server: Server) -> None:
    server.proxy(1)
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/proxies/", 404),
        ("GET", "/proxies/p/nothing", 404),
        ("GET", "/proxies/p/toxics/t/more", 404),
        ("GET", "/reset", 405),
        ("PUT", "/proxies", 405),
        ("DELETE", "/proxies", 405),
        ("PUT", "/proxies/p/toxics", 405),
    ):
        assert server.raw(method, path)[0] == status, (method, path)


def test_names_are_decoded(server: Server) -> None:
    server.proxy(1, "a b%c")
    assert server.ask("GET", "/proxies/a%20b%25c")[1]["name"] == "a b%c"
    assert server.ask("DELETE", "/proxies/a%20b%25c")[0] == 204


def test_what_a_browser_asks_is_refused(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    connection.request("GET", "/proxies", headers={"User-Agent": "Mozilla/5.0"})
    assert connection.getresponse().status == 403
    connection.close()


def test_a_connection_stays_open_for_more_requests(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    body = json.dumps({"name": "p", "upstream": "u:1", "listen": "127.0.0.1:0"})
    for method, path, content, status in (
        ("GET", "/version", None, 200),
        ("POST", "/proxies", body, 201),
        ("POST", "/proxies", body, 409),
        ("DELETE", "/proxies/p", None, 204),
        ("GET", "/nothing", None, 404),
        ("GET", "/proxies", None, 200),
    ):
        connection.request(method, path, content)
        own = connection.sock.getsockname()
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
        assert connection.sock is not None
        assert connection.sock.getsockname() == own
    connection.close()


def test_a_body_in_chunks(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    parts = [b'{"name": "p", "list', b'en": "127.0.0.1:0", "upstream": "u:1"}']
    connection.request("POST", "/proxies", iter(parts), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 201
    connection.close()


def test_the_same_request_many_times_at_once(server: Server) -> None:
    wish = {"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        made = [answer[0] for answer in pool.map(lambda _: server.ask("POST", "/proxies", wish), range(32))]
        added = [answer[0] for answer in pool.map(lambda _: server.ask("POST", "/proxies/p/toxics", {"type": "latency"}), range(32))]
        gone = [answer[0] for answer in pool.map(lambda _: server.ask("DELETE", "/proxies/p"), range(32))]
    assert sorted(made) == [201] + [409] * 31
    assert sorted(added) == [200] + [409] * 31
    assert sorted(gone) == [204] + [404] * 31


def test_bytes_are_counted_once_a_connection_has_closed(server: Server) -> None:
    upstream = Upstream(echo)
    try:
        with dial(server.proxy(upstream.port, "counted-here")) as client:
            client.sendall(b"x" * 1000)
            assert receive(client, 1000) == b"x" * 1000
            client.shutdown(socket.SHUT_WR)
            assert ending(client) == "end"
        eventually(lambda: len(server.counted("counted-here")) == 4 and set(server.counted("counted-here").values()) == {1000})
        status, body, kind = server.raw("GET", "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert b"# TYPE toxiproxy_proxy_received_bytes_total counter" in body
        assert b"# TYPE toxiproxy_proxy_sent_bytes_total counter" in body
    finally:
        upstream.close()
