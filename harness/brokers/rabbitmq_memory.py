"""What a run has seen of one server's queues: the same for every inspector of it, from one reset to the next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from harness.model.rules import QueueRules
from harness.ports.broker import Endpoint

__all__ = ["Memory", "memory_of"]

#: For so long a quorum queue may show a consumer that is gone: many times the interval in which it counts (QUORUM_STATISTICS).
_SHOWN_SECONDS = 1.5


@dataclass
class Memory:
    """``consumed``: queues that had a consumer at some moment; ``queues``: all that were seen, as they were last. ``looked``: for longer
    than the interval in which the broker counts.
    """

    consumed: set[str] = field(default_factory=set)
    looked: bool = False
    _taken_from: dict[str, float] = field(default_factory=dict)
    queues: dict[str, QueueRules] = field(default_factory=dict)
    _dropped_before: Counter[str] = field(default_factory=Counter)

    def forget(self, dropped: Counter[str]) -> None:
        """Everything is new. ``dropped``: what the node has counted until now, see `Management.dropped`."""
        self.consumed.clear()
        self.looked = False
        self._taken_from.clear()
        self.queues.clear()
        self._dropped_before = dropped

    def take_from(self, queue: str) -> None:
        """We have messages of it, or have just given them back."""
        self._taken_from[queue] = time.monotonic()

    def note_consumers(self, queues: Iterable[str], quorum: Collection[str]) -> None:
        """These have a consumer, as the broker counts. A quorum queue counts whoever got a message and has not settled it as one
        (rabbit_fifo: dequeue), and shows that for a while afterwards: so what we take ourselves must not count.
        """
        since = time.monotonic() - _SHOWN_SECONDS
        self.consumed.update(name for name in queues if name not in quorum or self._taken_from.get(name, since) <= since)

    def see(self, queues: Iterable[QueueRules]) -> None:
        """These are there now, and no others."""
        found = {queue.name: queue for queue in queues}
        for name in self.queues.keys() - found.keys():
            self.queues[name] = replace(self.queues[name], gone=True)
        self.queues |= found

    def dropped(self, counted: Mapping[str, int]) -> dict[str, int]:
        """Of this run alone. A node that was restarted counts from 0."""
        before = self._dropped_before
        restarted = any(counted.get(reason, 0) < number for reason, number in before.items())
        return {reason: number if restarted else number - before[reason] for reason, number in counted.items()}


def memory_of(endpoint: Endpoint) -> Memory:
    """By the address and the monitor's password, which is a run's or a session's own."""
    return _memory(endpoint.host, endpoint.port, endpoint.password)


@lru_cache(maxsize=64)
def _memory(host: str, port: int, password: str) -> Memory:
    return Memory()
