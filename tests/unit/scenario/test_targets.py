"""What a fault hits, or stands between: told at its place when the file loads, for the faults that there are."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.faults import FAULTS
from harness.ports.fault import FaultParameters
from harness.ports.registry import Registry, RuntimeAbilities
from harness.ports.store import StoreParameters
from harness.scenario import LoadedScenario

SYSTEM = """system:
  app: shop:app
  backend: redis
  services: {db: postgres, cache: redis, files: files, api: http, orders: sqlite, world: call}
  workers: {pay: {replicas: 2}, mail: {}}"""


@pytest.fixture
def known(make_registry: Callable[..., Registry]) -> Registry:
    def store(kind: str, **more: Any) -> Any:
        return SimpleNamespace(kind=kind, summary=kind, Parameters=StoreParameters, **more)

    kinds = ("postgres", "redis", "files", "http", "sqlite", "call")
    return make_registry(faults=dict(FAULTS), stores={kind: store(kind) for kind in kinds})


@pytest.mark.parametrize(
    "fault",
    [
        "net.partition, between: [pay, broker], mode: stall",
        "net.partition, between: [broker, pay-2], mode: blackhole, direction: upstream",
        "net.partition, between: [producer, broker], mode: refuse",
        "net.partition, between: [mail, api], mode: reset, direction: both",
        "net.latency, between: [pay, db], latency: 100ms, jitter: 10ms",
        "net.bandwidth, between: [backend, mail-1], rate: 16, direction: downstream",
        "net.disconnect, target: pay",
        "net.disconnect",
        "broker.kill, down: 1s",
        "broker.flush",
        "backend.restart, down: 1s, keep: false",
        "backend.kill",
        "backend.pause",
        "db.restart, target: db, down: 2s, kill: true",
        "db.pause, target: cache",
    ],
)
def test_it_loads(fault: str, load: Callable[..., list[LoadedScenario]], doc: Callable[..., str], known: Registry) -> None:
    (loaded,) = load(doc(system=SYSTEM, timeline=f"timeline: [{{at: 1s, for: 1s, fault: {fault}}}]"), known)
    assert loaded.fault_kinds[0].name == fault.partition(",")[0]


CASES = [
    # between
    ("net.partition, between: «[pay]", "`between` has at least 2 entries"),
    ("net.partition, between: «[pay, broker, mail]", "`between` has at most 2 entries"),
    ("net.partition, between: «broker", "`between` is a list, not `broker`"),
    ("net.partition, between: [pay, «7]", "is text, not the number 7"),
    ("«net.partition, mode: stall", "`between` is missing in `net.partition`"),
    ("net.partition, between: [pay, «brokr]", "no worker, broker or service `brokr`; did you mean `broker`?"),
    ("net.partition, between: [«poy, broker]", "no worker, broker or service `poy`; did you mean `pay`?"),
    ("net.partition, between: [«pay-3, broker]", "no worker, broker or service `pay-3`"),
    ("net.partition, between: [«produce, broker]", "did you mean `producer`?"),
    ("net.partition, between: «[pay, mail]", "`pay` and `mail` do not talk to one another; both depend on others"),
    ("net.partition, between: «[pay, pay]", "do not talk to one another"),
    ("net.partition, between: «[producer, pay-1]", "`producer` and `pay-1` do not talk to one another"),
    ("net.partition, between: «[broker, backend]", "`broker` and `backend` do not talk to one another; neither of them is a worker"),
    ("net.partition, between: «[db, broker]", "one of pay, mail or producer, and one of broker, backend, db"),
    (
        "net.partition, between: [pay, «orders]",
        "`orders` (sqlite) has no address: there is no connection that `net.partition` could disturb",
    ),
    ("net.latency, between: [«files, pay], latency: 1s", "`files` (files) has no address"),
    ("net.latency, between: [pay, «world], latency: 1s", "with an address: broker, backend, db, cache and api"),
    # their other keys
    ("net.partition, between: [pay, broker], mode: «drop", "`mode` is stall, blackhole, refuse or reset, not `drop`"),
    ("net.partition, between: [pay, broker], direction: «in", "`direction` is both, upstream or downstream"),
    ("net.latency, between: [pay, broker], latency: «0s", "`latency` is above 0"),
    ("net.latency, between: [pay, broker], latency: «100", "a duration needs a unit"),
    ("net.bandwidth, between: [pay, broker], rate: «0", "`rate` is at least 1"),
    # target
    ("net.disconnect, target: «broker", "`net.disconnect` hits workers, and `broker` is none"),
    ("net.disconnect, target: «pays", "no worker group or replica `pays`; did you mean `pay`?"),
    (
        "db.restart, target: «orders",
        "`orders` (sqlite) has no server of its own that `db.restart` could hit; services with a server: db and cache",
    ),
    ("db.pause, target: «api", "`api` (http) has no server of its own"),
    ("db.pause, target: «broker", "`db.pause` hits a service's server, and `broker` is none; write `fault: broker.pause`"),
    ("db.restart, target: «pay", "`db.restart` hits a service's server, and `pay` is none"),
    ("db.restart, target: «dbs", "no service `dbs`; did you mean `db`?"),
]


@pytest.mark.parametrize(("fault", "says"), CASES, ids=[case[0].replace("«", "") for case in CASES])
def test_refused(fault: str, says: str, refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known: Registry) -> None:
    item = f"{{at: 1s, fault: {fault}}}" if not fault.startswith("«") else f"«{{at: 1s, fault: {fault[1:]}}}"
    (error,) = refused(doc(system=SYSTEM, timeline=f"timeline:\n- {item}"), known)
    assert says in f"{error.what}; {error.hint}"


def test_refuse_has_no_direction(refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known: Registry) -> None:
    timeline = "timeline:\n- «{at: 1s, fault: net.partition, between: [pay, broker], mode: refuse, direction: upstream}"
    (error,) = refused(doc(system=SYSTEM, timeline=timeline), known)
    assert error.what.startswith("a refused connection has no `direction`")


@pytest.mark.parametrize("fault", ["backend.restart", "backend.kill", "backend.pause"])
def test_a_fault_of_a_backend_that_is_not_there(
    fault: str, refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known: Registry
) -> None:
    (error,) = refused(doc(timeline=f"timeline: [{{at: 1s, fault: «{fault}}}]"), known)
    assert error.what == f"`{fault}` needs a result backend" and "system" in error.hint


def test_a_link_to_a_backend_that_is_not_there(
    refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known: Registry
) -> None:
    (error,) = refused(doc(timeline="timeline: [{at: 1s, fault: net.partition, between: [worker, «backend]}]"), known)
    assert error.what.startswith("no worker, broker or service `backend`")


def test_a_store_of_a_third_party_says_whether_it_has_a_server(
    load: Callable[..., list[LoadedScenario]], doc: Callable[..., str], known: Registry, make_registry: Callable[..., Registry]
) -> None:
    mine = SimpleNamespace(kind="mongo", summary="", Parameters=StoreParameters, has_server=True)
    more = make_registry(faults=dict(FAULTS), stores={"mongo": mine})
    system = "system: {app: 'shop:app', services: {docs: mongo}}"
    assert load(doc(system=system, timeline="timeline: [{at: 1s, fault: db.restart, target: docs}]"), more)


@pytest.mark.parametrize("part", ["services: {«producer: sqlite}", "workers: {«producer: {}}"])
def test_nothing_else_is_called_producer(
    part: str, refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], make_registry: Callable[..., Registry]
) -> None:
    (error,) = refused(doc(system=f"system: {{app: 'shop:app', {part}}}"), make_registry())
    assert "cannot be called `producer`" in error.what


class Walls:
    """A system without any ability."""


@pytest.mark.parametrize(
    ("fault", "ability"),
    [
        ("net.disconnect", "LeavesNetwork (A worker's container leaves its network"),
        ("net.latency, between: [worker, broker], latency: 1s", "ShapesNetwork"),
    ],
)
def test_a_runtime_that_lacks_the_ability(
    fault: str, ability: str, refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], make_registry: Callable[..., Registry]
) -> None:
    runtimes = {"processes": RuntimeAbilities("processes", Walls)}
    known = make_registry(faults=dict(FAULTS), runtimes=runtimes)
    (error,) = refused(doc(runtime="runtime: processes", timeline=f"timeline: [{{at: 1s, fault: «{fault}}}]"), known)
    assert f"needs {ability}" in error.what and "`processes` does not have" in error.what


def test_every_fault_that_takes_two_parts_calls_them_between() -> None:
    both = {name for name, fault in FAULTS.items() if "between" in fault.Parameters.model_fields}
    assert both == {"net.latency", "net.bandwidth", "net.partition"}
    assert all(issubclass(fault.Parameters, FaultParameters) for fault in FAULTS.values())
