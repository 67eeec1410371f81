"""Between what is published and the journal: holds records back while messages are prepared."""

from __future__ import annotations

import re
import threading
from typing import Any, Callable, Tuple

from celery_harness_agent.journal import Journal

__all__ = ["Outbox", "Retimed", "retimed"]

_MOMENT = re.compile(r'^(\{"k":"\w+","m":)\d+(,.*\n)$', re.DOTALL)

#: A record without its moment: what comes before it and after it.
Retimed = Tuple[str, str]


class Outbox:
    """What `publish.install` takes for the journal of the producer."""

    def __init__(self, journal: Journal) -> None:
        self.new_id: Callable[[], str] = journal.new_id
        self._emit = journal.emit
        self._held: list[Any] | None = None
        self._holder = 0

    def hold(self, held: list[Any] | None) -> None:
        """From now on records of this thread are put there and not written; None: no more."""
        self._holder = threading.get_ident()
        self._held = held

    def emit(self, line: str) -> None:
        """As the journal's."""
        held = self._held
        if held is not None and self._holder == threading.get_ident():
            held.append(line)
            return
        self._emit(line)


def retimed(line: str) -> Retimed:
    """A held record, to be written later with the moment at which it happens. ValueError where it has none."""
    found = _MOMENT.match(line)
    if found is None:
        raise ValueError(f"a record without a moment: {line!r}")
    return found.group(1), found.group(2)
