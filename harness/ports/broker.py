"""Brokers: how one is started, addressed and looked into, and what its delivery semantics are (as data)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.model.history import Held

__all__ = ["BrokerInspector", "BrokerKind", "Endpoint", "ServerPlan"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens and the credential made for this run. ``repr`` never shows the password."""

    host: str
    port: int
    password: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How to start a server as a process: argv, environment and files to write first (path -> text, mode 0600)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)


class BrokerInspector(Protocol):
    """Read-only looks, and copies of messages. Never used on a broker that we did not start."""

    def depth(self) -> tuple[int, int]:
        """(ready, unacked) over all queues, now."""

    def look(self, wall_offset: float) -> Sequence[Held]:
        """Every message that the broker holds. ``wall_offset``: wall seconds minus the history's clock. Atomic where the broker allows."""

    def duplicate(self, queue: str, *, share: float, count: int | None, together: bool, rng: random.Random, seen: set[str]) -> int:
        """Copy messages (running ones too where ``together``) as true second deliveries; how many.

        ``seen``: ids of messages that were decided on already; it grows.
        """

    def results(self) -> dict[str, dict[str, Any]]:
        """Where the result backend lives in the same kind of server: task id -> decoded result document."""

    def close(self) -> None:
        """Drop connections."""


class BrokerKind(Protocol):
    """One kind of broker; also result backends and stores of the same software."""

    kind: str
    #: Delivery semantics that oracles rest on, e.g. {'redelivers_on': 'visibility_timeout', 'pop_before_unacked': True}.
    semantics: Mapping[str, Any]

    def find(self) -> tuple[str, str]:
        """(path of the server program, version); EnvironmentFault if there is none, saying how to get one."""

    def plan(self, program: str, folder: Path, endpoint: Endpoint, *, persistence: bool) -> ServerPlan:
        """How to start it."""

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """Does *our* process answer there? (False while starting; a stranger on the port is never ready.)"""

    def url(self, endpoint: Endpoint, db: int = 0) -> str:
        """Broker or backend URL with credentials, as Celery takes it."""

    def client_settings(self, redelivery: float | None) -> dict[str, Any]:
        """Celery settings that a scenario's `redelivery` needs (merged into the app's own)."""

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector that honours the app's transport options (separator, steps, global_keyprefix, unacked_key)."""
