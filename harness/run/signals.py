"""Ctrl-C, SIGTERM and a terminal that is gone (SIGHUP): noted when they come, raised where the run can stop cleanly."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from harness.errors import Interrupted

__all__ = ["InterruptGuard", "ending_signals", "signals_wait"]


def ending_signals() -> Iterator[int]:
    """Those that end a command: SIGHUP among them, unless it is ignored (nohup)."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


class InterruptGuard:
    """Within it SIGINT and SIGTERM set a flag; `check` raises `Interrupted` once. A second signal changes nothing: stopping is bounded.

    SIGHUP is taken for SIGTERM, see `ending_signals`.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._raised = False

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python hands signals to the main thread alone: they are for whoever runs there
        for number in ending_signals():
            self._before[number] = signal.signal(number, self._note)
        for outer in {getattr(handler, "__self__", None) for handler in self._before.values()}:
            if isinstance(outer, InterruptGuard) and outer.received and not outer._raised:
                self.received = self.received or outer.received  # it came between the two: who stands within hears of it
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or (signal.SIGTERM if number == signal.SIGHUP else number)

    def check(self) -> None:
        """Raise `Interrupted` for a signal that came; later calls are silent, so that stopping is not interrupted again."""
        if self.received and not self._raised:
            self._raised = True
            raise Interrupted(self.received)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP take effect when the block is over, as they would have before: what it removes, it removes to the end."""
    guard = InterruptGuard()
    try:
        with guard:
            yield
    finally:
        if guard.received:
            signal.raise_signal(guard.received)
