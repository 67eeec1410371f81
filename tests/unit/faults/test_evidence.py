"""For every fault: a history in which it bit, one in which it did not, and one in which it never began."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.faults import FAULTS
from harness.model.history import Delivery, FaultRecord, History, Message, ProcessLife
from harness.ports.fault import Meanwhile

PARAMETERS: dict[str, dict[str, Any]] = {
    "message.duplicate": {"queue": "q", "count": 1},
    "worker.scale": {"target": "pay", "replicas": 3},
    "net.latency": {"between": ("pay", "broker"), "latency": "1s"},
    "net.bandwidth": {"between": ("pay", "broker"), "rate": 1},
    "net.partition": {"between": ("pay", "broker")},
    "db.restart": {"target": "db"},
    "db.pause": {"target": "db"},
}
#: Those whose evidence is what links or the broker counted: test_network.py and test_servers.py have it.
COUNTED = {"net.latency", "net.bandwidth", "net.partition", "broker.flush"}


def fault(name: str, **more: Any) -> Any:
    kind = FAULTS[name]
    return kind(kind.Parameters.model_validate({**PARAMETERS.get(name, {}), **more}), random.Random(1))


def record(**more: Any) -> FaultRecord:
    return FaultRecord(**{"index": 0, "name": "x", "planned": "at 1 s", "begun": 1.0, "ended": 2.0, **more})


def one_delivery(**more: Any) -> tuple[History, Delivery]:
    history = History()
    message = Message("m1", "t1", "pay.charge", 0, 1, begun=0.1, ok=0.1)
    delivery = Delivery(
        **{"id": "d1", "message": message, "worker": "pay-1", "pid": 10, "at": 0.5, "tag": "x", "redelivered": False, **more}
    )
    message.deliveries.append(delivery)
    history.messages["m1"], history.deliveries["d1"] = message, delivery
    return history, delivery


def life(**more: Any) -> ProcessLife:
    return ProcessLife(**{"name": "pay-1", "kind": "worker", "pid": 10, "up": -1.0, **more})


def bitten(name: str) -> tuple[FaultRecord, History]:
    """A history in which the fault bit."""
    history, _ = one_delivery(start=0.6, died=1.0, died_by=0)
    history.processes = [life(down=1.5, disconnected=[1.2])]
    if name == "message.duplicate":
        history.deliveries["d1"].copy = 1
        history.messages["m1"].queue = "q"
    if name == "worker.scale":
        history.processes.append(life(name="pay-2", pid=11, up=1.2))
    if name == "broker.pause":
        history, _ = one_delivery(at=2.1)
        history.messages["m1"].begun, history.messages["m1"].ok = 1.5, 2.1
    if name.startswith(("backend.", "db.")):
        history, _ = one_delivery(at=1.1, start=1.1, end=1.2, state="FAILURE", exception="redis.exceptions.ConnectionError")
    return record(killed_pids=(10,), target="pay-1"), history


def missed(name: str) -> tuple[FaultRecord, History]:
    """It began, and nothing was there to hit."""
    history = History()
    history.processes = [life()]
    return record(killed_pids=(10,), target="pay-1"), history


@pytest.mark.parametrize("name", sorted(set(FAULTS) - COUNTED))
def test_evidence_says_that_it_bit(name: str) -> None:
    struck = fault(name)
    if name == "message.duplicate":
        struck._copied = 1
    evidence = struck.evidence(*bitten(name))
    assert evidence.bit is True
    assert any(character.isdigit() for character in evidence.text) or "died" in evidence.text


@pytest.mark.parametrize("name", sorted(set(FAULTS) - COUNTED - {"task.crash"}))
def test_evidence_says_that_it_missed(name: str) -> None:
    assert fault(name).evidence(*missed(name)).bit is False


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_that_never_began_did_not_bite(name: str) -> None:
    evidence = fault(name).evidence(record(begun=None, ended=None, killed_pids=()), History())
    assert evidence.bit is False
    assert "never begun" in evidence.text


@pytest.mark.parametrize(("point", "where"), [("before_ack", "at before_ack"), ("a.py:7", "before a.py:9")])
def test_a_crash_at_a_named_point_is_told_by_its_name(point: str, where: str) -> None:
    struck = record(planned=f"when t reaches {point}, the first time", file="a.py", line=9, task_id="t1")
    assert fault("task.crash").evidence(struck, History()).text == f"the worker died in task t1 {where}"


def test_a_kill_of_a_worker_that_only_held_messages_says_so() -> None:
    history, _ = one_delivery(died=1.0, died_by=0)
    evidence = fault("worker.kill").evidence(record(), history)
    assert evidence.bit is True
    assert evidence.text.startswith("no task was running; 1 held")


def test_a_death_by_another_fault_is_not_this_ones_evidence() -> None:
    history, _ = one_delivery(start=0.6, died=1.0, died_by=1)
    assert fault("worker.kill").evidence(record(), history).bit is False


def test_a_broker_pause_during_which_nothing_was_sent_did_not_bite() -> None:
    history, _ = one_delivery(end=0.8)
    assert fault("broker.pause").evidence(record(), history).bit is False


def test_a_broker_pause_while_every_worker_was_busy_did_not_bite() -> None:
    """What waits then waits for a worker."""
    history, busy = one_delivery(start=0.6, end=2.5, state="SUCCESS", ack=2.5)
    history.processes = [life(ready=0.0)]
    later = Message("m2", "t2", "pay.charge", 0, 2, begun=0.2, ok=0.2)
    later.deliveries.append(Delivery("d2", later, "pay-1", 10, 2.6, "y", False, start=2.6, end=2.7))
    history.messages["m2"], history.deliveries["d2"] = later, later.deliveries[0]
    assert fault("broker.pause").evidence(record(), history).bit is False
    busy.end = busy.ack = 1.2
    evidence = fault("broker.pause").evidence(record(), history)
    assert (evidence.bit, evidence.text) == (True, "frozen for 1.0 s; 1 message waited though a worker was free")


def test_copies_that_another_fault_made_are_not_this_ones() -> None:
    history, delivery = one_delivery(start=0.6)
    delivery.copy, delivery.message.queue = 1, "elsewhere"
    struck = fault("message.duplicate")
    struck._copied = 1
    assert struck.evidence(record(), history).bit is False


def test_a_copy_that_is_delivered_again_is_still_one_copy() -> None:
    history, delivery = one_delivery(start=0.6)
    delivery.copy, delivery.message.queue = 1, "q"
    again = replace(delivery, id="again", at=4.0, start=4.1, redelivered=True)
    history.deliveries["again"] = again
    struck = fault("message.duplicate")
    struck._copied = 1
    found = struck.evidence(record(), history)
    assert (found.bit, found.text) == (True, "1 of 1 copies delivered a second time, 1 ran")


@pytest.mark.parametrize(
    ("starts", "bit", "says"), [(0.9, True, "1 beside another delivery"), (1.0, False, "two free slots"), (None, False, "0 ran")]
)
def test_together_bites_where_two_deliveries_of_a_message_did_overlap(starts: float | None, bit: bool, says: str) -> None:
    history, delivery = one_delivery(start=0.6, end=1.0)
    delivery.message.queue = "q"
    copy = replace(delivery, id="copy", copy=1, at=0.7, start=starts, end=starts and starts + 0.4)
    history.deliveries["copy"] = copy
    delivery.message.deliveries.append(copy)
    struck = fault("message.duplicate", deliver="together")
    struck._copied = 1
    assert struck.evidence(record(), history).bit is bit
    assert says in struck.evidence(record(), history).text
    anyway = fault("message.duplicate", deliver="next")
    anyway._copied = 1
    assert anyway.evidence(record(), history).bit is True


def test_together_holds_the_task_until_a_copy_runs_but_not_for_ever() -> None:
    together, other = fault("message.duplicate", deliver="together"), fault("message.duplicate", deliver="next")
    together._copied = other._copied = 1
    assert together.holds(Meanwhile(2.0, 0)) and not together.holds(Meanwhile(2.0, 1)) and not together.holds(Meanwhile(3.0, 0))
    assert not other.holds(Meanwhile(0.0, 0))
    together._copied = 0
    assert together.holds(Meanwhile(0.4, 0)) and not together.holds(Meanwhile(0.6, 0))


def test_what_an_event_struck_is_copied_before_anything_else_and_a_broker_that_forgets_is_told_to_watch() -> None:
    asked: list[Any] = []

    class Broker:
        def watch(self, queue: str) -> None:
            asked.append(queue)

        def duplicate(self, queue: str, *, count: int, only: str, **more: Any) -> int:
            asked.append((count, only))
            return 1

    struck = fault("message.duplicate", deliver="next", count=2)
    system: Any = SimpleNamespace(broker=Broker)
    struck.armed(system)
    struck.struck_task = "t7"
    struck.begin(system)
    for _ in range(2):
        struck.tick(system)
    assert asked == ["q", (2, "t7"), (1, "")]


def test_a_frozen_worker_is_not_bitten_by_what_another_one_does() -> None:
    history, delivery = one_delivery(worker="mail-1", at=2.1, start=2.1)
    delivery.message.ok = 1.5
    assert fault("worker.pause").evidence(record(target="pay-1"), history).bit is False
    assert fault("worker.pause").evidence(record(target="mail-1"), history).bit is True


def test_a_worker_that_was_leaving_anyway_is_no_evidence_of_a_restarted_broker() -> None:
    history = History(processes=[life(disconnected=[1.5])])
    assert fault("broker.restart").evidence(record(), history).bit is True
    history.faults = [record(), record(index=1, killed_pids=(10,))]
    assert fault("broker.restart").evidence(history.faults[0], history).bit is False
    history.faults, history.stopped_at = [], 1.4
    assert fault("broker.restart").evidence(record(), history).bit is False


#: A delivery that its worker had done with before the fault began, though it never ended; with its process's further life.
DONE_WITH: dict[str, dict[str, Any]] = {
    "died": {"start": 0.6, "died": 0.7},
    "expired": {"revoked": "expired", "ack": 0.6},
    "unknown": {"outcome": "unknown", "reject": 0.6},
    "rejected": {"start": 0.55, "end": 0.6, "reject": 0.6, "state": "REJECTED"},
    "gone with its connection": {},
    "ended, acknowledged early": {"start": 0.55, "end": 0.6, "ack": 0.55, "state": "SUCCESS"},
}


@pytest.mark.parametrize("what", DONE_WITH)
@pytest.mark.parametrize("name", ["worker.pause", "worker.stop", "worker.stop_cold"])
def test_what_a_worker_had_done_with_before_is_not_in_its_hands(name: str, what: str) -> None:
    history, _ = one_delivery(**DONE_WITH[what])
    history.processes = [life(down=1.5, disconnected=[0.8] if what.startswith("gone") else [])]
    assert fault(name).evidence(record(target="pay-1", killed_pids=(10,)), history).bit is False


@pytest.mark.parametrize("late", [False, True])
def test_a_running_task_is_in_the_hands_of_its_worker_whenever_it_is_acknowledged(late: bool) -> None:
    history, delivery = one_delivery(start=0.6, ack=None if late else 0.6)
    history.acks_late["pay.charge"] = late
    history.processes = [life(down=1.5)]
    stopped = record(target="pay-1", killed_pids=(10,))
    assert fault("worker.stop").evidence(stopped, history).text == "1 task in its hands; left after 0.5 s"
    delivery.end, delivery.state = 0.9, "SUCCESS"
    if late:
        delivery.ack = 1.1
    assert fault("worker.stop").evidence(stopped, history).bit is late, "ended, and the broker had not heard of it"


def test_workers_that_another_fault_took_away_are_not_scaled() -> None:
    history = History()
    kill = record(index=1, killed_pids=(10,))
    history.faults = [record(), kill]
    history.processes = [life(down=1.1), life(pid=12, up=1.3), life(name="pay-2", pid=11)]
    assert fault("worker.scale").evidence(record(), history).bit is False
    history.processes.append(life(name="pay-3", pid=13, up=1.4))
    assert fault("worker.scale").evidence(record(), history).text == "1 came"
    same = fault("worker.scale", replicas=2)
    same.begin(SimpleNamespace(scale=lambda group, replicas: (2, 2)))
    assert same.evidence(record(), history).text == "pay had 2 already"
