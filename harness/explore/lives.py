"""What is left to what expires, and images moved in time; and whether a store is as it was."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.deadlines import moments
from harness.explore.freezing import Change
from harness.explore.leaves import leaves
from harness.explore.uneven import is_bytes
from harness.explore.varying import Varying
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
_STREAM = "stream"  # of which each entry has an id that is the time
#: Of ids that begin with when they were made: milliseconds as in a uuid7 and a ULID, seconds as in an ObjectId.
_HEX_ID = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}[0-9a-f-]*)", re.IGNORECASE)
_ULID = re.compile(r"(?<![0-9A-Za-z])[0-7][0-9A-HJKMNP-TV-Z]{25}(?![0-9A-Za-z])")
_CROCKFORD = {letter: n for n, letter in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}
_DAY, _LONGEST = 86400.0, 4096


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


def dated(listed: Iterable[Change], aside: tuple[str, ...], now: float, varying: Varying) -> str:
    """ "row" where anything that has come, and that a task can read, names a time that is past, or may do so; "file" where only files
    know when they were written; else "". ``aside``: how names of others begin.
    """
    come = [one for one in listed if one.sign == "+" and not one.name.startswith(aside) and not one.name.endswith(_UNREAD)]
    if any(moment <= now for one in come for _, value in leaves(one.row) for moment in (*moments(value, now), *_drawn_at(value, now))):
        return "row"
    if any(one.row.get("type") == _STREAM or _may_hold_time(one, varying) for one in come):
        return "row"
    return "file" if any(one.name.endswith(_FILES) for one in come) else ""


def _drawn_at(value: Any, now: float) -> Iterator[float]:
    """When ids in a text were made, within a day of now: others have such digits by chance."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return
    for found in _HEX_ID.finditer(value):
        digits = found[0].replace("-", "")
        yield from (at for at in (int(digits[:12], 16) / 1000, float(int(digits[:8], 16))) if abs(at - now) < _DAY)
    for found in _ULID.finditer(value):
        at = sum(_CROCKFORD[letter] << 5 * (9 - n) for n, letter in enumerate(found[0][:10])) / 1000
        if abs(at - now) < _DAY:
            yield at


def _may_hold_time(change: Change, varying: Varying) -> bool:
    """Are there bytes in it that nobody can read, and that vary?"""
    places = [path for path, value in leaves(change.row) if isinstance(value, str) and is_bytes(value)]
    kind = varying.kind(change.name, change.collection, change.row) if places else ""
    return any(varying.habit(change.name, kind, path) is not None for path in places)
