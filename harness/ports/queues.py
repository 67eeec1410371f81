"""The broker's queues and the result backend as the explorer needs them: seen, saved, set back, and taken from by hand."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.model.world import Row
from harness.ports.broker import Endpoint

__all__ = ["HoldsMessages", "Kept", "Queues", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in a queue. ``eta``: wall seconds, None for at once; ``document``: the envelope as it lies there; ``item``: its bytes."""

    queue: str  # the list that it lies in
    item: bytes
    task_id: str
    task: str
    retries: int
    redelivered: bool
    eta: float | None
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the server holds at one moment. ``rows``: what is no message and no routing: key, type, value, expires."""

    waiting: tuple[Waiting, ...]  # oldest first, queue by queue
    rows: tuple[Row, ...]
    image: Any  # opaque: for `restore`


class Queues(Protocol):
    """A server of ours that a broker or a result backend lives in, while no worker consumes."""

    def settled(self) -> bool:
        """See `harness.ports.store.Settles`."""

    def fingerprint(self) -> Hashable:
        """See `harness.ports.store.Fingerprints`."""

    def look(self) -> Kept:
        """Everything, at one moment."""

    def restore(self, image: Any) -> None:
        """Back to an image, and nothing beside it."""

    def take(self, waiting: Waiting) -> bool:
        """Remove it from its queue; whether it was there."""

    def put(self, queue: str, document: Mapping[str, Any]) -> None:
        """To the end that is served next, flagged as redelivered, as kombu gives back what was not acknowledged."""

    def close(self) -> None:
        """Drop connections."""


@runtime_checkable
class HoldsMessages(Protocol):
    """A kind of server whose queues can be explored."""

    def queues(self, endpoint: Endpoint, *, transport_options: Mapping[str, Any] | None = None) -> Queues:
        """Of a running server, as its monitor sees it."""
