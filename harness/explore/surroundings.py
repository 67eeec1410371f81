"""Stores, queues and result backend as one thing that can be looked at, set back, and moved in time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.canonical import Frozen, canonical, digest, outline
from harness.explore.changing import Changes
from harness.explore.deadlines import left_until, moments, waits
from harness.explore.differences import brief, differences
from harness.explore.freezing import Change, Freezer
from harness.explore.judged import TIMES, Unseen, judged, told_once
from harness.explore.leaves import leaves
from harness.explore.lives import OUR_ERROR, UNNOTICED, Known, comparable, dated, image_later, left_of, lives, named_in
from harness.explore.ordering import Order
from harness.explore.parts import Image, Part, Reach, settle
from harness.explore.queues import Queued, document_of, expect_ids, expiries_of, queue_of
from harness.explore.recalled import Recalled
from harness.explore.repeats import repeats_among
from harness.explore.returns import Returns
from harness.explore.varying import Varying
from harness.model.exploration import Message
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import Node, Repeat
from harness.ports.queues import Kept, Queues
from harness.ports.store import KnowsTime, Settles, ShowsWhole, Store

__all__ = ["Services"]

_ATTEMPTS = 1_000_000
#: Seconds in which no time that is left comes to count as another one, unless it is very short.
_MOMENT, _SOON = 0.2, 4.0


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
        self._order = Order(self._varying, self._stores)
        self._recalled = Recalled(self._varying)
        self._aside = tuple(f"{server}." for server in (*self._servers, "~ahead"))
        for name in self._servers:
            expect_ids(self._varying, name)
        everyone: dict[str, Any] = {**self._stores, **self._servers}
        self._unseen = Unseen(everyone, self._servers)
        self.doubts, self.orders, self.turning = self._unseen.doubts, self._order.of, self._recalled.turning  # as ports have them
        self.skip_numbers = self._unseen.skip_numbers  # see `SkipsNumbers`
        self._behind_sockets = [(name, one) for name, one in everyone.items() if isinstance(one, Settles)]
        for store in self._stores.values():
            if isinstance(store, ShowsWhole):  # half of a file and all of it must not both be "some file"
                store.show_whole()
        self._parts = {name: Part(store) for name, store in self._stores.items()}
        self._reached = Reach(self._parts, self._servers)
        self._base: Node | None = None
        self._first: dict[str, StoreState] = {}
        self._given: dict[tuple[str, str], set[Any]] = {}
        self._ahead: tuple[float, ...] = ()  # moments that rows of the first world name, and that were not past then
        self._attempts = _ATTEMPTS
        self._held: dict[str, tuple[Any, float]] = {}  # store -> an image, and when what expires stood as it has it
        self._changes = Changes({})
        self._states: dict[str, Known] = {}
        self._queued, self._returns = Queued(), Returns()
        self.answer_for = self._queued.answer_for  # see `AnswersFor`
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

    def excludes(self) -> tuple[str, ...]:
        """See `Doubts`."""
        return (*self._unseen.excludes(), *self._queued.excludes(), *self._varying.excludes(self._aside))

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
        self._order.begin(base, self._given)
        now = self._begun = self._base.image.seen
        self._ahead = tuple(sorted({moment for moment in named_in(collections, now) if moment > now}))
        self._changes = Changes(self._timed(self._base, now))
        self._base = replace(self._base, key=self._key([], now), deadlines=self._deadlines(self._base, []))

    # --- looking ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Returns at a moment in which every one of them has dealt with all."""
        self._settle(self._reached("", ""))

    def _settle(self, among: tuple[frozenset[str], frozenset[str]]) -> None:
        settle([(name, one) for name, one in self._behind_sockets if name in among[0] or name in among[1]])

    def touched(self, kind: str = "") -> Hashable:
        """Settles first, as far as an effect of this kind can reach: what was sent may not have changed anything yet."""
        return tuple(sorted(self._fingerprints(kind).items()))

    def _fingerprints(self, kind: str, service: str = "") -> dict[str, Hashable]:
        """Of what such an effect can reach, once that has dealt with all."""
        stores, servers = among = self._reached(kind, service)
        self._settle(among)
        found: dict[str, Hashable] = {name: part.fingerprint() for name, part in self._parts.items() if name in stores}
        found.update((name, server.fingerprint()) for name, server in self._servers.items() if name in servers)
        return found

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        """What did not change since the last look is not read again."""
        return self._look(later, self._fingerprints(kind))

    def look_if_changed(self, later: float, kind: str, service: str) -> Node | None:
        """See `LooksWhereChanged`."""
        now = self._fingerprints(kind, service)
        known = {**{name: one.fingerprint for name, one in self._states.items()}, **{name: one[0] for name, one in self._kept.items()}}
        return None if all(name in known and known[name] == one for name, one in now.items()) else self._look(later, now)

    def _look(self, later: float, asked: Mapping[str, Hashable]) -> Node:
        states: dict[str, StoreState] = {}
        images: dict[str, Any] = {}
        for name, part in self._parts.items():
            states[name], images[name] = self._store_now(name, part, asked)
        servers = {name: self._server_now(name, server, asked) for name, server in self._servers.items()}
        seen = self._clock()
        beneath = {f"{name}.{one.name}": one for name in states for one in self._states[name].beneath}
        image = Image(images, beneath, servers, left_of(images, {name: self._parts[name].timed for name in images}), seen, later)
        pending = self._queued.pending(servers, seen + later)
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
        listed = self._changes.of(self._timed(node, now))
        if (known := self._recalled.of(listed)) is not None:
            return replace(node, key=known[0], deadlines=self._deadlines(node, ()), dated=known[1])
        key, when = self._key(listed.changes, now), dated(listed.changes, self._aside, now, self._varying)
        self._unseen.note_clock(self._varying, listed.changes)
        self._recalled.keep(listed, key, when, now)
        return replace(node, key=key, deadlines=self._deadlines(node, listed.changes), dated=when)

    def _store_now(self, name: str, part: Part, asked: Mapping[str, Hashable]) -> tuple[StoreState, Any]:
        known, fingerprint = self._states.get(name), asked.get(name)
        if part.timed and part.ages and self._is_late(name, part.timed):
            self._age(0.0, (name,))
            known, fingerprint = None, None
        if known is None or (fingerprint is not None and known.fingerprint != fingerprint):
            fingerprint = part.fingerprint() if fingerprint is None else fingerprint
            at = self._clock()
            state, image, beneath = part.look()
            if part.ages and name in self._held:
                since, held = self._held[name]
                image = part.ages.kept(image, since, self._clock() - held)
            known = self._states[name] = Known(fingerprint, state, image, beneath, at)
            self._held[name] = (image, at)
        elif (image := part.image(known.image)) != known.image:
            known = self._states[name] = replace(known, image=image)
        if part.timed and not part.ages:
            return known.state, part.timed.image_later(known.image, max(0.0, self._clock() - known.at))
        return known.state, known.image

    def _is_late(self, name: str, store: KnowsTime) -> bool:
        """Have we needed so much time that it would make a difference to what expires?"""
        image, at = self._held.get(name, (None, 0.0))
        return image is not None and self._clock() - at > UNNOTICED and bool(store.expiries(image))

    def _server_now(self, name: str, server: Queues, asked: Mapping[str, Hashable]) -> Kept:
        known, fingerprint = self._kept.get(name), asked.get(name)
        if known is None or (fingerprint is not None and known[0] != fingerprint):
            fingerprint = server.fingerprint() if fingerprint is None else fingerprint
            known = self._kept[name] = fingerprint, self._queued.known(name, server.look())
            self._unseen.note(name, known[1])
            if name == "broker":
                self._returns.read(known[1])
        return known[1]

    def _collections(self, node: Node) -> dict[str, Collection]:
        """The services', what lies beneath them, messages and results."""
        found = {**node.world.collections(), **node.image.beneath}
        now = node.image.seen + node.later
        for name, kept in node.image.servers.items():
            found.update(self._queued.collections(name, kept, now, self._attempts))
        return found

    def _deadlines(self, node: Node, listed: Sequence[Change]) -> tuple[float, ...]:
        """Of keys that expire, messages that are due, and moments that rows name."""
        now = node.image.seen + node.later
        left = [*lives(node).values(), *self._queued.dues(node.pending), *(moment - now for moment in self._ahead)]
        left += [moment - now for kept in node.image.servers.values() for moment in expiries_of(kept)]
        for change in listed:
            if change.sign == "+" and not change.name.startswith(self._aside):
                left += [moment - now for _, value in leaves(change.row) for moment in moments(value, now)]
        return waits(left)

    def _key(self, listed: Sequence[Change], now: float) -> str:
        return digest(canonical(self._freezer(now).freeze(listed)))

    def _freezer(self, now: float) -> Freezer:
        return Freezer(self._varying, self._given, now=now, ordered=True, span=(self._begun, now))

    def fingerprint(self, node: Node) -> str:
        """See `NamesWorlds`."""
        now = node.image.seen + node.later
        listed = [one for one in self._changes.of(self._timed(node, now)).changes if not one.name.endswith(TIMES)]
        lines = outline(Frozen(self.plain(row.text), row.atoms) for row in self._freezer(now).freeze(listed))
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
        image: Image = node.image
        self._begin_anew()
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
        self._returns.moved(image.servers.get("broker"))
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
        for part in self._parts.values():
            part.forget()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._held.clear()
        self._states.clear()
        self._kept.clear()
        self._before = None

    def take(self, node: Node, message: int) -> None:
        """EnvironmentFault where it is not there: somebody else consumes."""
        name, waiting = self._queued.waiting(node.image.servers)[message]
        self._kept.pop(name, None)
        self._returns.moved()
        if not self._servers[name].take(waiting):
            raise EnvironmentFault(f"the message of {waiting.task} is no longer in its queue: does a worker run on this broker?")

    def put_back(self, message: Message) -> None:
        """To the end that is served next."""
        self._kept.pop("broker", None)
        self._returns.came(message)
        self._servers["broker"].put(queue_of(message), document_of(message))

    def with_message(self, node: Node, message: Message) -> Node | None:
        """See `ForeseesReturns`."""
        image: Image = node.image
        if node.deadlines or node.dated == "row" or (kept := self._returns.of(image.servers["broker"], message)) is None:
            return None
        servers = {**image.servers, "broker": kept}
        pending = self._queued.pending(servers, image.seen + node.later)
        return self.again(replace(node, pending=pending, image=replace(image, servers=servers)))

    def repeats(self) -> list[Repeat]:
        """See `SeesRepeats`."""
        self.settle()
        return repeats_among(self._stores, lambda: Freezer(self._varying, self._given))

    def count_attempts_to(self, most: int) -> None:
        """See `CountsAttempts`."""
        self._attempts = most
        self._before = None

    # --- comparing ----------------------------------------------------------------------------------------------

    def learn(self, nodes: Sequence[Node], skipped: Sequence[int] = ()) -> None:
        """By collection, column and path inside of JSON. ``skipped``: see `SkipsNumbers`."""
        self._before = None
        self._recalled.forget()
        if len(nodes) > 1:
            self._queued.learn([node.image.servers for node in nodes], [node.at for node in nodes])
            self._varying.learn([self._collections(node) for node in nodes], [node.at for node in nodes], self._begun, skipped)

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        """See `judged`."""
        assert self._base is not None, "reset comes first"
        worlds = [judged(node) for node in (self._base, expected, found, before)]
        times = (self._begun, expected.at, found.at)
        listed = told_once(differences(self._varying, self._given, *worlds, times=times))
        return listed if whole else brief(listed)
