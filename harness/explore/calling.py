"""Functions of the user's that a process calls for us in a fork, before it imports the app (the agent's zygote.py)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.zygote_client import Channel, Closed, tail_of

__all__ = ["called"]

_FORK_SECONDS, _ANSWER_SECONDS, _KILLED_SECONDS = 30.0, 60.0, 10.0


def called(zygote: Channel, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
    """See `CallsEarly`. Closed where the zygote has gone. Returns when the fork has ended, as what it has not closed is written then."""
    zygote.send({"call": dict(request), "environment": dict(environment), "log": str(log)})
    told, descriptors = zygote.receive(_FORK_SECONDS)
    answer: dict[str, Any] | None = None
    status: int | None = None
    with contextlib.closing(Channel(socket.socket(fileno=descriptors[0]))) as fork:
        try:
            with contextlib.suppress(EnvironmentFault):
                with contextlib.suppress(Closed):
                    answer = fork.receive(_ANSWER_SECONDS)[0]
                status = int(zygote.receive(_ANSWER_SECONDS)[0]["status"])
        finally:  # it leads a session of its own: what it has left in that ends with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(told["pid"]), signal.SIGKILL)
    if status is None:
        zygote.receive(_KILLED_SECONDS)  # what is said next answers what is asked next
    if answer is None:
        how = f"still running after {_ANSWER_SECONDS:.0f} s" if status is None else f"{status}"
        what = f"the child that runs `call` for your app ended without an answer (status {how})"
        raise EnvironmentFault(f"{what}\n  {tail_of(log)}", where=str(log))
    return answer
