"""SIGTERM to a pytest in which something of ours runs: as Ctrl-C, so that what was started is stopped and removed, and status 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from harness.testing.outcomes import Terminated

__all__ = ["terminate_like_an_interrupt"]


def terminate_like_an_interrupt() -> Callable[[], None]:
    """From now on; the way back is returned. Where somebody else listens to the signal, or outside of the main thread, nothing changes.

    Python's own answer is to end at once: processes of ours end with it, by the kernel's hand, and their folders stay.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    signal.signal(signal.SIGTERM, _terminate)

    def back() -> None:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return back


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated("SIGTERM: everything was stopped")
