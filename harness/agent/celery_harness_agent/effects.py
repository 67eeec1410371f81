"""In a worker's pool child: the kernel holds it before each effect, where the harness may kill the worker (docs/journal.md, "Effects")."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from celery_harness_agent import seccomp
from celery_harness_agent.channel import Channel, exempt_descriptor, moved

__all__ = ["ENVIRONMENT", "Effects"]

#: The environment's name for the path of the harness's socket; unset where no fault strikes at an effect.
ENVIRONMENT = "CELERY_HARNESS_EFFECTS"


class Effects:
    """Of one worker; by inheritance of its pool children, each of which calls `install` once. Nothing is ever done without a ``path``."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._main = os.getpid()
        self._channel: Channel | None = None

    @property
    def wanted(self) -> bool:
        """Does the harness want to stop this worker's children?"""
        return bool(self._path)

    def install(self) -> None:
        """In a new pool child, before anything of the app's own runs in it. The harness is told where it cannot be done."""
        if not self._path or os.getpid() == self._main:
            return
        exempt = exempt_descriptor()
        channel = Channel(moved(_connected(self._path).detach(), exempt))
        trouble = seccomp.trouble()
        if not trouble:
            try:
                listener = seccomp.install(seccomp.program(exempt))
            except seccomp.Refused as exc:
                trouble = str(exc)
        if trouble:
            channel.send({"refused": trouble})
            channel.close()
            return
        calls = {str(number): name for number, name in seccomp.call_names().items()}
        channel.send({"child": os.getpid(), "main": self._main, "name": self._name, "calls": calls}, [listener])
        os.close(listener)
        self._channel = channel

    def begin(self, task: Any, uuid: str, delivery: str, call: int) -> None:
        """An execution begins: what follows is its own."""
        if self._channel is not None:
            late = bool(getattr(task, "acks_late", False))
            self._channel.send({"begin": {"task": task.name, "id": uuid, "delivery": delivery, "call": call, "late": late}})

    def end(self) -> None:
        """It is over, with its result stored."""
        if self._channel is not None:
            self._channel.send({"end": True})


def _connected(path: str) -> socket.socket:
    """A path of a socket may have 107 bytes; through its folder's descriptor any path fits."""
    folder = os.open(str(Path(path).parent), os.O_RDONLY | os.O_CLOEXEC)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.connect(f"/proc/self/fd/{folder:d}/{Path(path).name}")
    finally:
        os.close(folder)
    return client
