"""How long the system needed after each fault: from its healing until the backlog is gone and work flows."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.history import Delivery, FaultRecord, History, ProcessLife

__all__ = ["Gone", "Recovery", "healing", "recoveries"]

#: Of the samples before the first fault, the backlog that counts as none: their 95th percentile.
_NORMAL_SHARE = 0.95
_ENOUGH = 5
#: A worker may note the loss of its connection before the fault that caused it notes that it has begun, seconds.
_NOTED_LATE = 0.5


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker that was not there any more at the end, although neither a fault nor the harness had taken it away.

    ``how`` it ended; '' for one that lived on without its connection to the broker. ``final``: it cannot come back by itself.
    """

    worker: str
    at: float
    how: str = ""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault's recovery. ``seconds``: None if it did not end (``pending``) or cannot be told (``why`` says so).

    ``gone``: workers that left after this fault, and before the next one, and never came back: then it did not end.
    """

    fault: int
    healed: float | None
    seconds: float | None = None
    pending: bool = False
    why: str = ""
    waited: float = 0.0  # how long was watched, where it did not end
    gone: tuple[Gone, ...] = ()


def healing(fault: FaultRecord) -> float | None:
    """When the fault was over: healed, or for one that is over at once, when it struck."""
    return fault.ended if fault.ended is not None else fault.begun


def recoveries(history: History) -> list[Recovery]:
    """One per fault, in order. Backlog is what the broker holds (ready and unacked) above its usual level before the faults."""
    ends = sorted(d.end for d in history.deliveries.values() if d.end is not None)
    normal = _normal_backlog(history)
    followers, gone = _followers(history), _gone(history)
    return [
        _recovery(history, fault, ends, normal, followers.get(fault.index, []), tuple(gone.get(fault.index, ())))
        for fault in history.faults
    ]


def _gone(history: History) -> dict[int, list[Gone]]:
    """Fault -> workers that it was the last one to begin before they left for good."""
    last: dict[str, ProcessLife] = {}
    for life in history.processes:
        if life.kind == "worker" and (life.name not in last or life.up >= last[life.name].up):
            last[life.name] = life
    found: dict[int, list[Gone]] = defaultdict(list)
    for life in last.values():
        left = _left(life, history.stopped_at, retries=history.config.get("broker_connection_retry") is not False)
        before = [f for f in history.faults if left and f.begun is not None and f.begun <= left.at + _NOTED_LATE]
        felt = [f for f in before if f.evidence.bit is not False]
        if left is not None and felt:
            found[max(felt, key=lambda f: f.begun or 0.0).index].append(left)
    return found


def _left(life: ProcessLife, stopped: float | None, *, retries: bool) -> Gone | None:
    """How a worker was gone before the harness stopped it; None where it was there, or a fault had taken it away.

    ``retries``: it tries to connect again. One that does not ends a little later, if it is given the time.
    """
    stop = stopped if stopped is not None else math.inf
    if life.down is not None and life.down < stop:
        return Gone(life.name, life.down, life.how or "it ended") if life.unexpected else None
    lost = max((at for at in life.disconnected if at < stop), default=None)
    if lost is None or any(lost < at < stop for at in life.connected):
        return None
    return Gone(life.name, lost, final=not retries)


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


def _recovery(
    history: History,
    fault: FaultRecord,
    ends: Sequence[float],
    normal: float,
    interrupted: list[list[Delivery]],
    gone: tuple[Gone, ...] = (),
) -> Recovery:
    healed = healing(fault)
    if healed is None:
        return Recovery(fault.index, None, why="it never began")
    if fault.evidence.bit is False:
        return Recovery(fault.index, healed, why="it did not bite")
    over = max((t for t in (history.stopped_at, history.quiet_at) if t is not None), default=max([healed, *ends[-1:]]))
    if gone:
        return Recovery(fault.index, healed, pending=True, waited=max(0.0, over - healed), gone=gone)
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
