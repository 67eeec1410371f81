"""Requests that a service took for repeats although they ask for something else: their idempotency key is too coarse.

No crash is needed for that. Only the first delivery of a clean execution is looked at: a later one, or one after a crash, repeats its
requests for good reasons, and may say in them which attempt it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.explore.confirm import Replayer
from harness.explore.freezing import Change, Freezer
from harness.explore.story import at
from harness.model.exploration import Delivery, Flaw, Outcome, Place, Rerun, Stop
from harness.model.masks import template
from harness.model.world import Collection, Row
from harness.ports.exploring import Repeat, SeesRepeats
from harness.ports.store import LogsEffects, Store

__all__ = ["flaw_of_repeat", "keys_of_two", "repeats_among"]

_FIX = (
    "Make the key of all that tells one request from another: where a call charges twice, of what is charged too, not of the order alone."
)
_NAMED = ("method", "path", "key")


def repeats_among(stores: Mapping[str, Store], freezer: Callable[[], Freezer]) -> list[Repeat]:
    """In order, since the stores were emptied: what was answered as a repeat of something else, up to values that vary by themselves."""
    found = []
    for name, store in stores.items():
        seen = [one for one in store.effects() if one.outcome == "repeated" and one.row] if isinstance(store, LogsEffects) else []
        collections = store.observe().collections if seen else {}
        for one in seen:
            collection = collections.get(one.collection)
            if collection is None or one.row is None or not one.row.get("key"):
                continue
            named = [row for row in collection.rows if all(row.get(part) == one.row.get(part) for part in _NAMED)]
            place = f"{name}.{one.collection}"
            told = [freezer().freeze([Change("+", place, collection, row)])[0].text for row in (one.row, *named)]
            if named and told[0] not in told[1:]:
                found.append(Repeat(place, one.row, named[0]))
    return found


def keys_of_two(collections: Mapping[str, Collection]) -> list[str]:
    """Of requests to different places under one key: the stub takes both, where a service that knows a key everywhere takes the first."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, collection in collections.items():
        for row in collection.rows if name.endswith(".requests") else ():
            if row.get("key"):
                places = found.setdefault((name.partition(".")[0], str(row["key"])), [])
                places.append(f"{row.get('method')} {template(row.get('path'))}")
    told = {
        f"a {service} that knows a key wherever it comes: {' and '.join(dict.fromkeys(places))} had the same"
        for (service, _), places in found.items()
        if len(set(places)) > 1
    }
    return sorted(told)


@dataclass(frozen=True, slots=True)
class _Swallowed:
    repeat: Repeat
    stop: Stop | None


def flaw_of_repeat(replayer: Replayer, surroundings: SeesRepeats, named: Callable[[Stop], Stop]) -> Flaw | None:
    """Of the first one in the first delivery of a clean execution, which is walked once more for that. None where there is none.

    ``named``: a stop, at the line that is told of it.
    """
    known = len(surroundings.repeats())
    stops: list[Stop] = []
    found: list[_Swallowed] = []

    def look() -> None:
        new = surroundings.repeats()[known + len(found) :]
        found.extend(_Swallowed(one, stops[-1] if stops else None) for one in new)

    def note(stop: Stop) -> None:
        look()
        stops.append(stop)

    replayed = replayer.walk((Delivery(),), lines=True, note=note)
    look()
    if not found:
        return None
    first = found[0]
    return _flaw(first.repeat, named(first.stop).place if first.stop else None, replayed.endings[0].outcome)


def _flaw(repeat: Repeat, place: Place | None, end: Outcome) -> Flaw:
    row, service = repeat.row, repeat.collection.partition(".")[0]
    where = at(place)
    what = f"{row['method']} {row['path']}"
    differs = _difference(repeat.row, repeat.first)
    return Flaw(
        word="EFFECT",
        headline=f"{service} takes {what}{f' at {place.file}:{place.line}' if place else ''} for a repeat of another request, without any "
        f"crash: both have the key {row['key']}.",
        story=(
            f"It sent {what} with the key {row['key']}{where}, which another request had had before.",
            f"That one said {differs[1]}, this one {differs[0]}: {service} answered it as before, and did nothing.",
        ),
        path=(Delivery(),),
        stops=(),
        differences=({"collection": repeat.collection, "row": dict(row), "before": 0, "after": 0, "expected": 1},),
        fix=_FIX,
        confirmed=True,
        place=place,
        rerun=Rerun((end,), "done", refused="it takes no crash: calling the task once shows it"),
    )


def _difference(one: Row, other: Row) -> tuple[Any, Any]:
    """What of them differs, column by column."""
    columns = [column for column in one if one.get(column) != other.get(column)]
    values = [{column: row.get(column) for column in columns} for row in (one, other)]
    return (values[0][columns[0]], values[1][columns[0]]) if len(columns) == 1 else (values[0], values[1])
