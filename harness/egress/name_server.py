"""A name server on loopback, for programs that ask by themselves: it knows the scenario's hosts, and no others."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

__all__ = ["NameServer"]

# RFC 1035, 4.1: id, flags, counts of questions, answers, authorities and additional records.
_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_POINTER_TO_QUESTION, _SECONDS = 0xC00C, 5
_A, _IN = 1, 1
_RESPONSE, _RECURSION, _BAD_QUESTION, _TRY_AGAIN, _NO_SUCH_NAME = 0x8080, 0x0100, 1, 2, 3


class NameServer:
    """``answer``: name -> IPv4 addresses, or None for no such name, [] where they are not known.

    ``unknown`` is told of names that are none. `serve` it when it is readable.
    """

    def __init__(self, answer: Callable[[str], list[str] | None], unknown: Callable[[str], None]) -> None:
        self._answer, self._unknown = answer, unknown
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()
        return host, port

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def serve(self) -> None:
        """One question, if there is one."""
        try:
            asked, client = self._socket.recvfrom(4096)
        except (BlockingIOError, ConnectionRefusedError):  # the latter: somebody left before we had answered
            return
        reply = self._reply(asked)
        if reply:
            try:
                self._socket.sendto(reply, client)
            except OSError:
                return

    def close(self) -> None:
        """Nobody is answered any more."""
        self._socket.close()

    def _reply(self, asked: bytes) -> bytes:
        if len(asked) < _HEADER.size:
            return b""
        number, flags, questions, *_ = _HEADER.unpack_from(asked)
        head = _RESPONSE | (flags & _RECURSION)
        found = _question(asked) if questions == 1 else None
        if found is None:
            return _HEADER.pack(number, head | _BAD_QUESTION, 0, 0, 0, 0)
        name, kind, end = found
        addresses = self._answer(name)
        if addresses is None:
            if not _is_about_this_machine(name):
                self._unknown(name)
            return _HEADER.pack(number, head | _NO_SUCH_NAME, 1, 0, 0, 0) + asked[_HEADER.size : end]
        if not addresses:
            return _HEADER.pack(number, head | _TRY_AGAIN, 1, 0, 0, 0) + asked[_HEADER.size : end]
        shown = addresses if kind == _A else []
        records = b"".join(
            struct.pack("!HHHIH", _POINTER_TO_QUESTION, _A, _IN, _SECONDS, 4) + socket.inet_aton(address) for address in shown
        )
        return _HEADER.pack(number, head, 1, len(shown), 0, 0) + asked[_HEADER.size : end] + records


def _is_about_this_machine(name: str) -> bool:
    """Its own name, which nobody has to know, or who has an address: asked for by whoever says hello (smtplib) or makes a message's id."""
    host = name.lower().rstrip(".")
    return host.endswith((".in-addr.arpa", ".ip6.arpa")) or host.partition(".")[0] == socket.gethostname().lower().partition(".")[0]


def _question(asked: bytes) -> tuple[str, int, int] | None:
    """(name, kind, where it ends); None where it is none of class IN."""
    labels, at = [], _HEADER.size
    while at < len(asked) and asked[at]:
        size = asked[at]
        if size > 63:
            return None
        labels.append(asked[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += 1 + size
    at += 1
    if at + _QUESTION.size > len(asked):
        return None
    kind, group = _QUESTION.unpack_from(asked, at)
    return (".".join(labels), kind, at + _QUESTION.size) if group == _IN else None
