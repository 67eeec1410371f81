"""A client that has shown its password and is not in yet, as its server changes hands: it never comes in."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.ports.broker import Endpoint
from tests.conformance.hands_support import Hands, handed_over
from tests.parts import parts

__all__ = ["handed_over"]  # a fixture

_SECONDS = 20


class Doorway:
    """Passes a connection on, and holds what the client sends after its first ``words`` packets until it is told to let go."""

    def __init__(self, end: Endpoint, words: int) -> None:
        self._end, self._words = end, words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.stands, self.go = threading.Event(), threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            client = opened.enter_context(self._listener.accept()[0])
            server = opened.enter_context(socket.create_connection((self._end.host, self._end.port)))
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            said = 0
            while data := client.recv(65_536):
                said += 1
                if said > self._words:
                    self.stands.set()
                    self.go.wait(4 * _SECONDS)
                server.sendall(data)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nobody waits any more."""
        self.go.set()
        self._listener.close()


@pytest.fixture
def doorway() -> Iterator[Callable[[Endpoint, int], Doorway]]:
    made: list[Doorway] = []

    def make(end: Endpoint, words: int) -> Doorway:
        made.append(Doorway(end, words))
        return made[-1]

    yield make
    for each in made:
        each.close()


def enter_postgres(end: Endpoint, port: int) -> Any:
    import psycopg

    login = end.logins["worker"]
    options = {"sslmode": "disable", "gssencmode": "disable", "connect_timeout": _SECONDS}
    with psycopg.connect(host="127.0.0.1", port=port, user=login.user, password=login.password, dbname="app", **options) as connection:
        return connection.execute("CREATE TABLE haunted ()")


def enter_rabbitmq(end: Endpoint, port: int) -> Any:
    import amqp

    login = end.logins["worker"]
    with amqp.Connection(
        f"127.0.0.1:{port}", userid=login.user, password=login.password, virtual_host="/", connect_timeout=_SECONDS, read_timeout=_SECONDS
    ) as connection:
        return connection.channel().queue_declare("haunted", durable=True)


#: How a client gets in, and how many packets of its own lie before the one that it is slow with. PostgreSQL: the start and the first
#: word of SCRAM, so that the server has looked the role up. AMQP: the protocol's name and start-ok, which has the password.
CLIENTS = {"postgres": (enter_postgres, 2), "rabbitmq": (enter_rabbitmq, 2)}


CASES = [(kind, moment) for kind in CLIENTS for moment in ("before", "after")]


@pytest.mark.parametrize(("kind", "moment"), parts(CASES, quick=[("postgres", "before"), ("postgres", "after")]))
def test_who_stands_between_password_and_session_is_turned_away(
    hands: Callable[[str], Hands], doorway: Callable[[Endpoint, int], Doorway], kind: str, moment: str
) -> None:
    """It goes on after the server was handed over, or, to see that it would have come in, before."""
    enter, words = CLIENTS[kind]
    both = hands(kind)
    server, lease = both.begin()
    held = doorway(server.endpoint, words)
    with ThreadPoolExecutor(1) as pool:
        try:
            client = pool.submit(enter, server.endpoint, held.port)
            assert held.stands.wait(_SECONDS)
            if moment == "before":
                held.go.set()
                assert client.result(_SECONDS), "it is slow, and nothing else"
                return
            assert lease.give_back(server, sound=True)
            server, lease = both.begin()
            assert lease.took(server) or kind == "postgres", "which waits for him in vain, so that another takes its place"
            held.go.set()
            with pytest.raises(Exception, match=r"role .* does not exist|NOT_ALLOWED|closed|reset|ACCESS_REFUSED"):
                client.result(_SECONDS)
        finally:
            held.go.set()
