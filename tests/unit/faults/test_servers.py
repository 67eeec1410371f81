"""Faults of servers: how they stop and come back, and how their evidence is read."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.faults import FAULTS
from tests.unit.faults.fakes import FakeServers, Told, fault, life, record

RESTARTS = {
    "broker.restart": ("broker", {"keep": True}, "keep=True kill=False"),
    "broker.restart forgets": ("broker", {"keep": False}, "keep=False kill=False"),
    "broker.kill": ("broker", {}, "keep=True kill=True"),
    "backend.restart": ("backend", {}, "keep=True kill=False"),
    "backend.restart forgets": ("backend", {"keep": False}, "keep=False kill=False"),
    "backend.kill": ("backend", {}, "keep=True kill=True"),
    "db.restart": ("db", {"target": "db"}, "keep=True kill=False"),
    "db.restart by a kill": ("db", {"target": "db", "kill": True}, "keep=True kill=True"),
}
PAUSES = {"broker.pause": ("broker", {}), "backend.pause": ("backend", {}), "db.pause": ("db", {"target": "db"})}


def make(name: str) -> tuple[Any, str]:
    part, parameters = (RESTARTS.get(name) or PAUSES[name])[:2]
    return fault(name.partition(" ")[0], **parameters), part


@pytest.mark.parametrize("name", RESTARTS)
def test_it_stops_and_comes_back(name: str) -> None:
    servers = FakeServers()
    one, part = make(name)
    assert one.begin(servers).target == part
    assert servers.calls == [f"stop {part} {RESTARTS[name][2]}"]
    assert not one.healed(servers)
    one.end(servers)
    one.end(servers)
    assert one.healed(servers)


@pytest.mark.parametrize("name", RESTARTS)
def test_one_that_does_not_come_back_is_not_healed(name: str) -> None:
    servers = FakeServers(fails="start")
    one, _ = make(name)
    one.begin(servers)
    one.end(servers)
    assert not one.healed(servers)


@pytest.mark.parametrize("name", RESTARTS)
def test_a_stop_that_fails_half_way_leaves_it_running(name: str) -> None:
    servers = FakeServers(fails="stop")
    one, part = make(name)
    with pytest.raises(EnvironmentFault):
        one.begin(servers)
    assert servers.server_runs(part)


def test_it_lasts_as_long_as_it_is_down() -> None:
    assert fault("broker.kill", down="2s").lasts == 2.0
    assert fault("backend.restart").lasts == 0.5


@pytest.mark.parametrize("name", PAUSES)
def test_it_freezes_and_thaws(name: str) -> None:
    servers = FakeServers()
    one, part = make(name)
    assert one.begin(servers).target == part
    assert not one.healed(servers)
    one.end(servers)
    one.end(servers)
    assert one.healed(servers) and servers.calls == [f"pause {part}", f"resume {part}", f"resume {part}"]


def test_two_servers_of_one_scenario_are_two() -> None:
    servers = FakeServers()
    one, two = fault("db.restart", target="db"), fault("db.restart", target="cache")
    one.begin(servers)
    two.begin(servers)
    one.end(servers)
    assert one.healed(servers) and not two.healed(servers)


# --- evidence ------------------------------------------------------------------------------------------------------

BROKER = ["broker.restart", "broker.kill"]
OTHERS = ["backend.restart", "backend.kill", "backend.pause", "db.restart", "db.pause"]


@pytest.mark.parametrize("name", BROKER)
def test_workers_notice_that_the_broker_is_gone(name: str) -> None:
    one, _ = make(name)
    evidence = one.evidence(record(), Told(life(disconnected=[1.2])).history)
    assert (evidence.bit, evidence.text) == (True, "down for 1.0 s; 1 worker cut off")
    assert one.evidence(record(), Told().history).bit is False


@pytest.mark.parametrize("name", OTHERS)
def test_a_task_that_met_a_connection_error_or_stood_still(name: str) -> None:
    one, _ = make(name)
    told = Told()
    told.deliver(1.1, state="FAILURE", exception="redis.exceptions.ConnectionError")
    assert one.evidence(record(), told.history).bit is True
    told = Told()
    for at in (3.0, 4.0, 5.0):
        told.deliver(at)
    told.deliver(1.1, took=1.0)
    assert one.evidence(record(), told.history).text == f"{one.away} for 1.0 s; 1 task took far longer than usual"


@pytest.mark.parametrize("name", OTHERS)
def test_without_a_sign_it_did_not_bite_who_was_idle_and_cannot_be_told_of_who_worked(name: str) -> None:
    one, part = make(name)
    told = Told()
    assert one.evidence(record(), told.history).bit is False
    told.deliver(1.1)
    evidence = one.evidence(record(), told.history)
    assert evidence.bit is None and part in evidence.text


@pytest.mark.parametrize("name", OTHERS)
def test_a_lost_connection_to_the_broker_is_no_sign_of_another_servers_absence(name: str) -> None:
    one, _ = make(name)
    assert one.evidence(record(), Told(life(disconnected=[1.2])).history).bit is False


def test_results_that_are_gone() -> None:
    told = Told()
    told.deliver(0.5)
    told.deliver(0.7)
    told.deliver(2.5)
    told.history.results, told.history.results_read = {"t2": {"status": "SUCCESS"}, "t3": {"status": "SUCCESS"}}, True
    one = fault("backend.restart", keep=False)
    evidence = one.evidence(record(), told.history)
    assert (evidence.bit, evidence.text) == (True, "down for 1.0 s; 1 stored result is gone")
    told.history.config = {"result_expires": 5}
    assert one.evidence(record(), told.history).bit is False


def test_results_that_are_never_stored_are_not_gone() -> None:
    told = Told()
    told.deliver(0.5)
    told.deliver(2.5)
    told.history.results_read = True
    assert fault("backend.kill").evidence(record(), told.history).bit is False


# --- flush ---------------------------------------------------------------------------------------------------------


class Queue:
    """A broker in which so many messages wait."""

    def __init__(self, *waiting: int) -> None:
        self.waiting = list(waiting)

    def broker(self) -> Queue:
        return self

    def flush(self) -> int:
        return self.waiting.pop(0)


def test_flush_throws_away_once_and_says_how_many() -> None:
    one = fault("broker.flush")
    assert one.lasts == 0.0
    assert one.begin(Queue(7)).note == "7 thrown away"
    for _ in range(2):
        one.end(Queue())
    one.tick(Queue())
    assert one.healed(Queue())
    evidence = one.evidence(record(), Told().history)
    assert (evidence.bit, evidence.text, evidence.numbers) == (True, "7 waiting messages were thrown away", {"thrown_away": 7.0})


def test_flush_goes_on_while_it_lasts() -> None:
    one, queue = fault("broker.flush"), Queue(0, 1, 0)
    one.begin(queue)
    one.tick(queue)
    one.tick(queue)
    assert one.evidence(record(), Told().history).text == "1 waiting message was thrown away"


def test_flush_of_nothing_did_not_bite() -> None:
    one = fault("broker.flush")
    one.begin(Queue(0))
    assert one.evidence(record(), Told(life(disconnected=[1.1])).history).bit is False


def test_every_server_fault_is_here() -> None:
    mine = {name.partition(" ")[0] for name in (*RESTARTS, *PAUSES)} | {"broker.flush"}
    assert mine == {name for name in FAULTS if name.startswith(("broker.", "backend.", "db."))}
