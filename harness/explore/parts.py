"""Stores and servers of queues one by one: what each of them can do, and which effects can have changed it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.canonical import digest
from harness.explore.lives import OUR_ERROR
from harness.model.world import Collection, StoreState
from harness.ports.queues import Kept
from harness.ports.store import Ages, Fingerprints, HoldsMore, KnowsTime, LooksOnce, Remembers, Settles, ShowsBeneath, Store

__all__ = ["Image", "Part", "Reach", "settle"]

#: Collections of one store that are kept, so that what was made of them need not be made again.
_REMEMBERED = 256
_SETTLES_WITHIN = 10.0
_PAUSE = 0.0002


@dataclass(frozen=True, slots=True)
class Image:
    """``seen``: our wall clock at the look; ``later`` as it was told; ``beneath``: what stores show beside the rows that checks compare."""

    stores: Mapping[str, Any]
    beneath: Mapping[str, Collection]
    servers: Mapping[str, Kept]
    left: Mapping[tuple[str, str], float]  # (collection, key) -> seconds to live, of the stores that know
    seen: float
    later: float


class Part:
    """A store and its abilities, asked for once: protocols are slow to check. ``kinds`` of effects can change it.

    ``alone``: of effects on services only those on itself: whatever is asked of it is done once it has settled, whether anybody reads
    its answers or not.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fingerprints = store if isinstance(store, Fingerprints) else None
        self._looks = store if isinstance(store, LooksOnce) else None
        self._beneath = store if isinstance(store, ShowsBeneath) else None
        self._remembers = store if isinstance(store, Remembers) else None
        self._holds_more = store if isinstance(store, HoldsMore) else None
        self._collections: OrderedDict[tuple[str, str], Collection] = OrderedDict()
        self.timed = store if isinstance(store, KnowsTime) else None
        self.ages = store if isinstance(store, Ages) else None
        # One that has no address and no content of its own to show may be anything.
        own = ("file",) if self._fingerprints else ("net", "file")
        self.kinds = ("", "net") if store.addresses() else ("", *own)
        self.alone = bool(store.addresses()) and isinstance(store, Settles)

    def fingerprint(self) -> Hashable:
        """Equal at two moments only if nothing changed between them."""
        return self._fingerprints.fingerprint() if self._fingerprints else self._store.touched()

    def look(self) -> tuple[StoreState, Any, Sequence[Collection]]:
        """Rows, an image, and what lies beneath the rows. Collections that were there before are the same objects."""
        if self._looks:
            state, image, beneath = self._looks.look()
        else:
            state, image, beneath = self._store.observe(), self._store.save(), self._beneath.beneath() if self._beneath else ()
        known = {name: self._known(one) for name, one in state.collections.items()}
        return StoreState(state.store, known), image, tuple(self._known(one) for one in beneath)

    def image(self, known: Any) -> Any:
        """Of now. ``known``: at a moment since which nothing has changed that others see."""
        return self._holds_more.image() if self._holds_more else known

    def _known(self, one: Collection) -> Collection:
        content = one.name, digest((one.rows, one.key, one.surrogate, sorted(one.references.items())))
        found = self._collections.setdefault(content, one)
        self._collections.move_to_end(content)
        if len(self._collections) > _REMEMBERED:
            self._collections.popitem(last=False)
        return found

    def forget(self) -> None:
        """The next look reads everything."""
        if self._remembers:
            self._remembers.forget()


class Reach:
    """Which stores and which servers an effect can have changed."""

    def __init__(self, parts: Mapping[str, Part], servers: Mapping[str, Any]) -> None:
        self._parts, self._servers = parts, servers
        self._known: dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]] = {}

    def __call__(self, kind: str, service: str) -> tuple[frozenset[str], frozenset[str]]:
        """Their names, of one of this kind on this service: '' where that is not known, or where it may reach others too."""
        found = self._known.get((kind, service))
        if found is None:
            found = self._known[kind, service] = self._found(kind, service)
        return found

    def _found(self, kind: str, service: str) -> tuple[frozenset[str], frozenset[str]]:
        alone = service if kind == "net" and (service in self._servers or service in self._parts) else ""
        stores = {name for name, part in self._parts.items() if kind in part.kinds and not (alone and part.alone and name != alone)}
        servers = () if kind == "file" else [name for name in self._servers if alone in ("", name)]
        return frozenset(stores), frozenset(servers)


def settle(waiting: Sequence[tuple[str, Settles]]) -> None:
    """Returns at a moment in which each of these has dealt with all. EnvironmentFault after 10 s."""
    deadline = time.monotonic() + _SETTLES_WITHIN
    while waiting := [(name, one) for name, one in waiting if not one.settled()]:
        if time.monotonic() > deadline:
            names = ", ".join(name for name, _ in waiting)
            raise EnvironmentFault(f"{names} did not come to rest within {_SETTLES_WITHIN:g} s", hint=OUR_ERROR)
        time.sleep(_PAUSE)
