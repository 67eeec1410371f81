"""Messages over a stream socket: JSON with its length before it, and descriptors beside it."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from typing import Any, Sequence

from celery_harness_agent.settings import EX_CONFIG

__all__ = ["Channel", "exempt_descriptor", "moved", "own_descriptor"]

_LENGTH = struct.Struct("!I")
#: What a container's profile says of a call that it does not allow.
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
#: Where a stopped process has its own socket: far above what programs use, since the filter knows it by its number alone.
_EXEMPT = 1000


def own_descriptor(variable: str) -> int:
    """The socket that this variable names. It ends the program where there is none; what the app starts gets neither of the two."""
    descriptor = int(os.environ.pop(variable, "-1"))
    if descriptor < 0:
        sys.stderr.write(f"harness agent: {variable} names no descriptor; the explorer starts this program\n")
        sys.exit(EX_CONFIG)
    os.set_inheritable(descriptor, False)
    return descriptor


class Channel:
    """One end. Only `sendmsg` writes: the filter lets that call alone pass, on this descriptor alone. Where nobody may call it, there is
    no filter either.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def send(self, document: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """One message. OSError where the other side is gone."""
        text = json.dumps(document, default=repr).encode()
        data = memoryview(_LENGTH.pack(len(text)) + text)
        beside: Any = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        while data:
            try:
                sent = self._socket.sendmsg([data], beside)
            except OSError as exc:
                if beside or exc.errno not in _REFUSED:
                    raise
                sent = self._socket.send(data)
            data, beside = data[sent:], []

    def receive(self) -> dict[str, Any]:
        """The next message; EOFError where the other side has closed."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        found = json.loads(self._exactly(length))
        return found if isinstance(found, dict) else {}

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._socket.recv(min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """This end."""
        self._socket.close()

    def abandon(self) -> None:
        """Close the descriptor of an end that belongs to another process."""
        os.close(self._socket.detach())


def exempt_descriptor() -> int:
    """The number of the descriptor that the filter lets pass, as far up as this process may have one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_EXEMPT, soft - 1) if soft > 0 else _EXEMPT


def moved(descriptor: int, to: int) -> int:
    """The same under another number; whatever had that is closed."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, to)
    if found != to:
        os.dup2(found, to, inheritable=False)
        os.close(found)
    os.close(descriptor)
    return to
