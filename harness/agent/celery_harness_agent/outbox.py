"""Between what is published and the journal: holds records back while messages are prepared."""

from __future__ import annotations

import re
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
        self.held: list[Any] | None = None  # a list: records are put there and not written

    def emit(self, line: str) -> None:
        """As the journal's."""
        if self.held is not None:
            self.held.append(line)
            return
        self._emit(line)


def retimed(line: str) -> Retimed:
    """A held record, to be written later with the moment at which it happens. ValueError where it has none."""
    found = _MOMENT.match(line)
    if found is None:
        raise ValueError(f"a record without a moment: {line!r}")
    return found.group(1), found.group(2)
