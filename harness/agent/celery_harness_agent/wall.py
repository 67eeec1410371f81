"""Stand behind the wall: from here on the harness is asked before this process, or one that it starts, connects anywhere."""

from __future__ import annotations

import os
import sys

from celery_harness_agent import seccomp
from celery_harness_agent.channel import Channel, exempt_descriptor, moved

__all__ = ["VARIABLE", "stand_behind"]

#: The environment's name for the descriptor of the socket to the wall; none: there is no wall.
VARIABLE = "CELERY_HARNESS_WALL"
_EX_UNAVAILABLE = 69


def stand_behind() -> None:
    """Before the first thread. Where the kernel refuses it, the harness is told, and the guard in Python's sockets stands alone.

    Exits with 69 where nobody is there to answer: each connection would fail.
    """
    descriptor = int(os.environ.pop(VARIABLE, "-1"))
    if descriptor < 0:
        return
    try:
        _stand(descriptor)
    except (OSError, EOFError):
        sys.stderr.write("harness agent: the wall around this process is gone, so it could connect to nothing, and ends\n")
        sys.exit(_EX_UNAVAILABLE)


def _stand(descriptor: int) -> None:
    channel = Channel(moved(descriptor, exempt_descriptor()))
    why = seccomp.trouble()
    if not why:
        try:
            listener = seccomp.install(seccomp.wall_program(channel.fileno()))
        except seccomp.Refused as exc:
            why = str(exc)
    if why:
        channel.send({"what": why})
    else:
        channel.send({"calls": {str(number): name for number, name in seccomp.wall_names().items()}}, [listener])
        os.close(listener)
        channel.receive()  # from here on it answers
    channel.close()
