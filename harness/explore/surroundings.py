"""Stores, queues and result backend as one thing that can be looked at, set back, and moved in time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.canonical import Frozen, canonical, outline
from harness.explore.deadlines import left_until, moments, waits
from harness.explore.differences import brief, differences
from harness.explore.freezing import Change, Freezer, changes
from harness.explore.judged import TIMES, Unseen, judged, told_once
from harness.explore.leaves import leaves
from harness.explore.lives import OUR_ERROR, UNNOTICED, Known, comparable, dated, image_later, left_of, lives, named_in
from harness.explore.queues import SOON, collections_of, document_of, expect_ids, expiries_of, message_of, queue_of
from harness.explore.recalled import Recalled
from harness.explore.repeats import repeats_among
from harness.explore.varying import Collections, Varying
from harness.model.exploration import Message
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import Node, Repeat
from harness.ports.queues import Kept, Queues
from harness.ports.store import Ages, Fingerprints, KnowsTime, LooksOnce, Settles, ShowsBeneath, ShowsWhole, Store

__all__ = ["Services"]

_SETTLES_WITHIN = 10.0
_PAUSE = 0.0002
_ATTEMPTS = 1_000_000
#: Seconds in which no time that is left comes to count as another one, unless it is very short.
_MOMENT, _SOON = 0.2, 4.0


@dataclass(frozen=True, slots=True)
class _Image:
    """``seen``: our wall clock at the look; ``later`` as it was told; ``beneath``: what stores show beside the rows that checks compare."""

    stores: Mapping[str, Any]
    beneath: Mapping[str, Collection]
    servers: Mapping[str, Kept]
    left: Mapping[tuple[str, str], float]  # (collection, key) -> seconds to live, of the stores that know
    seen: float
    later: float


class _Part:
    """A store and its abilities, asked for once: protocols are slow to check. ``kinds`` of effects can change it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fingerprints = store if isinstance(store, Fingerprints) else None
        self._looks = store if isinstance(store, LooksOnce) else None
        self._beneath = store if isinstance(store, ShowsBeneath) else None
        self.timed = store if isinstance(store, KnowsTime) else None
        self.ages = store if isinstance(store, Ages) else None
        # One that has no address and no content of its own to show may be anything.
        own = ("file",) if self._fingerprints else ("net", "file")
        self.kinds = ("", "net") if store.addresses() else ("", *own)

    def fingerprint(self) -> Hashable:
        return self._fingerprints.fingerprint() if self._fingerprints else self._store.touched()

    def look(self) -> tuple[StoreState, Any, Sequence[Collection]]:
        if self._looks:
            return self._looks.look()
        return self._store.observe(), self._store.save(), self._beneath.beneath() if self._beneath else ()


class Services:
    """See `Surroundings`.

    ``stores`` are started, and as the user's setup left them when `reset` is called first: that is the first world. ``servers``: 'broker',
    whose queues hold the messages, and 'backend' where results are kept elsewhere. No worker consumes. Not for two threads.
    ``plain``: takes out of texts what belongs to this run alone, for `fingerprint`.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        servers: Mapping[str, Queues],
        *,
        clock: Callable[[], float] = time.time,
        plain: Callable[[str], str] = str,
    ) -> None:
        self._stores, self._servers, self._clock, self.plain = dict(stores), dict(servers), clock, plain
        self._varying = Varying()
        self.is_temporary, self.lives = self._varying.is_temporary, lives  # see `KnowsTemporary`, `KnowsLives`
        self._recalled = Recalled(self._varying)
        self._aside = tuple(f"{server}." for server in (*self._servers, "~ahead"))
        for name in self._servers:
            expect_ids(self._varying, name)
        everyone: dict[str, Any] = {**self._stores, **self._servers}
        self._unseen = Unseen(everyone, self._servers)
        self.doubts, self.excludes = self._unseen.doubts, self._unseen.excludes  # see `Doubts`
        self._behind_sockets = [(name, one) for name, one in everyone.items() if isinstance(one, Settles)]
        for store in self._stores.values():
            if isinstance(store, ShowsWhole):  # half of a file and all of it must not both be "some file"
                store.show_whole()
        self._parts = {name: _Part(store) for name, store in self._stores.items()}
        self._base: Node | None = None
        self._first: dict[str, StoreState] = {}
        self._given: dict[tuple[str, str], set[Any]] = {}
        self._ahead: tuple[float, ...] = ()  # moments that rows of the first world name, and that were not past then
        self._attempts = _ATTEMPTS
        self._held: dict[str, tuple[Any, float]] = {}  # store -> an image, and when what expires stood as it has it
        self._timed_base: Collections = {}
        self._states: dict[str, Known] = {}
        self._before: tuple[tuple[Any, ...], Node] | None = None  # what the last look saw, and made of it
        self._kept: dict[str, tuple[Hashable, Kept]] = {}  # server -> its fingerprint, and what it held

    # --- the first world ----------------------------------------------------------------------------------------

    def reset(self) -> float:
        """The first call takes the world as it is for the first one; later ones go back to it, and look at each store by itself.

        How far the task's clock has to be ahead (behind: less than 0) from now on, as `restore` has it.
        """
        if self._base is None:
            self.settle()
            self._begin({name: store.observe() for name, store in self._stores.items()}, self.look())
            return 0.0
        later = self.restore(self._base)
        for name, store in self._stores.items():
            if comparable(store.observe()) != comparable(self._first[name]):
                raise EnvironmentFault(f"service {name} could not be set back to what it was after `setup`", hint=OUR_ERROR)
        for name, server in self._servers.items():
            kept, first = server.look(), self._base.image.servers[name]
            if [w.item for w in kept.waiting] != [w.item for w in first.waiting] or kept.rows != first.rows:
                raise EnvironmentFault(f"the {name} could not be set back to what it was after `setup`", hint=OUR_ERROR)
        return later

    def anew(self) -> Services:
        """See `BeginsAnew`."""
        other = Services(self._stores, self._servers, clock=self._clock, plain=self.plain)
        if self._base is not None:
            other._begin(self._first, self._base)
        return other

    @property
    def lasts(self) -> bool:
        """Would `setup` make the same first world at any other moment? Not where something in it expires, or names a time."""
        base = self._base
        return base is not None and not base.image.left and not any(named_in(self._collections(base), base.image.seen))

    def successor(self, servers: Mapping[str, Queues]) -> Services:
        """The same first world for another exploration, once everything has been emptied: `reset` puts it back, as if made just now."""
        assert self._base is not None, "reset comes first"
        other = Services(self._stores, servers, clock=self._clock, plain=self.plain)
        other._begin(self._first, replace(self._base, image=replace(self._base.image, seen=self._clock())))
        return other

    def _begin(self, first: Mapping[str, StoreState], base: Node) -> None:
        self._first, self._base = dict(first), base
        self._unseen.begin()
        collections = self._collections(self._base)
        self._varying.remember(collections)
        for name, collection in collections.items():
            for column in collection.surrogate:
                self._given.setdefault((name.partition("~")[0], column), set()).update(row.get(column) for row in collection.rows)
        now = self._begun = self._base.image.seen
        self._ahead = tuple(sorted({moment for moment in named_in(collections, now) if moment > now}))
        self._timed_base = self._timed(self._base, now)
        self._base = replace(self._base, key=self._key([], now), deadlines=self._deadlines(self._base, []))

    # --- looking ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Returns at a moment in which every one of them has dealt with all."""
        self._settle("")

    def _settle(self, kind: str) -> None:
        deadline = time.monotonic() + _SETTLES_WITHIN
        waiting = [(name, one) for name, one in self._behind_sockets if kind in ("", "net")]
        while waiting := [(name, one) for name, one in waiting if not one.settled()]:
            if time.monotonic() > deadline:
                names = ", ".join(name for name, _ in waiting)
                raise EnvironmentFault(f"{names} did not come to rest within {_SETTLES_WITHIN:g} s", hint=OUR_ERROR)
            time.sleep(_PAUSE)

    def touched(self, kind: str = "") -> Hashable:
        """Settles first, as far as an effect of this kind can reach: what was sent may not have changed anything yet."""
        self._settle(kind)
        stores = [part.fingerprint() for part in self._parts.values() if kind in part.kinds]
        servers = [server.fingerprint() for server in self._servers.values()] if kind != "file" else []
        return tuple(stores), tuple(servers)

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        """What did not change since the last look is not read again."""
        self._settle(kind)
        states: dict[str, StoreState] = {}
        images: dict[str, Any] = {}
        for name in self._stores:
            states[name], images[name] = self._store_now(name, self._parts[name], kind)
        servers = {name: self._server_now(name, server, asked=kind != "file") for name, server in self._servers.items()}
        seen = self._clock()
        beneath = {f"{name}.{one.name}": one for name in states for one in self._states[name].beneath}
        image = _Image(images, beneath, servers, left_of(images, {name: self._parts[name].timed for name in images}), seen, later)
        pending = tuple(message_of(waiting, seen + later) for kept in servers.values() for waiting in kept.waiting)
        self._recalled.name_ids(message.id for message in pending)
        node = Node("", World(states), pending, image, (), later, at=seen + later)
        if self._base is None:
            return node
        parts = [(self._states[name], self._parts[name].timed) for name in states]
        same = (*(known if timed else (known.state, known.beneath) for known, timed in parts), *servers.values())
        if (before := self._unchanged(same, node)) is not None:
            return replace(node, key=before.key, deadlines=before.deadlines, dated=before.dated)
        node = self.again(node)
        self._before = (same, node)
        return node

    def _unchanged(self, same: tuple[Any, ...], node: Node) -> Node | None:
        """The node of a moment ago, if all was there, and nothing is about to pass. A transaction makes many stops in one world."""
        if self._before is None or same != self._before[0]:
            return None
        before = self._before[1]
        passed = node.image.seen + node.later - before.image.seen - before.later
        return before if 0 <= passed < _MOMENT and (not before.deadlines or before.deadlines[0] > _SOON) else None

    def again(self, node: Node) -> Node:
        """Of what the node holds."""
        now = node.image.seen + node.later
        listed = changes(self._timed_base, self._timed(node, now))
        if (known := self._recalled.of(listed)) is not None:
            return replace(node, key=known[0], deadlines=self._deadlines(node, ()), dated=known[1])
        key, when = self._key(listed, now), dated(listed, self._aside, now)
        self._recalled.keep(listed, key, when, now)
        return replace(node, key=key, deadlines=self._deadlines(node, listed), dated=when)

    def _store_now(self, name: str, part: _Part, kind: str) -> tuple[StoreState, Any]:
        known = self._states.get(name)
        if part.timed and part.ages and self._is_late(name, part.timed):
            self._age(0.0, (name,))
            known = None
        fingerprint = part.fingerprint() if kind in part.kinds or known is None else known.fingerprint
        if known is None or known.fingerprint != fingerprint:
            at = self._clock()
            state, image, beneath = part.look()
            if part.ages and name in self._held:
                since, held = self._held[name]
                image = part.ages.kept(image, since, self._clock() - held)
            known = self._states[name] = Known(fingerprint, state, image, beneath, at)
            self._held[name] = (image, at)
        if part.timed and not part.ages:
            return known.state, part.timed.image_later(known.image, max(0.0, self._clock() - known.at))
        return known.state, known.image

    def _is_late(self, name: str, store: KnowsTime) -> bool:
        """Have we needed so much time that it would make a difference to what expires?"""
        image, at = self._held.get(name, (None, 0.0))
        return image is not None and self._clock() - at > UNNOTICED and bool(store.expiries(image))

    def _server_now(self, name: str, server: Queues, *, asked: bool) -> Kept:
        known = self._kept.get(name)
        fingerprint = server.fingerprint() if asked or known is None else known[0]
        if known is None or known[0] != fingerprint:
            known = self._kept[name] = (fingerprint, server.look())
            self._unseen.note(name, known[1])
        return known[1]

    def _collections(self, node: Node) -> dict[str, Collection]:
        """The services', what lies beneath them, messages and results."""
        found = node.world.collections()
        now = node.image.seen + node.later
        found.update(node.image.beneath)
        for name, kept in node.image.servers.items():
            found.update(collections_of(name, kept, now, self._attempts))
        return found

    def _deadlines(self, node: Node, listed: Sequence[Change]) -> tuple[float, ...]:
        """Of keys that expire, messages that are due, and moments that rows name."""
        now = node.image.seen + node.later
        left = [*lives(node).values(), *(one.eta for one in node.pending if one.eta > SOON), *(moment - now for moment in self._ahead)]
        left += [moment - now for kept in node.image.servers.values() for moment in expiries_of(kept)]
        for change in listed:
            if change.sign == "+" and not change.name.startswith(self._aside):
                left += [moment - now for _, value in leaves(change.row) for moment in moments(value, now)]
        return waits(left)

    def _key(self, listed: Sequence[Change], now: float) -> str:
        frozen = canonical(self._freezer(now).freeze(listed))
        return hashlib.blake2b(repr(frozen).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def _freezer(self, now: float) -> Freezer:
        return Freezer(self._varying, self._given, now=now, ordered=True, span=(self._begun, now))

    def fingerprint(self, node: Node) -> str:
        """See `NamesWorlds`."""
        now = node.image.seen + node.later
        listed = [one for one in changes(self._timed_base, self._timed(node, now)) if not one.name.endswith(TIMES)]
        frozen = self._freezer(now).freeze(listed)
        lines = outline(Frozen(self.plain(row.text), row.atoms) for row in frozen)
        return hashlib.sha256(repr(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _timed(self, node: Node, now: float) -> dict[str, Collection]:
        """With what is left of the lives of keys as a column, and of the time until moments that rows of the first world name as rows."""
        left = lives(node)
        found = self._collections(node)
        for name, collection in found.items():
            if not any(place == name for place, _ in left):
                continue
            each = [left.get((name, str(row.get(collection.key[0])))) for row in collection.rows]
            timed = zip(collection.rows, each, strict=True)
            rows = tuple(row if seconds is None else {**row, "~left": left_until(seconds)} for row, seconds in timed)
            found[name] = replace(collection, rows=rows)
        ahead = tuple({"moment": n, "left": left_until(moment - now)} for n, moment in enumerate(self._ahead))
        return {**found, "~ahead.moments": Collection("moments", ahead)}

    # --- moving -------------------------------------------------------------------------------------------------

    def restore(self, node: Node, wait: float = 0.0) -> float:
        """Every store and server, also those that look as if nothing had changed."""
        image: _Image = node.image
        self.forget()
        for name, store in self._stores.items():
            if name not in image.stores:
                continue
            saved, timed = image.stores[name], self._parts[name].timed
            if wait and timed is not None:
                saved = image_later(name, timed, saved, wait)
            self._held[name] = (saved, self._clock())
            store.restore(saved)
        for name, server in self._servers.items():
            server.restore(image.servers[name].image)
        return node.later + wait - (self._clock() - image.seen)

    def pass_time(self, seconds: float) -> None:
        """See `PassesTime`. The time that we have needed does not count for the services: else a slow machine would see other worlds."""
        self.settle()  # what was sent before came before
        self._age(seconds)

    def let_pass(self, node: Node, wait: float) -> float:
        """See `PassesTime`. The time that we have needed since the look does not count."""
        passed: float = wait - (self._clock() - node.image.seen)
        self._age(wait)
        return node.later + passed

    def _age(self, seconds: float, among: Sequence[str] = ()) -> None:
        """From where they stood at the last look, or when they were moved last."""
        for name, part in self._parts.items():
            if part.ages and part.timed and (not among or name in among):
                now = self._clock()
                image, at = self._held.get(name, (None, now))
                part.ages.age(seconds, image, now - at)
                self._states.pop(name, None)
                if image is not None:
                    self._held[name] = (part.timed.image_later(image, seconds), now)

    def forget(self) -> None:
        """See `Forgets`."""
        self._held.clear()
        self._states.clear()
        self._kept.clear()
        self._before = None

    def take(self, node: Node, message: int) -> None:
        """EnvironmentFault where it is not there: somebody else consumes."""
        places = [(name, waiting) for name, kept in node.image.servers.items() for waiting in kept.waiting]
        name, waiting = places[message]
        self._kept.pop(name, None)
        if not self._servers[name].take(waiting):
            raise EnvironmentFault(f"the message of {waiting.task} is no longer in its queue: does a worker run on this broker?")

    def put_back(self, message: Message) -> None:
        """To the end that is served next."""
        self._kept.pop("broker", None)
        self._servers["broker"].put(queue_of(message), document_of(message))

    def repeats(self) -> list[Repeat]:
        """See `SeesRepeats`."""
        self.settle()
        return repeats_among(self._stores, lambda: Freezer(self._varying, self._given))

    def count_attempts_to(self, most: int) -> None:
        """See `CountsAttempts`."""
        self._attempts = most
        self._before = None

    # --- comparing ----------------------------------------------------------------------------------------------

    def learn(self, nodes: Sequence[Node]) -> None:
        """By collection, column and path inside of JSON."""
        self._before = None
        self._recalled.forget()
        if len(nodes) > 1:
            self._varying.learn([self._collections(node) for node in nodes], [node.at for node in nodes], self._begun)

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        """See `judged`."""
        assert self._base is not None, "reset comes first"
        worlds = [judged(node) for node in (self._base, expected, found, before)]
        times = (self._begun, expected.at, found.at)
        listed = told_once(differences(self._varying, self._given, *worlds, times=times))
        return listed if whole else brief(listed)
