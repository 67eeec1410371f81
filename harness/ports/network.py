"""The network between two named parts of a system: links through a proxy, and what can be done to them.

Toxic types, attributes and streams are Toxiproxy's (https://github.com/Shopify/toxiproxy): ``upstream`` is what the
client sends, ``downstream`` what it receives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from harness.ports.system import Worker

__all__ = ["LeavesNetwork", "Link", "ShapesNetwork", "Stream", "Toxic", "Traffic", "host_name"]


Stream = Literal["upstream", "downstream"]


def host_name(part: str) -> str:
    """A part's name as that of a host (RFC 952, RFC 1123): small letters, digits and -; '' where nothing is left of it.

    What verifies names refuses others: certificates, and frameworks that look at an HTTP request's Host.
    """
    return part.lower().replace("_", "-").strip("-")


@dataclass(frozen=True, slots=True)
class Toxic:
    """One disturbance of one direction. ``toxicity``: share of connections that it hits."""

    type: str
    stream: Stream = "downstream"
    attributes: Mapping[str, int] = field(default_factory=dict)
    toxicity: float = 1.0
    name: str = ""

    @property
    def label(self) -> str:
        """Its name at the proxy: Toxiproxy's own default where none is given."""
        return self.name or f"{self.type}_{self.stream}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that a link took in and gave out, per direction, since it was made. What was taken in only is held or dropped."""

    sent_in: int = 0  # upstream: from the client
    sent_out: int = 0  # upstream: to the dependency
    received_in: int = 0  # downstream: from the dependency
    received_out: int = 0  # downstream: to the client

    def since(self, before: Traffic) -> Traffic:
        """The difference."""
        return Traffic(
            self.sent_in - before.sent_in,
            self.sent_out - before.sent_out,
            self.received_in - before.received_in,
            self.received_out - before.received_out,
        )

    @property
    def kept(self) -> int:
        """Bytes that went in and did not come out."""
        return max(0, self.sent_in - self.sent_out) + max(0, self.received_in - self.received_out)

    @property
    def passed(self) -> int:
        """Bytes that came out."""
        return self.sent_out + self.received_out


class Link(Protocol):
    """The connections of one client (pay-1, producer) to one dependency (broker, backend, a service).

    EnvironmentFault where the proxy does not answer.
    """

    client: str
    dependency: str
    #: Are bytes counted as they pass? The Go Toxiproxy counts those of a connection when it ends: no evidence about a fault.
    counts_live: bool

    def add(self, toxic: Toxic) -> None:
        """Disturb it. A toxic of the same name is replaced."""

    def remove(self, label: str) -> None:
        """Without this toxic; gone already is fine."""

    def toxics(self) -> Sequence[str]:
        """Names of the toxics in force."""

    def disable(self) -> None:
        """Close every connection and refuse new ones."""

    def enable(self) -> None:
        """Take connections again."""

    def enabled(self) -> bool:
        """Does the proxy take connections?"""

    def traffic(self) -> Traffic:
        """Counted by the proxy; see `counts_live`."""


@runtime_checkable
class ShapesNetwork(Protocol):
    """Network faults between two named parts."""

    def links(self, between: Sequence[str]) -> Sequence[Link]:
        """The links between two parts, in either order: a worker group ('pay'), one replica ('pay-1') or 'producer', and
        'broker', 'backend' or a service. ScenarioError where the two do not talk to one another.
        """


@runtime_checkable
class LeavesNetwork(Protocol):
    """A worker's container leaves its network altogether, and comes back."""

    def leave_network(self, worker: Worker) -> None:
        """Cut it off from everything, without a word to either side."""

    def join_network(self, worker: Worker) -> None:
        """Back, under its name."""

    def on_network(self, worker: Worker) -> bool:
        """Is it connected?"""
