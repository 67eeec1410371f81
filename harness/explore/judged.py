"""What counts at the end of a world: the rows that checks compare, what else a client can see beneath them, and what a task keeps in the
broker's own Redis.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.explore.freezing import Change
from harness.explore.leaves import leaves
from harness.explore.queues import keys_of, sent_of
from harness.explore.varying import Varying
from harness.model.masks import number
from harness.model.world import Collection, Row
from harness.ports.exploring import Node
from harness.ports.queues import Kept
from harness.ports.redis_content import PUBLISHED
from harness.ports.store import DrawsNumbers, KnowsUnseen, NamesFaults

__all__ = ["TIMES", "Unseen", "is_beneath", "is_new_schema", "judged", "told_once"]

_SCHEMA = ".~schema"
#: Of files: what the machine has of them, and the moment, is no world of its own.
TIMES = ".~times"
#: What a delivery can see, and what is as good at the end: numbers that a store would give next, of which a call that was tried twice has
#: used up more; and which names are one file.
_FOR_DELIVERIES = ("~given", ".~links")
#: Keys of Celery's results and of kombu's own, in whatever database, below whatever prefix.
_CELERYS = re.compile(r"celery-task(?:set)?-meta-|(?:^|[^a-z])(?:_kombu\.|unacked(?:_index|_mutex)?$)")
_KEYS = tuple(f"{server}.{name}" for server in ("broker", "backend") for name in ("keys", "messages"))


def judged(node: Node) -> dict[str, Collection]:
    """Results are not among them, nor messages that will be delivered, nor what expires where nobody moves the time on: see `Unseen`."""
    found = dict(node.world.collections())
    found.update((name, _fixed(name, one)) for name, one in node.image.beneath.items() if not name.endswith(_FOR_DELIVERIES))
    for server, kept in node.image.servers.items():
        found.update([sent_of(server, kept, node.pending)])
        name, collection = keys_of(server, [row for row in _own(kept) if not row["expires"]])
        found[name] = collection
    return found


def _fixed(name: str, collection: Collection) -> Collection:
    """A time of writing counts as far as somebody has set it: who writes the same again does no harm."""
    if not name.endswith(TIMES):
        return collection
    return replace(collection, rows=tuple(row for row in collection.rows if not isinstance(row["time"], str)))


def _own(kept: Kept) -> list[Row]:
    """What the app keeps there itself."""
    return [row for row in kept.rows if _CELERYS.search(str(row["key"])) is None]


class Unseen:
    """What a task did that nothing shows, or that time does to it: nothing follows from worlds that are alike then."""

    def __init__(self, everyone: Mapping[str, Any], servers: Iterable[str]) -> None:
        self._servers = frozenset(servers)
        self._everyone = {name: one for name, one in everyone.items() if isinstance(one, KnowsUnseen)}
        self._numbers = {name: one for name, one in everyone.items() if isinstance(one, DrawsNumbers) and one.numbers()}
        self._failing = {name: one for name, one in everyone.items() if isinstance(one, NamesFaults)}
        self._before: dict[str, Counter[str]] = {}
        self._expiring: set[str] = set()
        self._begun = time.monotonic()
        self._running: set[str] = set()  # collections that hold what it showed since

    def begin(self) -> None:
        """What was done up to now was the setup's."""
        self._before, self._begun = self._counts(), time.monotonic()

    def note(self, server: str, kept: Kept) -> None:
        """A server of queues holds this."""
        self._expiring.update(f"{server}: {row['key']}" for row in _own(kept) if row["expires"])

    def note_clock(self, varying: Varying, listed: Iterable[Change]) -> None:
        """A world differs so from the first one."""
        come = [one for one in listed if one.sign == "+" and one.name.partition(".")[0] not in self._servers and "~" not in one.name]
        self._running.update(one.name for one in come if _keeps_running(varying, one, self._begun))

    def excludes(self) -> tuple[str, ...]:
        """In words: kombu publishes on the broker too, such as events, so that nothing follows from it there. Results are published on
        the backend, which keeps them.
        """
        counts, before = (found.get("broker", Counter()) for found in (self._counts(), self._before))
        told = [f"{PUBLISHED} in the broker's Redis"] if counts[PUBLISHED] > before[PUBLISHED] else []
        told += [
            f"how far {counter} has counted ({name}), which the scenario's `sequences` say only gives numbers"
            for name, one in self._numbers.items()
            for counter in one.numbers()
        ]
        told += [f"{fault} ({name}): faults of services are off here" for name, one in self._failing.items() for fault in one.faults()]
        return tuple(told)

    def skip_numbers(self, count: int) -> Sequence[int]:
        """See `SkipsNumbers`."""
        skipped: list[int] = []
        for one in self._numbers.values():
            skipped += one.skip_numbers(count + (max(skipped) if skipped else 0))
        return skipped

    def doubts(self) -> tuple[str, ...]:
        """In words."""
        told = [f"the task keeps {key}, which expires, and time is moved on for services alone" for key in sorted(self._expiring)]
        told += [
            f"the task keeps what time.monotonic() shows in {name}: no time passes for that here but what is slept"
            for name in sorted(self._running)
        ]
        for name, counts in self._counts().items():
            done = counts - self._before.get(name, Counter())
            told += [f"nothing shows, in {name}, {words}" for words in sorted(done) if not (words == PUBLISHED and name in self._servers)]
        return tuple(told)

    def _counts(self) -> dict[str, Counter[str]]:
        return {name: Counter(one.unseen()) for name, one in self._everyone.items()}


def is_beneath(difference: Mapping[str, Any]) -> bool:
    """Is it in what checks do not compare, so that no scenario tells it of a real worker's world?"""
    name = str(difference.get("collection"))
    return "~" in name or name in _KEYS


def is_new_schema(difference: Mapping[str, Any]) -> bool:
    """A table or an index that is there and was not expected: who makes it where it is missing has it stay whatever comes."""
    return str(difference.get("collection")).endswith(_SCHEMA) and not difference.get("expected")


def told_once(listed: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Without what lies beneath a row that differs itself: that a file is not there says enough of its permissions."""
    rows = {_row(one) for one in listed if not is_beneath(one)}
    return tuple(one for one in listed if not (is_beneath(one) and _row(one) in rows))


def _row(difference: Mapping[str, Any]) -> tuple[str, str]:
    return str(difference.get("collection")).partition(".")[0], repr(difference.get("row"))


def _keeps_running(varying: Varying, change: Change, since: float) -> bool:
    """Is anything in it that varies what time.monotonic() showed between ``since`` and now, in seconds or nanoseconds?"""
    kind = varying.kind(change.name, change.collection, change.row)
    for path, value in leaves(change.row):
        shown = number(value)
        if shown is None or isinstance(value, bool) or varying.habit(change.name, kind, path) is None:
            continue
        seconds = shown if shown % 1 else shown / 1e9  # whole seconds may be anything
        if since <= seconds <= time.monotonic():
            return True
    return False
