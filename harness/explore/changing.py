"""What is other than in the first world, made once of each collection: most of what one look shows the look before has shown too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.explore.canonical import digest
from harness.explore.freezing import Change, changes
from harness.explore.varying import Collections
from harness.model.world import Collection

__all__ = ["Changes", "Listed", "content_of"]

_REMEMBERED = 2000


@dataclass(frozen=True, slots=True)
class Listed:
    """``changes`` as `freezing.changes` lists them. ``content``: equal for the same rows, each of the same collection."""

    changes: Sequence[Change]
    content: str


class Changes:
    """From ``base``. Collections are known by which object they are: whoever reads gives the same one for what is the same."""

    def __init__(self, base: Collections) -> None:
        self._base = base
        self._known: OrderedDict[tuple[str, int], tuple[Collection | None, Listed]] = OrderedDict()

    def of(self, found: Collections) -> Listed:
        """All of a world."""
        each = [self._of(name, found.get(name)) for name in sorted(self._base.keys() | found.keys())]
        return Listed([change for one in each for change in one.changes], digest([one.content for one in each]))

    def _of(self, name: str, now: Collection | None) -> Listed:
        known = self._known.get((name, id(now)))
        if known is None or known[0] is not now:
            before = self._base.get(name)
            listed = changes({name: before} if before else {}, {name: now} if now else {})
            known = self._known[name, id(now)] = now, Listed(listed, content_of(listed))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known[1]


def content_of(listed: Sequence[Change]) -> str:
    """See `Listed`."""
    told = [(one.sign, one.name, one.collection.key, one.collection.surrogate, one.collection.references, one.row) for one in listed]
    return digest(told)
