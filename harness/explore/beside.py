"""Files that a task writes and that belong to no service: nobody looks at them, and nobody sets them back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.explore.drawn_names import DrawnNames
from harness.explore.identities import without_tokens, without_varying
from harness.model.exploration import Stop

if TYPE_CHECKING:  # it imports what imports this
    from harness.explore.clean import Learnt

__all__ = ["beside", "kept_beside", "left_beside"]

#: What nobody reads again to find out what has been done: logs, compiled modules, caches, the clock of libuuid (`uuid.uuid1`); and a name
#: that `tempfile` has drawn.
_HARMLESS = re.compile(
    r"\.log(?:$|[.\-_])|/logs?/|/__pycache__/|\.pyc$|/\.cache/|^/var/cache/|^/(?:var/lib|run)/(?:libuuid|uuidd)/|(?<![A-Za-z0-9])tmp<token>|<name>"
)


def beside(stops: Iterable[Stop]) -> set[str]:
    """Their paths, of some stops. Programs that are started are none."""
    return {stop.target for stop in stops if stop.kind == "other" and stop.target.startswith("/") and not stop.call.startswith("execve")}


def left_beside(learnt: Learnt, further: Iterable[str]) -> list[str]:
    """All of them, without what varies. ``further``: those of other deliveries, redeliveries above all."""
    return sorted({_plain(learnt.names, path) for path in [*_of_clean(learnt)[0], *further]})


def kept_beside(learnt: Learnt, further: Iterable[str]) -> list[str]:
    """Those of which a later delivery may find out what an earlier one has done: with a name that it finds again, and no log."""
    sets = _of_clean(learnt)
    drawn = {_plain(learnt.names, path) for path in set.union(*sets) if not all(path in one for one in sets)}
    every = {*set.union(*sets), *further}
    return sorted({_plain(learnt.names, path) for path in every if not _is_harmless(learnt.names, path)} - drawn)


def _of_clean(learnt: Learnt) -> Sequence[set[str]]:
    """Of each of the executions, which all had one and the same message."""
    return [beside(clean.stops) for clean in learnt.clean]


def _is_harmless(names: DrawnNames, path: str) -> bool:
    return _HARMLESS.search(without_tokens(names.plain(path))) is not None


def _plain(names: DrawnNames, path: str) -> str:
    return without_varying(names.plain(path))
