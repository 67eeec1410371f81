"""What is tried before a task is stopped at its effects, and the words for each piece that is refused. On a stand-in for the kernel."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from harness.egress.listener import Call
from harness.errors import EnvironmentFault
from harness.explore import trying
from harness.explore.trying import refusal
from harness.explore.zygote_client import Channel


class Kernel:
    """The child, its listener and its memory in one; what a test changes is refused."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.channel = Channel(ours)
        self._stopped, self._stop = os.pipe()
        self.pid = os.getpid()
        self.listener = self
        self.stops = True
        self.answer: dict[str, Any] | None = {"tried": errno.ENOENT}
        self.text_there, self.no_memory = trying._NOWHERE, ""
        self.receive_error: OSError | None = None
        self.send_error: EnvironmentFault | None = None

    def go(self) -> str:
        if self.stops:
            os.write(self._stop, b"x")
        if self.answer is None:
            self.theirs.close()
        else:
            text = json.dumps(self.answer).encode()
            self.theirs.sendall(struct.pack("!I", len(text)) + text)
        return refusal(self, os.getpid(), self)  # type: ignore[arg-type]

    def close(self) -> None:
        self.channel.close()
        self.theirs.close()
        os.close(self._stopped)
        os.close(self._stop)

    def fileno(self) -> int:
        return self._stopped

    def receive(self) -> Call:
        if self.receive_error:
            raise self.receive_error
        return Call(1, self.pid, 76, 0, (4096, 0, 0, 0, 0, 0))

    def go_on(self, call: Call) -> bool:
        if self.send_error:
            raise self.send_error
        return True

    def trouble(self, process: int) -> str:
        return self.no_memory

    def text(self, thread: int, address: int) -> str:
        return self.text_there


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


def test_nothing_is_refused(kernel: Kernel) -> None:
    assert kernel.go() == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"no_memory": "no /proc"}, "no /proc"),
        ({"stops": False}, "does not stop what it names"),
        ({"stops": False, "answer": None}, "ended at its first call"),
        ({"receive_error": OSError(errno.EINVAL, "")}, "ioctl(SECCOMP_IOCTL_NOTIF_RECV): Invalid argument"),
        ({"text_there": ""}, "the memory of a process that is stopped cannot be read"),
        ({"send_error": EnvironmentFault("the kernel does not let a stopped call go on")}, "does not let a stopped call go on"),
        ({"answer": {"tried": errno.ENOSYS}}, "ended with 'Function not implemented'"),
        ({"answer": {"tried": 0}}, "ended with 'Success'"),
        ({"answer": None}, "ended at its first call"),
    ],
)
def test_each_piece_has_its_words(kernel: Kernel, change: dict[str, Any], words: str) -> None:
    vars(kernel).update(change)
    assert words in kernel.go()
