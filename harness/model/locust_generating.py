"""How the calls of Locust's users came about. docs/load.md, "Locust"."""

from __future__ import annotations

from harness.model.history import History
from harness.model.measures import Generator

__all__ = ["locust_generator"]

#: How a process ended, as `ProcessLife.how` has it.
_STATUS, _WELL = ("exit ", "SIG"), "exit 0"


def locust_generator(history: History) -> Generator:
    """Users wait for what they sent, so no rate is asked for, and nothing can be late. ``bottleneck``: what Locust said of itself."""
    lost, busy = _said(history, "lost"), _said(history, "busy")
    seconds = history.load_ended or 0.0
    return Generator(
        kind="locust",
        calls=len(history.calls),
        late=0,
        dropped=0,
        intended=None,
        achieved=len(history.calls) / seconds if seconds > 0 else None,
        lag_p99=None,
        lag_max=None,
        worst_gap=None,
        busy=None,
        bottleneck="; ".join([*lost, *busy[:1]]),
        failed=_failed(history),
        unmeasured="; ".join(_said(history, "unmeasured")[:1]),
        elsewhere="; ".join(_said(history, "elsewhere")[-1:]),
    )


def _said(history: History, what: str) -> list[str]:
    return [str(event.detail.get("text")) for event in history.events if event.kind == "locust" and event.detail.get("what") == what]


def _failed(history: History) -> str:
    """By the exit status of the process that the harness started; of a worker's nobody asks. '' where that was 0."""
    ends = [life.how for life in history.processes if life.kind == "producer" and life.how.startswith(_STATUS) and life.how != _WELL]
    if not ends:
        return ""
    counted = _said(history, "counted")
    return f"Locust ended with {ends[0]}" + (f": {counted[-1]}" if counted else ", before it could say why")
