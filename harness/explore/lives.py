"""What is left to what expires, and images moved in time; and whether a store is as it was."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.deadlines import moments
from harness.explore.freezing import Change
from harness.explore.leaves import leaves
from harness.model.world import Collection, StoreState
from harness.ports.exploring import Node
from harness.ports.store import KnowsTime

__all__ = ["OUR_ERROR", "UNNOTICED", "Known", "comparable", "dated", "image_later", "left_of", "lives", "named_in"]

OUR_ERROR = "this is an error of the explorer, not of your task: nothing was concluded"
#: Seconds by which what expires may live too long or too short.
UNNOTICED = 0.05
#: Of services that are told something, and do not tell it again.
_UNREAD = (".requests", ".mails")
_FILES = ".files"


@dataclass(frozen=True, slots=True)
class Known:
    """A store as it was read last. ``at``: our wall clock."""

    fingerprint: Hashable
    state: StoreState
    image: Any
    beneath: Sequence[Collection]
    at: float


def image_later(name: str, store: KnowsTime, image: Any, seconds: float) -> Any:
    """So much later; made sure of: a clock that stands still would make every lease hold for ever."""
    later = store.image_later(image, seconds)
    before = {(collection, key): left for collection, key, left in store.expiries(image)}
    for collection, key, left in store.expiries(later):
        if not left <= before.get((collection, key), 0.0) - seconds + UNNOTICED:
            raise EnvironmentFault(f"the time of {name}.{collection} could not be moved on", hint=OUR_ERROR)
    return later


def left_of(images: Mapping[str, Any], known: Mapping[str, KnowsTime | None]) -> dict[tuple[str, str], float]:
    """(collection, key) -> seconds to live, of the stores whose time is ``known``."""
    return {
        (f"{name}.{collection}", key): seconds
        for name, image in images.items()
        if (timed := known[name]) is not None
        for collection, key, seconds in timed.expiries(image)
    }


def lives(node: Node) -> Mapping[tuple[str, str], float]:
    """(collection, key) -> seconds that are left; the node may have been moved in time since it was looked at."""
    passed = node.later - node.image.later
    left: Mapping[tuple[str, str], float] = node.image.left
    return {name: seconds - passed for name, seconds in left.items()} if passed else left


def named_in(collections: Mapping[str, Collection], now: float) -> Iterator[float]:
    """The moments (wall seconds) that rows name, at most 60 days from ``now``."""
    return (m for one in collections.values() for row in one.rows for _, value in leaves(row) for m in moments(value, now))


def comparable(state: StoreState) -> Any:
    """Equal for two looks at a store that saw the same."""
    return {name: sorted(repr(sorted(row.items())) for row in collection.rows) for name, collection in state.collections.items()}


def dated(listed: Iterable[Change], aside: tuple[str, ...], now: float) -> str:
    """ "row" where anything that has come, and that a task can read, names a time that is past; "file" where only files know when they
    were written; else "". ``aside``: how names of others begin.
    """
    come = [one for one in listed if one.sign == "+" and not one.name.startswith(aside) and not one.name.endswith(_UNREAD)]
    if any(moment <= now for one in come for _, value in leaves(one.row) for moment in moments(value, now)):
        return "row"
    return "file" if any(one.name.endswith(_FILES) for one in come) else ""
