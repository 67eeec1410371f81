"""How long the system needed after each fault: from its healing until the backlog is gone and work flows."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.history import Delivery, FaultRecord, History

__all__ = ["Recovery", "healing", "recoveries"]

#: Of the samples before the first fault, the backlog that counts as none: their 95th percentile.
_NORMAL_SHARE = 0.95
_ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault's recovery. ``seconds``: None if it did not end (``pending``) or cannot be told (``why`` says so)."""

    fault: int
    healed: float | None
    seconds: float | None = None
    pending: bool = False
    why: str = ""
    waited: float = 0.0  # how long was watched, where it did not end


def healing(fault: FaultRecord) -> float | None:
    """When the fault was over: healed, or for one that is over at once, when it struck."""
    return fault.ended if fault.ended is not None else fault.begun


def recoveries(history: History) -> list[Recovery]:
    """One per fault, in order. Backlog is what the broker holds (ready and unacked) above its usual level before the faults."""
    ends = sorted(d.end for d in history.deliveries.values() if d.end is not None)
    normal = _normal_backlog(history)
    followers = _followers(history)
    return [_recovery(history, fault, ends, normal, followers.get(fault.index, [])) for fault in history.faults]


def _followers(history: History) -> dict[int, list[list[Delivery]]]:
    """Fault -> deliveries of each message of which it interrupted one."""
    found: dict[int, list[list[Delivery]]] = defaultdict(list)
    for message in history.messages.values():
        for index in {d.died_by for d in message.deliveries if d.died_by is not None}:
            found[index].append(message.deliveries)
    return found


def _normal_backlog(history: History) -> float:
    """The usual level: of the samples before the first fault; if it struck at once, the lower quartile of those during the load."""
    first = min((f.begun for f in history.faults if f.begun is not None), default=math.inf)
    before = sorted(d.ready + d.unacked for d in history.depths if 0 <= d.at < first)
    if len(before) >= _ENOUGH:
        return float(before[min(len(before) - 1, int(len(before) * _NORMAL_SHARE))])
    during = sorted(d.ready + d.unacked for d in history.depths if 0 <= d.at < (history.load_ended or 0.0))
    return float(during[len(during) // 4]) if len(during) >= _ENOUGH else 0.0


def _recovery(history: History, fault: FaultRecord, ends: Sequence[float], normal: float, interrupted: list[list[Delivery]]) -> Recovery:
    healed = healing(fault)
    if healed is None:
        return Recovery(fault.index, None, why="it never began")
    if fault.evidence.bit is False:
        return Recovery(fault.index, healed, why="it did not bite")
    over = max((t for t in (history.stopped_at, history.quiet_at) if t is not None), default=max([healed, *ends[-1:]]))
    # Depth is the evidence for the backlog; without samples it is the interrupted messages alone.
    drained, backlog = _drained_at(history, healed, normal)
    resumed = [_resumed_at(deliveries, healed) for deliveries in interrupted]
    position = bisect_left(ends, healed)
    flowing = ends[position] if position < len(ends) else None
    if not backlog and not interrupted and flowing is None:
        return Recovery(fault.index, healed, why="no work was left when it was healed")
    waiting = [d for d, at in zip(interrupted, resumed, strict=True) if at is None and not _settled(d)]
    if drained is None or waiting or (flowing is None and backlog):
        return Recovery(fault.index, healed, pending=True, waited=max(0.0, over - healed))
    moments = [healed, drained, *(at for at in resumed if at is not None), *([flowing] if flowing is not None else [])]
    return Recovery(fault.index, healed, seconds=max(moments) - healed)


def _drained_at(history: History, healed: float, normal: float) -> tuple[float | None, bool]:
    """(when the backlog was first back to normal for two samples running, whether there was any); the last sample may stand alone."""
    samples = [d for d in history.depths if d.at >= healed]
    if not samples:
        return healed, False
    calm = [d.ready + d.unacked <= normal for d in samples]
    for number, sample in enumerate(samples):
        if calm[number] and (number + 1 == len(samples) or calm[number + 1]):
            return (healed if number == 0 else sample.at), not all(calm)
    return None, True


def _resumed_at(deliveries: Sequence[Delivery], healed: float) -> float | None:
    """When a message that was interrupted ended at last."""
    ends = [d.end for d in deliveries if d.end is not None]
    return max(healed, min(ends)) if ends else None


def _settled(deliveries: Sequence[Delivery]) -> bool:
    """Nothing more can come of it: acknowledged, revoked or refused. That it never ended is no_loss's business."""
    message = deliveries[-1].message
    return message.held is None
