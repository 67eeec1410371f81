"""Which of our scenarios end otherwise than on Redis, and why: what the delivery semantics of a broker make of the same file.

Data, written down before a run: everything else must end alike, and a difference that does not show is as wrong as one that is
not listed. Scenarios below `scenarios/` that name a broker's own terms (`scenarios/rabbitmq/`) are not meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DIFFERENCES", "Difference", "difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One scenario's other end. ``scenario``: its path below `scenarios/`, without suffix. ``cell``: of its matrix, as far as it matters.

    ``word``: what a `fail` names (see docs/verdicts.md); '' for a pass.
    """

    scenario: str
    verdict: str
    because: str
    word: str = ""
    cell: Mapping[str, Any] = field(default_factory=dict)


_AT_ONCE = "what a worker had not acknowledged is another's as soon as its connection is closed; there is no visibility timeout to wait for"
_UNCONFIRMED = (
    "the app publishes without confirms (broker_transport_options: {confirm_publish: true}), so a publish returns when it is written "
    "to the socket; what the broker had not read, or had not written to disk, is gone"
)

DIFFERENCES: Mapping[str, Sequence[Difference]] = {
    "rabbitmq": (
        Difference("acks/kills-by-acknowledgement-broken", "pass", _AT_ONCE, cell={"acks_late": True}),
        Difference(
            "workers/frozen-worker-meets-its-task-again-broken",
            "pass",
            "a frozen worker keeps its messages until two heartbeats are missed",
        ),
        Difference(
            "workers/charge-once-though-a-frozen-worker-returns",
            "inconclusive",
            "a frozen worker keeps its messages until two heartbeats are missed, so nothing runs again",
        ),
        Difference(
            "network/blackhole-swallows-an-order-broken", "pass", f"{_AT_ONCE}; what was dropped on the way to it was never acknowledged"
        ),
        Difference("network/reset-at-an-ack-silences-the-worker-broken", "pass", "nobody answers an ack, so its sender waits for none"),
        Difference("network/killed-broker-keeps-the-orders", "fail", _UNCONFIRMED, word="LOST"),
        Difference("network/publishes-are-sent-again-after-a-reset", "fail", _UNCONFIRMED, word="LOST"),
    )
}


def difference(broker: str, scenario: str, cell: Mapping[str, Any]) -> Difference | None:
    """The entry for this broker, scenario and cell; None: it ends as on Redis."""
    fitting = (d for d in DIFFERENCES.get(broker, ()) if d.scenario == scenario)
    return next((d for d in fitting if all(cell.get(key) == value for key, value in d.cell.items())), None)
