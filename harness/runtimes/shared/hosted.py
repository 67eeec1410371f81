"""What a runtime fills in: how a process, a server and a proxy are started, and how the app is asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ports.broker import Tls
from harness.runtimes.shared.control import Control
from harness.runtimes.shared.hosting import Managed, ProxyHost, ServerHandle, ServerSpec

__all__ = ["Hosted", "Replica"]


@dataclass
class Replica:
    """One worker under its name; `process` changes when it is started again."""

    name: str
    group: str
    process: Managed

    @property
    def pid(self) -> int:
        """The main process of the current life."""
        return self.process.pid

    def alive(self) -> bool:
        """Is it running?"""
        return self.process.alive()

    def children(self) -> Sequence[int]:
        """Pool children, running now."""
        return self.process.children()


class Hosted(Control):
    """The abilities that faults use, on top of what is filled in."""

    @abstractmethod
    def prepare_host(self) -> None:
        """Look at what the runtime itself needs; called once, before anything is started."""

    @abstractmethod
    def make_server(self, spec: ServerSpec, tls: Tls | None) -> ServerHandle:
        """Not started yet."""

    @abstractmethod
    def origin_of(self, spec: ServerSpec) -> str:
        """The program or image that a server of this kind is made of: one made of another never takes its place."""

    @abstractmethod
    def server_log(self, spec: ServerSpec) -> Path:
        """Where what it writes is kept for this run."""

    @abstractmethod
    def interpreter(self) -> str:
        """The Python that imports the app, and the libraries it has: an answer of another one says nothing."""

    @abstractmethod
    def all_dead(self) -> bool:
        """Is it certain that no process of the app's runs any more, whatever it did to outlive its end?"""

    @abstractmethod
    def spawn(self, name: str, kind: str, arguments: Sequence[str], settings: Path, *, group: str = "", pid_base: int = 0) -> Managed:
        """One of the agent's programs under the user's Python: worker or producer, with `seats.offers` of its own in its environment."""

    @abstractmethod
    def ask(
        self, program: str, request: Mapping[str, Any], settings: Path, *, log: str, offers: Mapping[str, Mapping[str, str]]
    ) -> dict[str, Any]:
        """One of the agent's question-and-answer programs: check or call."""

    @abstractmethod
    def proxy_host(self) -> ProxyHost:
        """Where proxies run."""

    @abstractmethod
    def expose(self, name: str, port: int) -> tuple[str, int]:
        """See `StoreHost`."""

    @abstractmethod
    def common_folder(self) -> Path:
        """What lies in it every child may see."""

    @abstractmethod
    def certificate_hosts(self, spec: ServerSpec) -> Sequence[str]:
        """Every name and address under which clients find that server."""

    @abstractmethod
    def close_host(self) -> None:
        """Stop what the runtime itself started."""
