"""Does the kernel do all that stopping a task rests on? Tried with one child, before anything depends on it: a kernel before 5.9, a
sandbox or a container's profile may know the filter and refuse what comes after it.
"""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.explore.process_memory import ProcessMemory
from harness.explore.zygote_client import Child, Closed

__all__ = ["refusal"]

_SECONDS = 30.0
#: Where nothing is, on any machine.
_NOWHERE = "/proc/celery-harness/nothing"


def refusal(child: Child, zygote: int, memory: ProcessMemory) -> str:
    """What this machine refuses; '' where nothing. ``child``: waits for a job, and so it does afterwards, where nothing is refused."""
    if why := memory.trouble(child.pid):
        return why
    if not Path(f"/proc/{zygote}/task/{zygote}/children").exists():
        return "the kernel does not tell the children of a process (/proc/PID/task/TID/children)"
    try:
        return _of_one_call(child, memory)
    except Closed:
        return "a process with the filter ended at its first call"


def _of_one_call(child: Child, memory: ProcessMemory) -> str:
    assert child.listener is not None
    child.channel.send({"try": _NOWHERE})
    poll = select.poll()
    poll.register(child.listener, select.POLLIN)
    poll.register(child.channel, select.POLLIN)
    events = dict(poll.poll(_SECONDS * 1000))
    if not events.get(child.listener.fileno(), 0) & select.POLLIN:
        return "the kernel takes the filter, and does not stop what it names"
    try:
        call = child.listener.receive()
    except OSError as exc:
        return f"ioctl(SECCOMP_IOCTL_NOTIF_RECV): {os.strerror(exc.errno or 0)}"
    if call is None:
        return "a process with the filter ended at its first call"
    if memory.text(call.thread, call.arguments[0]) != _NOWHERE:
        return "the memory of a process that is stopped cannot be read"
    try:
        child.listener.go_on(call)
    except EnvironmentFault as exc:
        return exc.what
    told, _ = child.channel.receive(_SECONDS)
    if told.get("tried") != errno.ENOENT:
        return f"a call that was let go on ended with {os.strerror(int(told.get('tried') or 0))!r}"
    return ""
