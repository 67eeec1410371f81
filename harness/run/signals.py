"""Ctrl-C and SIGTERM: noted when they come, raised where the run can stop cleanly."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from harness.errors import Interrupted

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """Within it SIGINT and SIGTERM set a flag; `check` raises `Interrupted` once. A second signal changes nothing: stopping is bounded."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._raised = False

    def __enter__(self) -> InterruptGuard:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number

    def check(self) -> None:
        """Raise `Interrupted` for a signal that came; later calls are silent, so that stopping is not interrupted again."""
        if self.received and not self._raised:
            self._raised = True
            raise Interrupted(self.received)
