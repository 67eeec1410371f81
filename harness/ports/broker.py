"""Brokers: how one is started, addressed and looked into, and what its delivery semantics are (as data)."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.model.history import Held
from harness.model.rules import BrokerRules

__all__ = [
    "BrokerInspector",
    "BrokerKind",
    "ContainerPlan",
    "Endpoint",
    "Login",
    "RenewsLogins",
    "ServerPlan",
    "ShowsRules",
    "ShowsUse",
    "Tls",
    "WatchesMessages",
]


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a server, made for the run."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files made for the run: the authority's certificate, the server's certificate and key."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens, and the credentials made for this run. ``repr`` shows no password.

    ``user`` and ``password`` are the monitor's, which may do everything; ``logins`` (role -> login, for 'worker' and
    'producer') may do what an app needs and no more. ``ports``: further ports by name, e.g. management. ``inside``:
    where the app finds the server, if that is not where the harness does.
    """

    host: str
    port: int
    password: str = field(repr=False, default="")
    user: str = ""
    logins: Mapping[str, Login] = field(default_factory=dict, repr=False)
    tls: Tls | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    inside: tuple[str, int] | None = None

    def for_app(self, role: str = "worker", at: tuple[str, int] | None = None) -> Endpoint:
        """The same server as a process of the app sees it: its address (``at``: a proxy's), its login."""
        host, port = at or self.inside or (self.host, self.port)
        login = self.logins.get(role, Login(self.user, self.password))
        return replace(self, host=host, port=port, user=login.user, password=login.password, logins={}, ports={}, inside=None)


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How to start a server as a process: argv, environment and files to write first (path -> text, mode 0600).

    ``stop_signal``: how it is told to leave soon; ``tidies``: SIGKILL would leave something in the system (shared memory), so
    it is told at every end. ``first``: commands that must have ended well before (initdb). ``companions``: argvs of processes
    that live as long as the server does (RabbitMQ's epmd). ``user``: the system user to become where we are root and the
    server refuses root.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    first: Sequence[tuple[str, ...]] = ()
    companions: Sequence[tuple[str, ...]] = ()
    user: str = ""
    start_seconds: float = 20.0
    stop_signal: int = signal.SIGTERM
    tidies: bool = False


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """How to start a server as a container. ``image``: its name in the table of images, e.g. 'redis'.

    ``argv`` takes the place of the image's entry point and names programs on its PATH, so that the public image and a
    local equivalent need nothing else in common. ``files``: path inside -> text, mode 0644, there before it starts.
    ``port`` and ``ports``: where it listens inside; it listens on every address of the container.
    """

    image: str
    argv: tuple[str, ...]
    port: int
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    start_seconds: float = 60.0


class BrokerInspector(Protocol):
    """Read-only looks, and copies of messages. Never used on a broker that we did not start."""

    def depth(self) -> tuple[int, int]:
        """(ready, unacked) over all queues, now. Dead letters are not counted, nor what lies where nobody ever consumed: nobody is
        expected to take them.
        """

    def look(self, wall_offset: float) -> Sequence[Held]:
        """Every message that the broker holds. ``wall_offset``: wall seconds minus the history's clock. Atomic where the broker allows."""

    def duplicate(
        self, queue: str, *, share: float, count: int | None, together: bool, rng: random.Random, seen: set[str], only: str = ""
    ) -> int:
        """Copy messages (running ones too where ``together``) as true second deliveries; how many.

        ``seen``: ids of messages that were decided on already; it grows. ``only``: with ``together``, those of this task id.
        """

    def flush(self) -> int:
        """Throw away every message that waits to be delivered (those that a worker holds stay its own); how many."""

    def results(self) -> dict[str, dict[str, Any]]:
        """Where the result backend lives in the same kind of server: task id -> decoded result document."""

    def close(self) -> None:
        """Drop connections."""


@runtime_checkable
class WatchesMessages(Protocol):
    """An inspector of a broker that says nothing of messages that a worker has, but for those that it saw on their way."""

    def watch(self, queue: str) -> None:
        """From now on; the last few thousand are remembered."""


@runtime_checkable
class ShowsRules(Protocol):
    """An inspector of a broker whose queues drop, delete or dead-letter messages by rules of their own."""

    def rules(self) -> BrokerRules:
        """As of its last `look`."""


@runtime_checkable
class ShowsUse(Protocol):
    """An inspector of a broker that says how much it uses."""

    def use(self) -> tuple[int | None, int | None]:
        """(memory in bytes, connections of clients), now; None where it does not say. EnvironmentFault or OSError without an answer."""


class BrokerKind(Protocol):
    """One kind of server that Celery knows: a broker, a result backend, or both; also the server of stores of that kind."""

    kind: str
    #: How people write it, e.g. RabbitMQ.
    title: str
    #: What a scenario may use it as: 'broker', 'backend', 'service'.
    roles: frozenset[str]
    #: Names of the ports that it needs beside the one that clients use, e.g. management.
    further_ports: tuple[str, ...]
    #: Delivery semantics that oracles rest on, e.g. {'redelivers_on': 'visibility_timeout', 'pop_before_unacked': True}.
    semantics: Mapping[str, Any]

    def find(self) -> tuple[str, str]:
        """(path of the server program, version); EnvironmentFault if there is none, saying how to get one."""

    def plan(self, program: str, folder: Path, endpoint: Endpoint, *, persistence: bool) -> ServerPlan:
        """How to start it as a process."""

    def container(self, endpoint: Endpoint, *, persistence: bool) -> ContainerPlan:
        """How to start it in a container; only the credentials of ``endpoint`` and its TLS files count."""

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """Does *our* process answer there, all that a client needs in place? (False while starting; a stranger on the port is
        never ready.) ``pid`` 0: it runs in a container of ours, any process will do.
        """

    def reset(self, endpoint: Endpoint) -> bool:
        """Make a running server as it was when it first answered, and cut every client off; much quicker than a start.

        False where that cannot be had for certain: then it is started anew on an empty folder. The app's logins must not
        be able to change what this does not take back.
        """

    def clients(self, endpoint: Endpoint) -> int:
        """How many connections the app has to it now, by its logins. EnvironmentFault where it does not answer."""

    def version(self, endpoint: Endpoint) -> str:
        """What a running server says of itself."""

    def login(self, role: str) -> str:
        """The user name for a role ('monitor', 'worker', 'producer'); '' where passwords stand alone."""

    def url(self, endpoint: Endpoint, db: int = 0, *, role: str = "broker") -> str:
        """URL with credentials as Celery takes it, for use as 'broker', 'backend' or 'service'; TLS in the scheme where that is usual."""

    def client_settings(self, redelivery: float | None) -> dict[str, Any]:
        """Celery settings that a scenario's `redelivery` needs (merged into the app's own)."""

    def tls_settings(self, role: str, authority: Path) -> dict[str, Any]:
        """Celery settings with which an app verifies this server ('broker' or 'backend') against the run's authority."""

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector that honours the app's transport options (separator, steps, global_keyprefix, unacked_key)."""


@runtime_checkable
class RenewsLogins(Protocol):
    """A kind of server whose logins can be changed while it runs, so that it may outlive a run."""

    def renew(self, endpoint: Endpoint) -> bool:
        """Make the app's logins those of ``endpoint``, which have other names than those of before: these are removed. `reset` follows
        at once: after it nobody is in, or comes in, who had a login of before, even if the server had accepted its password already.
        False: not certain, so nobody may use it any more.
        """
