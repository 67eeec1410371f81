"""Who was there to take a message: the workers that consume its queue, and which of them a message may have died with."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate

from harness.model.history import History, Message, ProcessLife

__all__ = ["Takers", "queue_of"]

#: A worker's death is seen a little after it happened, seconds.
_SEEN_LATE = 2.0
#: Ends in order: such a process is not killed between two commands to its broker.
_ORDERLY = ("exit", "shut down")


def queue_of(message: Message) -> str:
    """The queue that it waits or waited in, where that is known; else ''."""
    if message.held is not None and message.held.queue:
        return message.held.queue
    return "" if message.exchange else message.queue  # the default exchange leads to the queue of that name


class Takers:
    """The workers of one pass. ``stop``: when the harness began to stop them; later deaths are its own doing."""

    def __init__(self, history: History, stop: float | None) -> None:
        self._history, self._stop = history, stop
        self._workers = [life for life in history.processes if life.kind == "worker"]
        self._taken: dict[str, tuple[list[float], list[float]]] | None = None

    def of(self, queue: str) -> list[ProcessLife]:
        """Those that consume this queue, as far as it is known: one that said nothing of its queues may consume any."""
        return [life for life in self._workers if not queue or not life.queues or queue in life.queues]

    def alive(self, queue: str) -> bool:
        """Was one of them there until the harness stopped it?"""
        return any(not self._ended(life) for life in self.of(queue))

    def killed_with(self, message: Message, since: float, *, first: bool) -> ProcessLife | None:
        """A worker of its queue that was killed while it may have been taking the message. ``first``: it was never delivered."""
        until = self.taken_by(message) if first else float("inf")
        killed = [life for life in self.of(queue_of(message)) if self._ended(life) and not life.how.startswith(_ORDERLY)]
        return next((life for life in killed if life.down is not None and since <= life.down <= until), None)

    def taken_by(self, message: Message) -> float:
        """When a message that was never delivered must have left a Redis list at the latest: infinite where nothing tells.

        The list is first in, first out: what was published later came after it, so whoever took it did so before that was delivered.
        """
        return self._next_taken(message) + _SEEN_LATE

    def _ended(self, life: ProcessLife) -> bool:
        return life.down is not None and (self._stop is None or life.down < self._stop)

    def _next_taken(self, message: Message) -> float:
        """When the next one of the same queue was delivered, of those published after it; infinite where there is none."""
        if self._taken is None:
            self._taken = self._deliveries_by_queue()
        published, delivered = self._taken.get(queue_of(message), ([], []))
        number = bisect_right(published, message.begun if message.begun is not None else float("inf"))
        return delivered[number] if number < len(delivered) else float("inf")

    def _deliveries_by_queue(self) -> dict[str, tuple[list[float], list[float]]]:
        """Queue -> (when each delivered message was published, the earliest delivery of it and of all after it)."""
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for message in self._history.messages.values():
            if message.begun is not None and message.deliveries:
                found[queue_of(message)].append((message.begun, message.deliveries[0].at))
        taken = {}
        for queue, pairs in found.items():
            pairs.sort()
            earliest = list(accumulate((at for _, at in reversed(pairs)), min))[::-1]
            taken[queue] = ([begun for begun, _ in pairs], earliest)
        return taken
