"""One publisher: a thread that sends its calls when they are due, on a connection of its own."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Sequence, Tuple

from celery_harness_agent import prepared
from celery_harness_agent.journal import mono
from celery_harness_agent.outbox import Outbox
from celery_harness_agent.prepared import PreparedCall

__all__ = ["HOPELESS_NS", "LATE_NS", "Link", "Publisher", "shared_out", "wait_until"]

LATE_NS = 50_000_000
HOPELESS_NS = 60_000_000_000

#: (number, due in ns after the start)
Due = Tuple[int, int]


def shared_out(calls: dict[int, tuple[int, int]], items: Sequence[dict[str, Any]]) -> list[list[Due]]:
    """Which call goes to which publisher, by number and due time alone: (number -> (item, due)) -> per publisher its calls, when due.

    Publisher 0 has the calls of all streams that ask for no more than one; a stream that asks for several has them to itself, and its
    calls go to them in turn.
    """
    first: dict[int, int] = {}
    lists: list[list[Due]] = [[]]
    for index, item in enumerate(items):
        if (item.get("publishers") or 1) > 1:
            first[index] = len(lists)
            lists += [[] for _ in range(item["publishers"])]
    turns = dict.fromkeys(first, 0)
    for number, (index, due) in sorted(calls.items(), key=lambda call: (call[1][1], call[0])):
        place = 0
        if index in first:
            place = first[index] + turns[index] % items[index]["publishers"]
            turns[index] += 1
        lists[place].append((number, due))
    return lists


def wait_until(moment: int, stop: threading.Event) -> bool:
    """False: told to stop meanwhile. ``moment`` on the monotonic clock, ns."""
    while not stop.is_set():
        left = (moment - mono()) / 1e9
        if left <= 0:
            return True
        if left > 0.002:
            stop.wait(left - 0.001)
        else:
            time.sleep(left)
    return False


class Publisher:
    """Open loop: each call when due, whatever the answers do; nothing is skipped to catch up."""

    def __init__(self, number: int, calls: Sequence[Due], send: Callable[[int, int, int, int], None]) -> None:
        self.number = number
        self._calls = calls
        self._send = send  # number of the call, when it is sent, when this publisher was free, number of this publisher; ns
        self.late = self.dropped = 0

    def run(self, start: int, stop: threading.Event) -> None:
        """Until the last call, or until told to stop. ``start``: of the load, ns."""
        free = start
        for number, after in self._calls:
            due = start + after
            if not wait_until(due, stop):
                return
            now = mono()
            if now - due > HOPELESS_NS:
                self.dropped += 1
                continue
            self.late += now - due > LATE_NS
            self._send(number, now, free, self.number)
            free = mono()


class Link:
    """Sends prepared messages on one connection. Of one thread."""

    def __init__(self, pool: Any, journal: Outbox) -> None:
        self._pool = pool
        self._journal = journal
        self._producer: Any | None = None

    def send(self, call: PreparedCall) -> None:
        """A connection on which something went wrong is not used again, as in Celery's own pool."""
        producer = self._taken()
        try:
            prepared.send(call, producer, self._journal)
        except BaseException as exc:
            self._producer = None
            producer.__exit__(type(exc), exc, exc.__traceback__)
            raise

    def _taken(self) -> Any:
        if self._producer is None:
            self._producer = self._pool.acquire(block=True)
        return self._producer
