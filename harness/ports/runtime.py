"""A runtime: starts the system of a scenario, pass by pass, and takes all of it down again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.model.scenario import LoadItem, Scenario
from harness.model.world import World
from harness.ports.broker import BrokerInspector, BrokerKind
from harness.ports.clock import Clock
from harness.ports.effects import EffectTriggers, WatchedPass
from harness.ports.store import SeenEffect, Store
from harness.ports.system import RunningSystem

__all__ = ["Death", "LiveSystem", "PassPlan", "Runtime", "SystemPlan"]


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """All that a runtime needs to know. ``root``: the user's project folder; ``folder``: the run's report folder."""

    run_id: str
    scenario: Scenario
    root: Path
    folder: Path
    broker: BrokerKind
    backend: BrokerKind | None
    stores: Mapping[str, Store]
    clock: Clock
    kinds: Mapping[str, BrokerKind] = field(default_factory=dict)  # every kind of server that a store may ask for
    where: Callable[..., str] = lambda *path: ".".join(map(str, path))  # ("system", "egress", 0) -> file:line:column
    say: Callable[[str], None] = lambda text: None  # progress in words, for what takes long before the run begins
    effects: Callable[[WatchedPass], EffectTriggers] | None = None  # None: no fault of the scenario strikes at an effect


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One pass: ``clean1``, ``clean2`` or ``faults``. ``alone``: one replica with concurrency 1 per group."""

    name: str
    calls: Sequence[tuple[int, int, int]]  # (number, index of the load item, due in ns after t0)
    mode: str  # timed, fast, single, live, locust
    order: Sequence[int] = ()
    triggers: Sequence[Mapping[str, Any]] = ()
    alone: bool = False
    load: Sequence[LoadItem] = ()  # in place of the scenario's, where the calls were not known before

    @property
    def clean(self) -> bool:
        """Is it one for reference, without any fault?"""
        return self.name.startswith("clean")


@dataclass(frozen=True, slots=True)
class Death:
    """A process of ours ended. ``at`` on the clock; ``status`` as subprocess has it (negative: signal)."""

    name: str
    kind: str
    pid: int
    at: float
    status: int
    children: tuple[int, ...] = field(default=())
    expected: bool = False


class LiveSystem(RunningSystem, Protocol):
    """A started system. Everything that it starts, `close` stops, also after an error half-way."""

    def open(self) -> str:
        """Start brokers and stores; what is ready, in words."""

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Import the app in a child without any connection and answer what the scenario asks of it (docs/journal.md, `check`)."""

    def examine_locust(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Import the locustfile in a child without any connection and answer what it holds (docs/journal.md, `locust-check`)."""

    def begin_pass(self, plan: PassPlan) -> Path:
        """Empty brokers and stores, run the user's setup, start producer and workers; the folder of the journals."""

    def tell_producer(self, line: str) -> None:
        """One line to the producer: go, call, stop."""

    def release(self, fault: int) -> None:
        """Let a task go that is held at an armed point."""

    def arm(self, triggers: Sequence[Mapping[str, Any]]) -> None:
        """In a live pass: all triggers that are armed from now on, those of before among them (docs/journal.md)."""

    def poll(self) -> Sequence[Death]:
        """Processes that ended since the last call."""

    def trouble(self, names: Collection[str], said: Sequence[str] = (), *, starting: bool = False) -> str:
        """What keeps these processes from getting on, in words, as far as their logs and what they ``said`` tell for certain; else ''.

        ``starting``: they have never connected.
        """

    def stop_workers(self, grace: float) -> None:
        """SIGTERM, then SIGKILL to what is left after `grace` seconds (0: SIGKILL at once); the producer too."""

    def observe(self) -> World:
        """All stores, now."""

    def effects(self) -> Mapping[str, Sequence[SeenEffect]]:
        """Per store that logs them: what it saw happen in this pass."""

    def touched(self) -> tuple[int, ...]:
        """Equal at two moments only if no store changed between them."""

    def broker(self) -> BrokerInspector:
        """The broker's inspector."""

    def backend_results(self) -> dict[str, dict[str, Any]] | None:
        """What the result backend's keys hold; None: there is none, or it cannot be read."""

    def undeclared(self) -> Sequence[str]:
        """Connections that were refused to the user's setup, in words; those of workers and producer are in the journals."""

    def environment(self) -> dict[str, str]:
        """Versions and addresses for the report, without secrets."""

    def logs(self) -> Mapping[str, Path]:
        """Log files by process name."""

    def came_to_its_end(self) -> None:
        """The run did, regularly: what is healthy and can be proven clean may be handed on when it is closed."""

    def close(self) -> None:
        """Stop and remove everything; never raises; also twice."""


class Runtime(Protocol):
    """Makes systems. ``name`` is what `--runtime` takes."""

    name: str

    def available(self) -> str:
        """'' where it can be used on this machine, else why not."""

    def system(self, plan: SystemPlan) -> LiveSystem:
        """A system that is not started yet."""

    def keep(self) -> None:
        """From now on what is healthy and can be proven clean may outlive a system, for the next one, until `close`. Also twice."""

    def close(self) -> None:
        """Stop and remove what was kept, and keep nothing from then on; never raises; also twice."""
