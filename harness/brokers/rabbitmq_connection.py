"""AMQP connections of the harness's own, by py-amqp, which Celery brings."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from harness.brokers.envelope import Envelope
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint, Tls
from harness.ports.trust import run_context

__all__ = ["AmqpClient", "Borrowed", "channel_refused", "connect", "envelope_of", "failures", "open_channel"]

T = TypeVar("T")
#: Seconds that a queue gets to show what was given back to it.
_GIVEN_BACK = 5.0


def connect(endpoint: Endpoint, *, timeout: float) -> Any:
    """A connection that gives up on any answer after ``timeout`` seconds. It has no heartbeats: whoever uses it asks at once."""
    connection = _connection_class(endpoint.tls)(
        host=f"{endpoint.host}:{endpoint.port}",
        userid=endpoint.user,
        password=endpoint.password,
        ssl=endpoint.tls is not None,
        connect_timeout=min(timeout, 5.0),
        read_timeout=timeout,
        write_timeout=timeout,
        heartbeat=0,
    )
    connection.connect()
    return connection


def _connection_class(tls: Tls | None) -> Any:
    import amqp  # not above: `--help` does not need it
    from amqp.transport import SSLTransport

    if tls is None:
        return amqp.Connection
    context = run_context(tls)

    class RunTransport(SSLTransport):  # type: ignore[misc]
        """py-amqp takes options of a context, and a context never."""

        def _wrap_socket(self, sock: Any, **_: Any) -> Any:
            return context.wrap_socket(sock)

    class RunConnection(amqp.Connection):  # type: ignore[misc]
        def Transport(self, host: str, connect_timeout: float, ssl: Any = None, *arguments: Any, **options: Any) -> Any:
            names = dict(zip(("read_timeout", "write_timeout"), arguments, strict=False))
            return RunTransport(host, connect_timeout, ssl={}, **names, **options)

    return RunConnection


def open_channel(connection: Any, *, confirms: bool = False) -> Any:
    """A channel that leaves bodies as they are: bytes."""
    import amqp

    channel = amqp.Channel(connection, auto_decode=False)
    channel.open()
    if confirms:
        channel.confirm_select()
    return channel


def failures() -> tuple[type[Exception], ...]:
    """What py-amqp raises where a server does not answer, or refuses."""
    import amqp

    return (amqp.AMQPError, OSError)


def channel_refused() -> tuple[type[Exception], ...]:
    """What closes a channel and leaves its connection: no such queue, not allowed."""
    import amqp

    return (amqp.ChannelError,)


def envelope_of(message: Any) -> Envelope:
    """Of a py-amqp message."""
    properties = message.properties
    document = {"properties": {"priority": properties.get("priority")}, "headers": message.headers or {}, "body": message.body}
    return Envelope.of(document)


class Borrowed:
    """Messages that are taken for a look and given back when it is closed: by a classic queue to their places, by a quorum queue to
    its front, in an order of its own from about thirty on (rabbit_fifo: return).
    """

    def __init__(self, connection: Any, note: Callable[[str], None]) -> None:
        """``note``: told the name of each queue when something is taken from it, and when that is given back."""
        self._connection = connection
        self._note = note
        self._channel = open_channel(connection)
        self._tags: list[int] = []
        self._counts: Counter[str] = Counter()

    def take(self, queue: str) -> Iterator[Any]:
        """Everything that waits in a queue. It ends early where the broker refuses: the queue is gone, or somebody's alone."""
        while True:
            try:
                message = self._channel.basic_get(queue)
            except channel_refused():
                # The closed channel has given back what it had.
                self._channel, self._tags = open_channel(self._connection), []
                return
            if message is None:
                return
            self._note(queue)
            self._tags.append(message.delivery_tag)
            self._counts[queue] += 1
            yield message

    def close(self) -> None:
        """Give back, and wait until the queues show it, so that whoever looks next finds them; a consumer may have them first."""
        for tag in self._tags:
            self._channel.basic_reject(tag, requeue=True)
        deadline = time.monotonic() + _GIVEN_BACK
        for queue, count in self._counts.items():
            while not self._returned(queue, count) and time.monotonic() < deadline:
                time.sleep(0.002)
            self._note(queue)
        self._channel.close()

    def _returned(self, queue: str, count: int) -> bool:
        try:
            _, ready, consumers = self._channel.queue_declare(queue, passive=True)
        except channel_refused():  # deleted meanwhile
            self._channel = open_channel(self._connection)
            return True
        return bool(ready >= count or consumers)


class AmqpClient:
    """A connection that is opened at its first use and again when it is lost. EnvironmentFault where the server does not answer."""

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._endpoint, self._timeout = endpoint, timeout
        self._connection: Any = None
        self._channel: Any = None

    def ask(self, question: Callable[[Any], T], *, again: bool = True) -> T | None:
        """The answer of a question to a channel; None where it is refused. ``again``: once more where the connection was a stale one."""
        stale = self._connection is not None
        try:
            try:
                if self._channel is None:
                    self._channel = open_channel(self.connection())
                return question(self._channel)
            except channel_refused():
                self._channel = None
                return None
        except failures() as exc:
            self.close()
            if again and stale and not isinstance(exc, TimeoutError):
                return self.ask(question)
            raise self.fault(exc) from exc

    @contextlib.contextmanager
    def borrowing(self, note: Callable[[str], None]) -> Iterator[Borrowed]:
        """For a look; on a connection that answers now. ``note``: see `Borrowed`."""
        self.ask(lambda channel: channel.basic_qos(0, 0, a_global=False))
        try:
            borrowed = Borrowed(self.connection(), note)
            try:
                yield borrowed
            finally:
                borrowed.close()
        except failures() as exc:
            self.close()
            raise self.fault(exc) from exc

    def connection(self) -> Any:
        """The open connection."""
        if self._connection is None:
            self._connection = connect(self._endpoint, timeout=self._timeout)
        return self._connection

    def is_connection(self, connection: Any) -> bool:
        """Is that the one that is open?"""
        return connection is self._connection and connection.connected

    def fault(self, exc: Exception) -> EnvironmentFault:
        """In words."""
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        return EnvironmentFault(f"the broker does not answer: {exc}", where=where, hint="its log is kept with the run")

    def close(self) -> None:
        """Drop the connection, without asking the server."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect()
