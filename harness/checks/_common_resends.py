"""Was a message sent twice by its own client? A publish whose answer is lost is tried again, and may have been taken the first time.

Celery publishes with ``retry=True`` (`task_publish_retry`, its default): kombu's ``Connection.ensure`` connects again and sends the same
message, stamped once by the agent, again. The broker then has two messages under one message id of ours, and the second is not flagged as
redelivered: to the broker nothing comes back. The publish record spans all of its tries: ``begun`` before the first, ``ok`` after the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks._common import NOTICED_LATE
from harness.model.history import Delivery, FaultRecord, History, Message
from harness.model.ways import cuts_broker, on_way
from harness.ports.check import Recorded

__all__ = ["Resends", "Resent"]

#: Celery's default of `task_publish_retry_policy` (celery/app/defaults.py), where the settings in effect were not recorded.
_POLICY: Mapping[str, Any] = {"max_retries": 3}
#: When a publish that failed was given up is not recorded: it counts as under way for so many seconds only.
_AT_LEAST = 2.0
#: Faults that end connections. Others delay what passes: the client tries again only if a timeout of its own ends the connection.
_ENDS_CONNECTIONS = ("broker.restart", "broker.kill", "net.partition", "net.disconnect")
#: Seconds. A publish that took less while connections could not be had was not tried again meanwhile.
_HELD_UP = 0.5


@dataclass(frozen=True, slots=True)
class Resent:
    """Why a delivery may be of a message that was sent again. ``fault``: what disturbed the publisher; None: a connection that it lost.

    ``sure``: the history shows that the connection was lost during the publish, once for each copy, and the client tries again.
    """

    fault: FaultRecord | None
    sure: bool


@dataclass(frozen=True, slots=True)
class Resends:
    """What a history knows of publishes that were under way when a connection broke.

    ``flags``: the broker flags what it delivers again, so what is not flagged was sent. ``faults``: those on somebody's way to the broker.
    ``tries``: how many copies beside the first one client may send. ``again``: does the app try a publish again, by its settings?
    """

    history: History
    flags: bool
    faults: Sequence[FaultRecord]
    tries: float
    again: bool

    @classmethod
    def of(cls, recorded: Recorded) -> Resends:
        """Of one pass."""
        history = recorded.history
        policy = history.config.get("task_publish_retry_policy") or _POLICY
        most = policy.get("max_retries")  # kombu's ensure(): None tries for ever
        return cls(
            history=history,
            flags=bool(recorded.semantics.get("flags_redelivered")),
            faults=[f for f in history.faults if f.begun is not None and f.evidence.bit is not False and cuts_broker(f)],
            tries=math.inf if most is None else float(most),
            again=history.config.get("task_publish_retry") is not False and most != 0,
        )

    def why(self, delivery: Delivery, before: int) -> Resent | None:
        """Why the client may have sent it again; None: nothing shows that. ``before``: copies of it that were sent again already."""
        message = delivery.message
        most = max(1.0, self.tries)
        if not self.flags or delivery.redelivered or message.begun is None or before >= most:
            return None
        name, pid = self._publisher(message)
        until = message.ok if message.ok is not None else message.begun + _AT_LEAST
        hit = [f for f in self.faults if on_way(f, name) and _overlaps(f, message.begun, until)]
        known = [f for f in hit if f.evidence.bit]
        if known and message.failed:  # it lost the connection of its every try
            return Resent(known[0], self.again)
        lost: list[FaultRecord | None] = [f for f in known if _cut_during(f, message.begun, until)]
        cuts = self._lost_connections(pid, message.begun, until)
        lost += [None] * (cuts - len(lost))  # a fault, and the loss that the worker noted of it, are one
        if before < len(lost):
            return Resent(lost[before], self.again)
        perhaps = [f for f in hit if f not in lost]
        return Resent(perhaps[0], False) if perhaps else None

    def _publisher(self, message: Message) -> tuple[str, int]:
        """(name, pid of its main process): the producer (its pid is of no use here), or the worker whose task published it."""
        cause = self.history.deliveries.get(message.cause)
        return (cause.worker, cause.pid) if cause is not None else ("" if message.cause else "producer", 0)

    def _lost_connections(self, pid: int, begun: float, until: float) -> int:
        """A worker notes the loss of the connection that it consumes by; that of its publishes goes the same way to the same broker.

        It may note it late; but a publish that was answered at once had lost nothing before.
        """
        latest = until + (NOTICED_LATE if until - begun >= _HELD_UP else 0.0)
        return sum(begun <= cut <= latest for p in self.history.processes if p.pid == pid for cut in p.disconnected)


def _overlaps(fault: FaultRecord, begun: float, until: float) -> bool:
    """One that began before the fault and was answered after its beginning was under way as well: the answer is what was lost."""
    first = fault.begun if fault.begun is not None else math.inf
    last = fault.ended if fault.ended is not None else math.inf
    return begun <= last and first <= until


def _cut_during(fault: FaultRecord, begun: float, until: float) -> bool:
    """Did it end the publish's connection? Once at most: there is no other connection before it is over.

    It does so where it begins or, by closing what it held (a blackhole), where it ends. What began and was answered at once in between
    it let pass.
    """
    if fault.name not in _ENDS_CONNECTIONS or fault.begun is None:
        return False
    ended = fault.ended if fault.ended is not None else math.inf
    return begun <= fault.begun <= until or begun <= ended <= until or until - begun >= _HELD_UP
