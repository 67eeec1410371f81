"""Stores: the part of a service that holds state. It can be observed, saved and restored."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from harness.model.world import Collection, Row, StoreState
from harness.ports.broker import Endpoint, Tls

__all__ = [
    "Ages",
    "DrawsNumbers",
    "FailsOnPurpose",
    "Fingerprints",
    "HoldsMore",
    "KnowsTime",
    "KnowsUnseen",
    "ListsInOrder",
    "LogsEffects",
    "LooksOnce",
    "NamesFaults",
    "Remembers",
    "SeenEffect",
    "Settles",
    "ShowsBeneath",
    "ShowsWhole",
    "StandsFor",
    "Store",
    "StoreHost",
    "StoreParameters",
]


@dataclass(frozen=True, slots=True)
class SeenEffect:
    """Something that a store saw happen. ``at``: CLOCK_MONOTONIC, seconds. ``row``: the effect as `observe` shows it, if it was one.

    ``outcome``: accepted (an effect), repeated (recognised, answered as before), refused (no effect). ``status``: what an HTTP service
    answered, 0 where it closed the connection without a word; None for other stores.
    """

    at: float
    text: str
    outcome: str
    collection: str = ""
    row: Row | None = None
    status: int | None = None


class StoreParameters(BaseModel):
    """Base of every store's own keys in `services:`; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class StoreHost(Protocol):
    """What a runtime gives to a store that needs more than a folder."""

    def folder(self, name: str) -> Path:
        """An empty folder of the run's own, removed with it."""

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        """A running server of that kind (e.g. 'redis') for this store alone. ``endpoint.for_app()`` is what the app is told.

        ``owned``: the app is given the monitor's own login. Then nothing proves what it has changed, and every pass gets a new one.
        """

    def expose(self, name: str, port: int) -> tuple[str, int]:
        """(host, port) under which the app reaches what this process serves on 127.0.0.1:``port``."""

    def certificate(self, name: str, hosts: Sequence[str], *, flaw: str = "") -> Tls:
        """Of the run's own authority, which the app is told to trust, for a service under these names. ``flaw``: see `tls.md`."""

    def call_user_code(self, path: str, *arguments: Any) -> Any:
        """Call module:name of the user's in a child under the user's Python with the app's environment; JSON in, JSON out."""


@runtime_checkable
class LogsEffects(Protocol):
    """A store that sees each effect happen, and so can say when."""

    def effects(self) -> Sequence[SeenEffect]:
        """Everything since the store was emptied, in order."""


@runtime_checkable
class FailsOnPurpose(Protocol):
    """A store that can be told to fail some requests for a while: faults, which a clean pass must be free of."""

    def begin_pass(self, *, clean: bool) -> None:
        """Before anybody uses it in this pass. ``clean``: fail nothing that would succeed if it were tried again."""


@runtime_checkable
class NamesFaults(Protocol):
    """A store that says what it does not do in a clean pass."""

    def faults(self) -> Sequence[str]:
        """In words, such as "fail_first of POST /charges"."""


@runtime_checkable
class Settles(Protocol):
    """A store behind a socket, which may not have read yet what a client has sent."""

    def settled(self) -> bool:
        """Has it dealt with all that was sent to it before this call? For moments in which nobody sends anything."""


@runtime_checkable
class ListsInOrder(Protocol):
    """A store that lists rows without a key in the order in which they came."""

    lists_in_order: ClassVar[bool]


@runtime_checkable
class Fingerprints(Protocol):
    """A store that says by content what it holds, for moments in which nobody changes it: at once, where `touched` waits for a clock."""

    def fingerprint(self) -> Hashable:
        """Equal at two moments only if nothing changed between them. Cheap."""


@runtime_checkable
class Remembers(Protocol):
    """A store that does not read again what it can tell has not changed."""

    def forget(self) -> None:
        """The next look reads everything, whatever seems not to have changed."""


@runtime_checkable
class HoldsMore(Protocol):
    """A store of which images may differ where nothing that others see does, nor its fingerprint: by a transaction under way."""

    def image(self) -> Any:
        """As `save`, at once. For moments in which nobody changes it."""


@runtime_checkable
class LooksOnce(Protocol):
    """A store that can be observed and saved at one moment, and quicker than by both. For moments in which nobody changes it."""

    def look(self) -> tuple[StoreState, Any, Sequence[Collection]]:
        """What `observe`, `save` and, if it has that, `ShowsBeneath.beneath` return."""


@runtime_checkable
class ShowsBeneath(Protocol):
    """A store that a client can see more of than the rows that checks compare."""

    def beneath(self) -> Sequence[Collection]:
        """The rest of it, now. One named ``table~…`` has numbers of ``table`` in columns of that table's names."""


@runtime_checkable
class ShowsWhole(Protocol):
    """A store that leaves out of what it shows what would be too long for people."""

    def show_whole(self) -> None:
        """From now on it is read by a program: leave out less."""


@runtime_checkable
class KnowsTime(Protocol):
    """A store of which parts vanish by themselves."""

    def expiries(self, image: Any) -> Sequence[tuple[str, str, float]]:
        """What vanishes from this image, and when: (collection, value of its key column, seconds from then)."""

    def image_later(self, image: Any, seconds: float) -> Any:
        """The image as it is so much later: without what has vanished by then, the rest with so much less to live."""


@runtime_checkable
class DrawsNumbers(Protocol):
    """A store with counters of which the scenario says that they do nothing but give numbers: how far they are is not shown."""

    def numbers(self) -> Sequence[str]:
        """Their names, as the scenario has them."""

    def skip_numbers(self, count: int) -> Sequence[int]:
        """Of those that were ever seen the first goes on by so many, as if others had drawn them, the second by twice as many, and so on.

        By how many each did.
        """


@runtime_checkable
class KnowsUnseen(Protocol):
    """A store, or a server of queues, that knows what clients have done of which nothing that it shows tells."""

    def unseen(self) -> Mapping[str, int]:
        """What is not shown, in words -> how often it was done since the server has started."""


@runtime_checkable
class StandsFor(Protocol):
    """A store that the app knows by names of its own: what it asks them for, it gets from here."""

    def stands_for(self) -> Sequence[tuple[str, int]]:
        """(host, port), all of which lead to the first of its `addresses`."""


@runtime_checkable
class Ages(Protocol):
    """A store that knows time, and that can be made older where it stands."""

    def age(self, seconds: float, since: Any = None, real: float = 0.0) -> None:
        """Whatever vanishes within these seconds has vanished, the rest has so much less to live. Less than 0: so much more.

        ``since``: an image that was taken ``real`` seconds ago; what has been there all that time is as old as it was then.
        """

    def kept(self, image: Any, since: Any, real: float) -> Any:
        """The image as if no time had passed since that other one, which was taken ``real`` seconds before it."""


class Store(Protocol):
    """One service of the scenario. Started once per run; emptied before every pass: first its server, if it has one, then itself.

    ``observe`` shows what others see (committed state only) and never disturbs. ``touched`` is a cheap number that
    is equal at two moments only if nothing changed between them.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[StoreParameters]]

    def __init__(self, name: str, parameters: Any) -> None: ...

    def start(self, host: StoreHost) -> None:
        """Bring it up."""

    def offers(self) -> Mapping[str, str]:
        """For ${{ name.key }} in the scenario's env: url, host, port; path for sqlite and files."""

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """(host, port) that the app may connect to, as `offers` tells them to it."""

    def clear(self) -> None:
        """Empty it, as before the user's setup."""

    def observe(self) -> StoreState:
        """What it holds now."""

    def touched(self) -> int:
        """Changes when the state does."""

    def save(self) -> Any:
        """An image of the state, opaque to others."""

    def restore(self, image: Any) -> None:
        """Back to an image of this store."""

    def stop(self) -> None:
        """Take it down; nothing is left, also after a failed start; also twice."""
