"""Does what has changed follow from the calls before which the task stood? A change without a stop is a crash point that was missed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from harness.errors import EnvironmentFault
from harness.model.exploration import Stop
from harness.model.masks import SUPER_JOURNAL
from harness.model.world import Row, StoreState
from harness.ports.exploring import Node

__all__ = ["demand_stops"]


def demand_stops(before: Node, after: Node, stops: Sequence[Stop]) -> None:
    """EnvironmentFault where a store has changed, or a file, to which none of the calls since ``before`` was made.

    Nothing is demanded of what may change by itself, of calls whose target is not known, and where other threads run on.
    """
    if any(not stop.exact or not stop.target or stop.kind not in ("net", "file") for stop in stops):
        return
    timed = {collection.partition(".")[0] for collection, _ in getattr(before.image, "left", ())}
    services = {stop.target.partition(": ")[0] for stop in stops}
    for name, state in after.world.stores.items():
        was = before.world.stores.get(name)
        if was is None or was is state or name in timed or was.collections == state.collections:
            continue
        if name not in services and not any(SUPER_JOURNAL.search(stop.target) for stop in stops):  # it commits in several databases
            raise _missed(name, stops)
        if path := _unnamed(was, state, stops):
            raise _missed(f"{name}: {path}", stops)


def _missed(what: str, stops: Sequence[Stop]) -> EnvironmentFault:
    last = f"after {stops[-1].words}" if stops else "before the first stop"
    return EnvironmentFault(
        f"{what} changed {last} although the task did not stand before that: a stop was missed",
        hint="this is an error of the explorer, not of your task: nothing was concluded",
    )


def _unnamed(was: StoreState, state: StoreState, stops: Sequence[Stop]) -> str:
    """A path that changed, and that no call named; '' where there is none, and for stores that are no folders."""
    before, after = _files(was), _files(state)
    if any(row.get("kind") == "link" for row in [*before.values(), *after.values()]):
        return ""  # a file has other names
    named = {path for path in [*before, *after] if any(_names(stop.words, path) for stop in stops)}
    contents = {after[path].get("sha256") for path in named if path in after}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path) or any(str(parent) in named for parent in (path, *PurePosixPath(path).parents)):
            continue
        if path in before and path in after and after[path].get("sha256") in contents:
            continue  # another link to a file that was named
        return path
    return ""


def _files(state: StoreState) -> Mapping[str, Row]:
    files = state.collections.get("files")
    return {str(row["path"]): row for row in files.rows} if files is not None and files.key == ("path",) else {}


def _names(words: str, path: str) -> bool:
    words = os.fsencode(words).decode("utf-8", "backslashreplace")  # as a store shows names that are no UTF-8
    return path != "." and path in words and re.search(rf"(?<!\S){re.escape(path)}(?!\S)", words) is not None
