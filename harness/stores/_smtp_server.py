"""A mail server on loopback, in a thread of its own: takes every mail, and can tell when it has dealt with all that arrived."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from harness.errors import EnvironmentFault
from harness.stores._wire import backlog, received

__all__ = ["LoopbackMailServer"]

_LARGEST = 64 * 1024 * 1024
_ANSWERS_WITHIN = 10.0


class _Session(SMTP):
    """One connection. ``fed``: bytes that its parser was given."""

    fed = 0

    def data_received(self, data: bytes) -> None:
        self.fed += len(data)
        super().data_received(data)


class LoopbackMailServer:
    """Listens from its making on, until `close`. ``accept`` is called with each mail, in the server's thread, before the client is told."""

    def __init__(self, accept: Callable[[Envelope], None], *, name: str) -> None:
        # What clients say belongs to them; the library would write it to the log.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._accept_mail = accept
        self._sessions: dict[socket.socket, _Session | None] = {}  # None: on its way to have one
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = threading.Lock()
        self._accepted = 0  # connections so far
        self._done_with = 0  # of these, when all of them had gone and had been dealt with
        self._loop = asyncio.new_event_loop()
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        except OSError as exc:
            self._loop.close()
            raise EnvironmentFault(f"service {name} found no port: {exc}", where="127.0.0.1") from exc
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._connect)
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"smtp-{name}", daemon=True)
        self._thread.start()

    def settled(self) -> bool:
        """Nobody waits to be accepted, and every session has been given all that arrived, and has acted on it."""
        with self._accepting:
            if self._accepted == self._done_with and not backlog(self._listener):
                return True  # most tasks send no mail, and asking the loop costs two changes of threads
        return asyncio.run_coroutine_threadsafe(self._settled(), self._loop).result(_ANSWERS_WITHIN)

    async def _settled(self) -> bool:
        if not self._has_read_all():
            return False
        before = {connection: session and session.fed for connection, session in self._sessions.items()}
        # What a parser was given wakes it in the next turn of the loop; then it acts without a pause until it needs more.
        for _ in range(3):
            await asyncio.sleep(0)
        now = {connection: session and session.fed for connection, session in self._sessions.items()}
        settled = self._has_read_all() and now == before
        if settled and not now:
            self._done_with = self._accepted  # in the loop's thread, which alone accepts
        return settled

    def _has_read_all(self) -> bool:
        if backlog(self._listener):
            return False
        for connection, session in self._sessions.items():
            with contextlib.suppress(OSError):
                if session is None or session.fed < received(connection):
                    return False
        return True

    def _connect(self) -> None:
        """Accept and note in one turn of the loop."""
        with contextlib.suppress(OSError), self._accepting:
            connection, _ = self._listener.accept()
            self._accepted += 1
            connection.setblocking(False)
            self._sessions[connection] = None
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        session = self._session(connection)
        try:
            await self._loop.connect_accepted_socket(lambda: session, connection)
        except OSError:
            self._sessions.pop(connection, None)
            return
        if connection in self._sessions:
            self._sessions[connection] = session

    def _session(self, connection: socket.socket) -> _Session:
        owner = self

        class Known(_Session):
            def connection_lost(self, error: Exception | None) -> None:
                owner._sessions.pop(connection, None)
                super().connection_lost(error)

        return Known(
            _Handler(self._accept_mail),
            loop=self._loop,
            hostname="celery-harness",
            ident="celery-harness",
            data_size_limit=_LARGEST,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=lambda *login: AuthResult(success=True),
        )

    def close(self) -> None:
        """Port, connections, thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join()
        for connection in self._sessions:  # accepted, and not yet the loop's to close
            connection.close()
        self._loop.close()
        self._listener.close()

    def _end(self) -> None:
        self._loop.remove_reader(self._listener)
        for session in self._sessions.values():
            if session is not None and session.transport is not None:
                session.transport.close()
        self._loop.call_later(0.0, self._loop.call_later, 0.0, self._loop.stop)  # connections are lost in the turns before


class _Handler:
    """What the library asks for its hooks."""

    def __init__(self, accept: Callable[[Envelope], None]) -> None:
        self._accept = accept

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        self._accept(envelope)
        return "250 OK"
