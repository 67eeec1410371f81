"""Keys of worlds by their very content: most stops of a delivery stand in a world in which others stood before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.explore.changing import Listed
from harness.explore.deadlines import REACH, moments
from harness.explore.freezing import Change
from harness.explore.leaves import leaves
from harness.explore.reckoned import DATE
from harness.explore.turning import learn_turning
from harness.explore.varying import Varying
from harness.ports.exploring import Node

__all__ = ["Recalled"]

#: Of a longer text, or of one that looks like a document, only parts are taken for times.
_LONGEST = 4096
#: A clock that is far ahead sees other times as near.
_FAR = 3 * REACH
#: Days are times too; this finds more than them, which costs a key that is made again.
_DAY = re.compile(rf"{DATE}|(?<!\d)(?:19|20)\d{{6}}(?!\d)")


class Recalled:
    """Whoever lets ``varying`` learn makes it forget. Of rows that name a time nothing is kept: what counts of these depends on when."""

    def __init__(self, varying: Varying) -> None:
        self._varying = varying
        self._ids: set[str] = set()
        self._made: dict[str, tuple[str, str]] = {}

    def of(self, listed: Listed) -> tuple[str, str] | None:
        """(key, dated) of the world that differs so from the first one; None where they have to be made."""
        return self._made.get(listed.content)

    def keep(self, listed: Listed, key: str, dated: str, now: float) -> None:
        """They have been made, at this time of the task's clock."""
        if not any(self._names_time(one, now) for change in listed.changes for one in _scalars(change)):
            self._made[listed.content] = key, dated

    def name_ids(self, ids: Iterable[str]) -> None:
        """Of messages: see `Varying.name_id`."""
        for text in ids:
            if text not in self._ids:
                self._ids.add(text)
                self._varying.name_id(text)
                self.forget()

    def forget(self) -> None:
        """From now on other things vary."""
        self._made.clear()

    def turning(self, nodes: Sequence[Node], known: Iterable[Node], again: Callable[[Node], Node]) -> bool:
        """See `KnowsTurns`."""
        return learn_turning(self._varying, self.forget, nodes, known, again)

    def _names_time(self, value: object, now: float) -> bool:
        if not isinstance(value, str):
            return any(True for _ in moments(value, now, _FAR))
        if len(value) > _LONGEST or value.startswith(("{", "[")) or _DAY.search(value):
            return True
        return any(True for part in (value, *self._varying.tokens(value)) for _ in moments(part, now, _FAR))


def _scalars(change: Change) -> Iterator[object]:
    for path, value in leaves(change.row):
        yield value
        yield from path
