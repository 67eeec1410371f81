"""Links, servers and workers that only remember what was done to them; and histories, delivery by delivery."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.faults import FAULTS
from harness.model.history import Delivery, FaultRecord, History, Message, ProcessLife
from harness.ports.network import Link, Toxic, Traffic


def fault(name: str, **parameters: Any) -> Any:
    """A fault with these parameters, as a scenario file writes them."""
    kind = FAULTS[name]
    return kind(kind.Parameters.model_validate(parameters), random.Random(1))


def record(**more: Any) -> FaultRecord:
    """Of a fault that lasted from 1 s to 2 s."""
    return FaultRecord(**{"index": 0, "name": "x", "planned": "at 1 s", "begun": 1.0, "ended": 2.0, **more})


def life(**more: Any) -> ProcessLife:
    """Of the worker pay-1."""
    return ProcessLife(**{"name": "pay-1", "kind": "worker", "pid": 10, "up": -1.0, "ready": -0.5, **more})


class Told:
    """Builds a history."""

    def __init__(self, *lives: ProcessLife) -> None:
        self.history = History(processes=list(lives or (life(),)))

    def publish(self, at: float, ok: float | None = None, *, took: float = 0.01, **more: Any) -> Message:
        """A message, published at that time."""
        number = len(self.history.messages) + 1
        ok = ok if ok is not None or more.get("failed") else at + took
        message = Message(f"m{number}", f"t{number}", "pay.charge", 0, number, begun=at, ok=ok, **more)
        self.history.messages[message.id] = message
        return message

    def deliver(self, at: float, message: Message | None = None, *, worker: str = "pay-1", took: float = 0.1, **more: Any) -> Delivery:
        """A delivery that runs at once, for so long."""
        message = message or self.publish(at - 0.02)
        number = len(self.history.deliveries) + 1
        fields = {"start": at, "end": at + took, "state": "SUCCESS", **more}
        delivery = Delivery(f"d{number}", message, worker, 10, at, f"tag{number}", False, **fields)
        message.deliveries.append(delivery)
        self.history.deliveries[delivery.id] = delivery
        return delivery


@dataclass
class FakeLink:
    """A link whose proxy does as it is told; ``hangs``: calls that fail."""

    client: str
    dependency: str
    names: list[str] = field(default_factory=list)
    added: list[Toxic] = field(default_factory=list)
    open: bool = True
    counted: Traffic = field(default_factory=Traffic)
    hangs: set[str] = field(default_factory=set)
    counts_live: bool = True

    def _call(self, what: str) -> None:
        if what in self.hangs:
            raise EnvironmentFault(f"the proxy of {self.client} hangs")

    def add(self, toxic: Toxic) -> None:
        """See `Link`."""
        self._call(f"add {toxic.stream}")
        self.added.append(toxic)
        self.names = [*(name for name in self.names if name != toxic.label), toxic.label]

    def remove(self, label: str) -> None:
        """See `Link`."""
        self._call("remove")
        self.names = [name for name in self.names if name != label]

    def toxics(self) -> Sequence[str]:
        """See `Link`."""
        return tuple(self.names)

    def disable(self) -> None:
        """See `Link`."""
        self.open = False

    def enable(self) -> None:
        """See `Link`."""
        self._call("enable")
        self.open = True

    def enabled(self) -> bool:
        """See `Link`."""
        return self.open

    def traffic(self) -> Traffic:
        """See `Link`."""
        self._call("traffic")
        return self.counted


@dataclass
class FakeNetwork:
    """Links between any two parts."""

    all: list[FakeLink]

    def links(self, between: Sequence[str]) -> Sequence[Link]:
        """See `ShapesNetwork`."""
        found = [
            link
            for link in self.all
            if {link.client.partition("-")[0], link.dependency} == set(between) or {link.client, link.dependency} == set(between)
        ]
        if not found:
            raise ScenarioError(f"{between[0]} and {between[1]} do not talk to one another")
        return found


@dataclass
class FakeServers:
    """Servers that stop, start and freeze."""

    calls: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    fails: str = ""

    def _note(self, call: str) -> None:
        self.calls.append(call)

    def server_clients(self, part: str) -> int:
        return 0

    def stop_server(self, part: str, *, keep: bool, kill: bool = False) -> None:
        """See `RestartsServers`."""
        self._note(f"stop {part} keep={keep} kill={kill}")
        self.down.add(part)
        if self.fails == "stop":
            raise EnvironmentFault(f"{part} did not stop")

    def start_server(self, part: str) -> None:
        """See `RestartsServers`."""
        self._note(f"start {part}")
        if self.fails != "start":
            self.down.discard(part)

    def server_runs(self, part: str) -> bool:
        """See `RestartsServers`."""
        return part not in self.down | self.frozen

    def pause_server(self, part: str) -> None:
        """See `PausesServers`."""
        self._note(f"pause {part}")
        self.frozen.add(part)

    def resume_server(self, part: str) -> None:
        """See `PausesServers`."""
        self._note(f"resume {part}")
        self.frozen.discard(part)
