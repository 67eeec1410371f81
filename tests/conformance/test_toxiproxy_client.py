"""The client, against both servers and against what is no server: every call ends in time and says whose fault it was."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.netproxy.client import Proxies, ProxyLink
from harness.ports.network import Link, Toxic, Traffic
from tests.conformance.toxiproxy_support import (
    KINDS,
    Server,
    Upstream,
    dial,
    echo,
    ending,
    eventually,
    receive,
    serving,
    silent,
)
from tests.ports import free_port


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.clear()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream(echo)
    yield found
    found.close()


@pytest.fixture
def proxies(server: Server) -> Proxies:
    return Proxies("127.0.0.1", server.port)


@pytest.fixture
def link(proxies: Proxies, upstream: Upstream) -> ProxyLink:
    return proxies.create("pay-1", "broker", listen="127.0.0.1:0", upstream=f"127.0.0.1:{upstream.port}")


def answers(address: tuple[str, int]) -> bool:
    with dial(address) as client:
        client.sendall(b"ping")
        return receive(client, 4) == b"ping"


def test_a_server_and_its_links(proxies: Proxies, link: ProxyLink, upstream: Upstream) -> None:
    as_link: Link = link
    assert (as_link.client, as_link.dependency, link.name) == ("pay-1", "broker", "pay-1--broker")
    assert proxies.ready()
    assert proxies.version()
    assert answers(link.address)
    assert [(found.client, found.dependency, found.address) for found in proxies.links()] == [("pay-1", "broker", link.address)]
    again = proxies.create("pay-1", "broker", listen="127.0.0.1:0", upstream=f"127.0.0.1:{upstream.port}")
    assert answers(again.address)
    assert len(proxies.links()) == 1
    proxies.delete(again)
    proxies.delete(again)
    assert proxies.links() == []


def test_names_that_need_quoting(proxies: Proxies, upstream: Upstream) -> None:
    link = proxies.create("a b?c", "d#e%f", listen="127.0.0.1:0", upstream=f"127.0.0.1:{upstream.port}")
    link.add(Toxic("latency", attributes={"latency": 1}, name="my toxic?"))
    assert link.toxics() == ["my toxic?"]
    link.add(Toxic("latency", attributes={"latency": 2}, name="my toxic?"))
    link.add(Toxic("timeout", name="my toxic?"))
    link.disable()
    link.enable()
    link.remove("my toxic?")
    assert link.toxics() == []
    assert proxies.links()[0].name == "a b?c--d#e%f"


def test_toxics_are_added_replaced_and_removed(server: Server, link: ProxyLink) -> None:
    def shown() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.ask("GET", "/proxies/pay-1--broker/toxics")[1]
        return found

    link.add(Toxic("latency", "upstream", {"latency": 300, "jitter": 10}, toxicity=0.5))
    assert [(t["name"], t["attributes"], t["toxicity"]) for t in shown()] == [("latency_upstream", {"latency": 300, "jitter": 10}, 0.5)]
    link.add(Toxic("latency", "upstream", {"latency": 200}))
    assert [(t["attributes"], t["toxicity"]) for t in shown()] == [({"latency": 200, "jitter": 0}, 1)]
    link.add(Toxic("bandwidth", "downstream", {"rate": 9}, name="latency_upstream"))
    assert [(t["type"], t["stream"]) for t in shown()] == [("bandwidth", "downstream")]
    link.remove("latency_upstream")
    link.remove("latency_upstream")
    assert link.toxics() == []


def test_replacing_a_toxic_keeps_connections(link: ProxyLink) -> None:
    link.add(Toxic("limit_data", attributes={"bytes": 1000}))
    with dial(link.address) as client:
        client.sendall(b"x" * 10)
        receive(client, 10)
        link.add(Toxic("limit_data", attributes={"bytes": 15}))
        client.sendall(b"y" * 10)
        assert receive(client, 10) == b"y" * 5


def test_a_misspelt_attribute_and_type_are_said(link: ProxyLink) -> None:
    with pytest.raises(EnvironmentFault, match=r"pay-1--broker.*takes no delay; it has jitter, latency"):
        link.add(Toxic("latency", attributes={"delay": 5}))
    assert link.toxics() == []
    with pytest.raises(EnvironmentFault, match=r"refused to take the toxic fire_downstream.*400 invalid toxic type"):
        link.add(Toxic("fire"))


def test_disable_and_enable(link: ProxyLink) -> None:
    address = link.address
    with dial(address) as client:
        client.sendall(b"x")
        receive(client, 1)
        link.disable()
        link.disable()
        assert not link.enabled()
        assert ending(client) == "end"
    with pytest.raises(ConnectionRefusedError):
        dial(address)
    link.enable()
    link.enable()
    assert link.enabled()
    assert link.address == address
    assert answers(address)


def test_reset_heals_everything(proxies: Proxies, link: ProxyLink) -> None:
    link.disable()
    link.add(Toxic("timeout"))
    proxies.reset()
    assert link.enabled()
    assert link.toxics() == []
    assert answers(link.address)


def test_traffic_counts_from_the_links_making(proxies: Proxies, upstream: Upstream) -> None:
    listen = f"127.0.0.1:{free_port()}"
    for _ in range(2):  # the second has the first one's name and address
        link = proxies.create("pay-1", "counted", listen=listen, upstream=f"127.0.0.1:{upstream.port}")
        assert link.traffic() == Traffic()
        with dial(link.address) as client:
            client.sendall(b"x" * 1000)
            receive(client, 1000)
            client.shutdown(socket.SHUT_WR)
            assert ending(client) == "end"
        eventually(lambda link=link: link.traffic() == Traffic(1000, 1000, 1000, 1000))


def test_traffic_shows_what_a_blackhole_lost(link: ProxyLink) -> None:
    link.add(Toxic("timeout", "upstream"))
    with dial(link.address) as client:
        client.sendall(b"x" * 500)
        assert silent(client)
        link.remove("timeout_upstream")  # closes
        assert ending(client) in ("end", "reset")
    eventually(lambda: link.traffic().kept == 500)
    assert link.traffic().passed == 0


def test_servers_and_threads_do_not_get_in_one_anothers_way(server: Server) -> None:
    import toxiproxy

    before = (toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port)
    failures: list[BaseException] = []
    with serving(server.kind) as other:
        both = [Proxies("127.0.0.1", each.port) for each in (server, other)]

        def work(which: int, name: str) -> None:
            try:
                for number in range(10):
                    link = both[which].create(name, str(number), listen="127.0.0.1:0", upstream="127.0.0.1:1")
                    link.add(Toxic("latency", attributes={"latency": number}))
                    assert link.toxics() == ["latency_downstream"]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n % 2, f"{'ab'[n % 2]}{n}")) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        for which, letter in enumerate("ab"):
            names = [link.name for link in both[which].links()]
            assert len(names) == 30
            assert all(name.startswith(letter) for name in names)
    assert (toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port) == before


def test_no_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Proxies("127.0.0.1", server.port).ready()


# What is no server.


def trickle(connection: socket.socket) -> None:
    """A reply that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-A: b\r\n")
        time.sleep(0.05)


def hang(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


CALLS: dict[str, tuple[Callable[[Proxies, ProxyLink], object], str]] = {
    "version": (lambda proxies, link: proxies.version(), "say its version"),
    "create": (lambda proxies, link: proxies.create("a", "b", listen="127.0.0.1:0", upstream="u:1"), "proxy a--b of"),
    "delete": (lambda proxies, link: proxies.delete(link), "pay-1--broker"),
    "links": (lambda proxies, link: proxies.links(), "name its proxies"),
    "reset": (lambda proxies, link: proxies.reset(), "remove every toxic"),
    "add": (lambda proxies, link: link.add(Toxic("latency")), "pay-1--broker.*take the toxic latency_downstream"),
    "remove": (lambda proxies, link: link.remove("t"), "pay-1--broker.*remove the toxic t"),
    "toxics": (lambda proxies, link: link.toxics(), "pay-1--broker.*name its toxics"),
    "disable": (lambda proxies, link: link.disable(), "pay-1--broker.*close all connections"),
    "enable": (lambda proxies, link: link.enable(), "pay-1--broker.*listen again"),
    "enabled": (lambda proxies, link: link.enabled(), "pay-1--broker.*whether it listens"),
    "traffic": (lambda proxies, link: link.traffic(), "pay-1--broker.*count its bytes"),
}


@pytest.fixture(scope="module")
def healthy() -> Iterator[Server]:
    with serving("embedded") as server:
        yield server


def gone_wrong(healthy: Server, port: int, timeout: float) -> tuple[Proxies, ProxyLink]:
    """A client and a link that were fine until another took the server's place."""
    proxies = Proxies("127.0.0.1", healthy.port, timeout=5)
    link = proxies.create("pay-1", "broker", listen="127.0.0.1:0", upstream="127.0.0.1:1")
    proxies.port, proxies.timeout = port, timeout
    return proxies, link


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("serve", [hang, trickle])
def test_a_server_that_hangs(healthy: Server, serve: Callable[[socket.socket], None], call: str) -> None:
    hanging = Upstream(serve)
    try:
        proxies, link = gone_wrong(healthy, hanging.port, 0.3)
        what, words = CALLS[call]
        began = time.monotonic()
        with pytest.raises(EnvironmentFault, match=r"hangs: asked to .* no answer within 0\.3 s") as caught:
            what(proxies, link)
        assert time.monotonic() - began < 20
        assert caught.match(words)
        assert caught.value.hint
        assert not proxies.ready()
    finally:
        hanging.close()


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_not_there(healthy: Server, call: str) -> None:
    proxies, link = gone_wrong(healthy, free_port(), 5)
    what, words = CALLS[call]
    with pytest.raises(EnvironmentFault, match=r"cannot be reached, asked to .*: the connection was refused") as caught:
        what(proxies, link)
    assert caught.match(words)
    assert not proxies.ready()


def say(reply: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reply)

    return serve


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is no Toxiproxy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no Toxiproxy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "cannot be reached"),
        (b"220 smtp ready\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "refused to .*: 503 busy"),
    ],
)
def test_something_else_answers(healthy: Server, reply: bytes, words: str) -> None:
    stranger = Upstream(say(reply))
    try:
        proxies, link = gone_wrong(healthy, stranger.port, 2)
        for call in (proxies.version, link.enabled):
            with pytest.raises(EnvironmentFault, match=words):
                call()
        assert not proxies.ready()
    finally:
        stranger.close()
