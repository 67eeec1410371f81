"""net.disconnect: one worker leaves the network, and comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from tests.unit.faults.fakes import Told, fault, life, record


@dataclass
class FakeNetworked:
    """Two workers on a network."""

    away: set[str] = field(default_factory=set)
    joins: int = 0
    fails: bool = False
    clock: Any = None

    def workers(self, target: str = "") -> Sequence[Any]:
        """See `RunningSystem`."""
        return [SimpleNamespace(name=n, group="pay") for n in ("pay-1", "pay-2") if target in ("", "pay", n)]

    def started_workers(self) -> Sequence[Any]:
        """See `RunningSystem`."""
        return self.workers()

    def start_worker(self, worker: Any) -> None:
        """See `RunningSystem`."""

    def leave_network(self, worker: Any) -> None:
        """See `LeavesNetwork`."""
        self.away.add(worker.name)
        if self.fails:
            raise EnvironmentFault("the engine does not answer")

    def join_network(self, worker: Any) -> None:
        """See `LeavesNetwork`."""
        self.joins += 1
        self.away.discard(worker.name)

    def on_network(self, worker: Any) -> bool:
        """See `LeavesNetwork`."""
        return worker.name not in self.away


def test_one_worker_leaves_and_comes_back() -> None:
    system, one = FakeNetworked(), fault("net.disconnect", target="pay-2")
    assert one.begin(system).target == "pay-2"
    assert system.away == {"pay-2"} and not one.healed(system)
    one.end(system)
    one.end(system)
    assert one.healed(system) and system.joins == 1


def test_the_worker_in_which_the_event_happened_leaves() -> None:
    system, one = FakeNetworked(), fault("net.disconnect", target="pay")
    one.adopt(system, "pay-1")
    assert one.begin(system).target == "pay-1"


def test_a_leave_that_fails_half_way_is_undone() -> None:
    system = FakeNetworked(fails=True)
    with pytest.raises(EnvironmentFault):
        fault("net.disconnect").begin(system)
    assert not system.away


def test_nobody_to_disconnect() -> None:
    with pytest.raises(ScenarioError):
        fault("net.disconnect", target="mail").begin(FakeNetworked())


def test_evidence() -> None:
    one, gone = fault("net.disconnect"), record(target="pay-1")
    evidence = one.evidence(gone, Told(life(disconnected=[1.6])).history)
    assert (evidence.bit, evidence.text) == (True, "1 worker cut off")
    told = Told()
    told.deliver(2.2, told.publish(1.1))
    assert one.evidence(gone, told.history).text == "1 message waited though a worker was free"
    assert one.evidence(record(target="pay-2"), Told(life(disconnected=[1.6])).history).bit is False
    assert one.evidence(gone, Told().history).text == "pay-1 was idle"
    told = Told()
    told.deliver(0.9, took=1.0)
    assert one.evidence(gone, told.history).bit is None
    assert one.evidence(record(begun=None), Told().history).bit is False
