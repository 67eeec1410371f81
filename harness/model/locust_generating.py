"""How the calls of Locust's users came about. docs/load.md, "Locust"."""

from __future__ import annotations

from harness.model.history import History
from harness.model.measures import Generator

__all__ = ["locust_generator"]


def locust_generator(history: History) -> Generator:
    """Users wait for what they sent, so no rate is asked for, and nothing can be late. ``bottleneck``: what Locust said of itself."""
    said = [event.detail for event in history.events if event.kind == "locust"]
    lost = [str(one.get("text")) for one in said if one.get("what") == "lost"]
    busy = [str(one.get("text")) for one in said if one.get("what") == "busy"]
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
    )
