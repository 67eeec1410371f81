"""What the kernel knows of our end of a connection, and whether a server has dealt with all of it."""

from __future__ import annotations

import socket
import struct
import sys
import threading

from harness.errors import EnvironmentFault

__all__ = ["Received", "backlog", "received"]

# struct tcp_info (linux/tcp.h): tcpi_state is its first byte; tcpi_unacked, of a listening socket the connections that nobody has
# accepted yet, lies at 24; tcpi_bytes_received at 128.
_STATE = struct.Struct("B")
_UNACKED, _BYTES_RECEIVED = struct.Struct("=24xI"), struct.Struct("=128xQ")
_LONGEST = 256
#: TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING: the other side has closed, and its FIN counts as a byte.
_FIN_CAME = (8, 9, 11)


def backlog(listener: socket.socket) -> int:
    """Connections that clients have made and the server has not accepted. Linux."""
    return int(_UNACKED.unpack_from(_info(listener))[0])


def received(connection: socket.socket) -> int:
    """Bytes that have arrived, read or not; less than were sent only while they are under way. Linux."""
    info = _info(connection)
    return int(_BYTES_RECEIVED.unpack_from(info)[0]) - (_STATE.unpack_from(info)[0] in _FIN_CAME)


def _info(connection: socket.socket) -> bytes:
    if sys.platform != "linux":
        raise EnvironmentFault("only Linux says how much of what was sent has arrived")
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LONGEST)


class Received:
    """One connection: how far the server has come with what arrived. ``idle``: it waits for more, or has decided on all that it read."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._read, self._idle = 0, False

    def waits(self) -> None:
        """The server asks for more: of what it has read nothing is left to do."""
        with self._lock:
            self._idle = True

    def decided(self, used: int) -> None:
        """It has done what so many bytes from the beginning asked for."""
        with self._lock:
            self._idle = used == self._read

    def decided_on_all(self) -> None:
        """It has done what all that it read asked for."""
        with self._lock:
            self._idle = True

    def reads(self, count: int) -> None:
        """It has read more, and will do something with it."""
        with self._lock:
            self._read += count
            self._idle = self._idle and not count

    def settled(self) -> bool:
        """Has it dealt with all that arrived before this call?"""
        try:
            arrived = received(self.connection)
        except OSError:
            return True  # closed, so it was done with
        with self._lock:
            return self._idle and self._read >= arrived
