"""What the common part of a system asks of a runtime: processes, servers, a proxy; here or in containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.ports.broker import BrokerKind, Endpoint

__all__ = ["Managed", "ProxyHost", "ServerHandle", "ServerSpec"]


class Managed(Protocol):
    """One process of ours, with its children. ``pid`` and those of children are unique over the run and those of the journals."""

    name: str
    kind: str  # worker, producer, broker, backend, service, proxy
    group: str
    up: float
    down: float | None  # on the clock; None while it runs
    expected_end: bool
    reported: bool  # by `poll`
    known_children: set[int]
    log: Path

    @property
    def pid(self) -> int:
        """The main process."""

    @property
    def status(self) -> int | None:
        """As subprocess has it (negative: signal); None while it runs."""

    def alive(self) -> bool:
        """Running (a zombie is not)."""

    def children(self) -> Sequence[int]:
        """Children that run now."""

    def use(self) -> tuple[float, int] | None:
        """(processor seconds, resident bytes), with its children's; None where it is gone, or does not say."""

    def kill(self) -> tuple[int, ...]:
        """SIGKILL to all of it, orphans too; the pids that were hit."""

    def kill_child(self, pid: int) -> bool:
        """SIGKILL to one child; was it there?"""

    def signal_main(self, number: int) -> None:
        """Signal the main process alone."""

    def pause(self) -> None:
        """Freeze all of it; returns when it is frozen. EnvironmentFault where it does not freeze."""

    def resume(self) -> None:
        """Thaw it, whoever froze it; a no-op where it runs."""

    def tell(self, line: str) -> None:
        """One line to its standard input; EnvironmentFault where it is gone."""

    def close_input(self) -> None:
        """End of its standard input."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server that a scenario asks for. ``name``: broker, backend, or the service's; ``role`` says which of these it is.

    ``tls``: False, True, or the way in which its certificate is bad ('wrong_name', 'expired'). ``owned``: the app may do everything
    there, so that no reset takes all of it back.
    """

    kind: BrokerKind
    name: str
    role: str
    persistence: bool = False
    tls: bool | str = False
    owned: bool = False


class ServerHandle(Protocol):
    """A server of the run. Its endpoint stays the same over restarts; clients need not know of them."""

    spec: ServerSpec
    endpoint: Endpoint
    version: str
    processes: list[Managed]

    def start(self) -> None:
        """Start it and wait until *ours* answers; EnvironmentFault with its name and last log lines."""

    def stop(self, *, keep: bool = True, kill: bool = False) -> None:
        """SIGTERM (it saves what it must) or SIGKILL; without ``keep`` its data are removed."""

    def alive(self) -> bool:
        """Is its process or container running (frozen counts)?"""

    def answers(self) -> bool:
        """Does it run and answer?"""

    def empty(self) -> None:
        """As after a first start: by a reset where the kind can prove it and the app does not own it, else by a start from nothing."""

    def pause(self) -> None:
        """Freeze."""

    def resume(self) -> None:
        """Thaw."""

    def save_log(self) -> None:
        """What it has written so far is in its log when this returns; never raises."""

    def remove(self) -> None:
        """Away with it; never raises; also twice."""


class ProxyHost(Protocol):
    """Where network proxies run."""

    def api(self) -> tuple[str, int]:
        """(host, port) of Toxiproxy's API, started if it is not yet running."""

    def listen(self) -> str:
        """What a new proxy listens on, e.g. '127.0.0.1:0' or '0.0.0.0:20001'."""

    def reached_at(self, listening: tuple[str, int]) -> tuple[str, int]:
        """Where the app finds a proxy that says it listens there."""

    def last_lines(self) -> Sequence[str]:
        """Of its log."""
