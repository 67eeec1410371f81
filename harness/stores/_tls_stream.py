"""A connection that speaks TLS, as a server sees it; every byte that the kernel hands over is counted before it is decrypted."""

from __future__ import annotations

import io
import socket
import ssl
from typing import Any, cast

from harness.stores._wire import Received

__all__ = ["TlsStream", "begins_tls", "server_context"]

_RECORD = 1 << 16
#: The content type of a handshake record, with which a client begins (RFC 8446, 5.1); no method of HTTP does.
_HANDSHAKE = b"\x16"


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """For a server with these PEM files. No tickets: whoever comes back says all of it again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def begins_tls(received: Received) -> bool:
    """Does what comes first belong to TLS? Waits for one byte."""
    received.waits()
    return received.connection.recv(1, socket.MSG_PEEK) == _HANDSHAKE


class TlsStream(io.RawIOBase):
    """Both ways in one file. `read` returns b'' at the end, and OSError is raised where the client breaks the protocol."""

    def __init__(self, received: Received, context: ssl.SSLContext) -> None:
        self.received = received
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read = 0

    def handshake(self) -> None:
        """ssl.SSLError where the client does not trust us, or speaks something else."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._more():
                    raise ConnectionResetError("the client has left in the middle of the handshake") from None
            else:
                self._flush()
                return

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decrypted bytes; 0 at the end."""
        while True:
            try:
                count = cast(int, self._tls.read(len(buffer), buffer))  # bytes only where there is no buffer
            except ssl.SSLWantReadError:
                if not self._more():
                    return 0
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0
            else:
                self._read += count
                return count

    def write(self, data: Any) -> int:
        """All of it."""
        count = self._tls.write(data)
        self._flush()
        return count

    def all_of(self, used: int) -> bool:
        """Has whoever took ``used`` decrypted bytes got all that was read from the kernel?"""
        return used == self._read and not self._incoming.pending and not self._tls.pending()

    def _more(self) -> int:
        self.received.waits()
        data = self.received.connection.recv(_RECORD)
        self.received.reads(len(data))
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return len(data)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.received.connection.sendall(self._outgoing.read())
