"""Names to objects: the one place that knows every fault, check, broker, store, runtime and report.

Third parties add theirs by entry points: groups ``celery_harness.faults``, ``.checks``, ``.brokers``, ``.stores``,
``.runtimes`` and ``.writers``; the entry point's name is the name in the scenario file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.brokers import BROKERS
from harness.checks import CHECKS
from harness.errors import EnvironmentFault, UsageError
from harness.faults import FAULTS
from harness.load.arrivals import load_seconds, plan_calls
from harness.model.scenario import Scenario
from harness.ports.check import Check
from harness.ports.clock import Clock, derived_random
from harness.ports.effects import EffectTriggers, WatchedPass
from harness.ports.exploring import ExploresHere, Mechanism, Surroundings
from harness.ports.fault import Fault
from harness.ports.registry import Registry, RuntimeAbilities
from harness.ports.reporter import Writer
from harness.ports.runtime import Runtime, SystemPlan
from harness.ports.store import Store
from harness.reporting import WRITERS
from harness.runtimes.containers.runtime import ContainerRuntime
from harness.runtimes.containers.system import ContainerSystem
from harness.runtimes.processes.runtime import ProcessRuntime
from harness.runtimes.processes.system import ProcessSystem
from harness.scenario import LoadedScenario
from harness.stores import STORES

if TYPE_CHECKING:  # what only looks at tasks runs nothing
    from harness.run.course import Cell

__all__ = ["RUNTIMES", "build_cell", "choose_runtime", "default_writers", "exploring_parts", "registry", "system_plan", "wanted_runtime"]

#: Where brokers and workers run, if neither the command nor the scenario says it.
RUNTIME_VARIABLE = "CELERY_HARNESS_RUNTIME"

#: In the order in which `auto` tries them.
RUNTIMES: Mapping[str, tuple[type[Any], type[Any]]] = {
    "containers": (ContainerRuntime, ContainerSystem),
    "processes": (ProcessRuntime, ProcessSystem),
}


def _plugins(group: str) -> dict[str, Any]:
    return {point.name: point.load() for point in _points().select(group=f"celery_harness.{group}")}


@cache
def _points() -> Any:
    """Of all packages: to ask costs as much for one group as for all."""
    return entry_points()


@cache
def registry() -> Registry:
    """Everything that a scenario may name, plugins included."""
    return Registry(
        faults={**FAULTS, **_plugins("faults")},
        checks={**CHECKS, **_plugins("checks")},
        brokers={**BROKERS, **_plugins("brokers")},
        stores={**STORES, **_plugins("stores")},
        runtimes={name: RuntimeAbilities(name, system) for name, (_, system) in RUNTIMES.items()},
        writers={**WRITERS, **_plugins("writers")},
    )


def wanted_runtime(loaded: LoadedScenario, asked: str) -> str:
    """The command line's, else the scenario's, else that of the environment; ``auto``: containers where an engine answers, else processes.

    A scenario that names the interpreter of its app (`system.python`) means processes. UsageError where the environment's is none.
    """
    said = (asked, loaded.scenario.runtime, os.environ.get(RUNTIME_VARIABLE) or "auto")
    wanted = next((name for name in said if name != "auto"), "auto")
    if wanted not in ("auto", *RUNTIMES):
        raise UsageError(f"there is no runtime {wanted}", where=RUNTIME_VARIABLE, hint=f"set it to {', '.join(RUNTIMES)} or auto")
    if wanted != "auto":
        return wanted
    if loaded.scenario.system.python:
        return "processes"
    return next((name for name in RUNTIMES if not _reason(name)), "processes")


@cache
def _runtime(name: str) -> Runtime:
    runtime: Runtime = RUNTIMES[name][0]()
    return runtime


@cache
def _reason(name: str) -> str:
    """'' where the runtime can be used here; asked once."""
    return _runtime(name).available()


def choose_runtime(name: str) -> Runtime:
    """By its name. UsageError for an unknown one, EnvironmentFault where this machine cannot use it."""
    if name not in RUNTIMES:
        raise UsageError(f"there is no runtime {name}", hint=f"use --runtime {' or '.join(RUNTIMES)}, or leave it out")
    if reason := _reason(name):
        raise EnvironmentFault(f"the runtime {name} cannot be used on this machine: {reason}", hint="or use another: --runtime processes")
    return _runtime(name)


def default_writers() -> list[Writer]:
    """All report files."""
    return [writer() for writer in registry().writers.values()]


def build_cell(loaded: LoadedScenario, root: Path, clock: Clock) -> Cell:
    """Everything that a loaded scenario names, made."""
    from harness.run.course import Cell

    known = registry()
    scenario = loaded.scenario

    def faults(seed: int) -> Sequence[Fault]:
        return [
            known.faults[item.fault](parameters, derived_random(seed, "fault", index))
            for index, (item, parameters) in enumerate(zip(scenario.timeline, loaded.faults, strict=True))
        ]

    def system(run_id: str, folder: Path) -> SystemPlan:
        return _plan(loaded, scenario, root, run_id, folder, clock)

    checks: list[Check] = [known.checks[name](parameters) for name, parameters in loaded.checks.items()]
    calls = [(call.number, call.item, int(call.due * 1e9)) for call in plan_calls(scenario.load, scenario.seed)]
    return Cell(
        scenario=scenario,
        name=loaded.name,
        file=loaded.path,
        root=root,
        values=dict(loaded.cell),
        text=loaded.text,
        faults=faults,
        checks=checks,
        system=system,
        seed=scenario.seed,
        calls=calls,
        load_seconds=(scenario.locust.duration or 0.0) if scenario.locust else load_seconds(scenario.load, scenario.seed),
        where=loaded.where,
    )


def system_plan(loaded: LoadedScenario, root: Path, run_id: str, folder: Path, clock: Clock) -> SystemPlan:
    """What a runtime needs to know of the system of a loaded scenario."""
    return _plan(loaded, loaded.scenario, root, run_id, folder, clock)


@contextlib.contextmanager
def exploring_parts(
    system: ExploresHere, stores: Mapping[str, Store], points: str = "auto", rows: Sequence[Any] = ()
) -> Iterator[tuple[Mechanism, Surroundings]]:
    """Of an open system, in its first world. What they start is gone afterwards. ``points``: auto, effects or lines.

    ``rows``: what the user's setup is called with.
    """
    from harness.explore.choosing import mechanism_for
    from harness.explore.proof import Plain
    from harness.explore.surroundings import Services

    system.begin_exploring(*rows)
    queues = system.queues()
    launch = system.zygote()
    mechanism = mechanism_for(points, launch)
    try:
        yield mechanism, Services(stores, queues, plain=Plain(launch))
    finally:
        mechanism.close()
        for one in queues.values():
            one.close()


def _plan(loaded: LoadedScenario, scenario: Scenario, root: Path, run_id: str, folder: Path, clock: Clock) -> SystemPlan:
    known = registry()
    backend = scenario.system.backend_spec
    return SystemPlan(
        run_id=run_id,
        scenario=scenario,
        root=root,
        folder=folder,
        broker=known.brokers[scenario.system.broker_spec.kind],
        backend=known.brokers[backend.kind] if backend else None,
        stores={name: known.stores[kind](name, parameters) for name, (kind, parameters) in loaded.stores.items()},
        clock=clock,
        kinds=known.brokers,
        where=loaded.where,
        effects=_watch_effects if any(item.when and item.when.effect for item in scenario.timeline) else None,
    )


def _watch_effects(watched: WatchedPass) -> EffectTriggers:
    from harness.explore.worker_stops import WorkerStops

    return WorkerStops(watched)
