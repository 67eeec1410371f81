"""What counts as a sign that clients felt a fault, and what looks like one and is none."""

from __future__ import annotations

from typing import Any

import pytest

from harness.faults import _signs as signs
from harness.model.history import Call, FaultRecord, SideEvent
from tests.unit.faults.fakes import Told, life, record

SPAN = signs.Span(1.0, 2.0)
PAY = ("pay-1",)


# --- cut off -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "counted"), [(0.9, 0), (1.0, 1), (1.9, 1), (6.9, 1), (7.1, 0)])
def test_a_lost_connection_counts_from_the_beginning_until_a_little_after_the_end(at: float, counted: int) -> None:
    assert signs.cut_off(record(), Told(life(disconnected=[at])).history, PAY) == counted


def test_workers_that_left_or_were_killed_or_are_not_meant_are_not_cut_off() -> None:
    history = Told(life(disconnected=[1.5])).history
    assert signs.cut_off(record(), history, None) == 1
    assert signs.cut_off(record(), history, ("mail-1",)) == 0
    history.stopped_at = 1.4
    assert signs.cut_off(record(), history, None) == 0
    history.stopped_at, history.faults = None, [record(), record(index=1, killed_pids=(10,))]
    assert signs.cut_off(history.faults[0], history, None) == 0


# --- held up -------------------------------------------------------------------------------------------------------


def test_a_message_waits_though_its_worker_is_free() -> None:
    told = Told()
    told.deliver(2.05, told.publish(1.2))
    assert signs.held_up(told.history, PAY, SPAN) == 1
    assert signs.held_up(told.history, ("pay-2",), SPAN) == 0


def test_a_message_that_was_sent_before_the_fault_waits_as_well() -> None:
    told = Told()
    told.deliver(2.05, told.publish(0.98))
    assert signs.held_up(told.history, PAY, SPAN) == 1


def test_a_message_waits_for_its_busy_worker_and_not_for_the_fault() -> None:
    told = Told()
    told.deliver(0.5, took=1.6)
    told.deliver(2.11, told.publish(1.2))
    assert signs.held_up(told.history, PAY, SPAN) == 0


def test_a_message_waits_for_its_worker_first_and_then_for_the_fault() -> None:
    told = Told()
    told.deliver(0.5, took=0.9)
    told.deliver(2.05, told.publish(1.2))
    assert signs.held_up(told.history, PAY, SPAN) == 1


def test_a_message_waits_behind_others() -> None:
    told = Told()
    late = told.publish(1.2)
    told.deliver(1.4, took=0.7)
    told.deliver(2.11, late)
    assert signs.held_up(told.history, PAY, SPAN) == 0


def test_no_message_waits_for_a_worker_that_is_not_there() -> None:
    told = Told(life(ready=1.9))
    told.deliver(2.05, told.publish(1.2))
    assert signs.held_up(told.history, PAY, SPAN) == 0


def test_a_message_that_came_a_moment_before_the_end_or_ran_before_is_none() -> None:
    told = Told()
    told.deliver(2.05, told.publish(1.9))
    again = told.publish(0.1)
    told.deliver(0.2, again, died=0.4)
    told.deliver(2.3, again)
    assert signs.held_up(told.history, PAY, SPAN) == 0


# --- publishes -----------------------------------------------------------------------------------------------------


def test_publishes_that_are_stuck_or_refused() -> None:
    told = Told()
    told.publish(1.2, ok=2.1)
    told.publish(1.3, failed="OperationalError")
    told.publish(1.4)
    told.publish(1.95, ok=2.05)  # on its way just then
    told.publish(0.9, ok=1.1)
    assert signs.stuck_publishes(record(), told.history, None) == 2
    assert signs.stuck_publishes(record(), told.history, ("producer",)) == 2
    assert signs.stuck_publishes(record(), told.history, PAY) == 0


@pytest.mark.parametrize(("publish", "counted"), [("unknown", 1), ("failed", 1), ("begun", 0), ("ok", 0)])
def test_a_publish_without_an_answer(publish: str, counted: int) -> None:
    told = Told()
    told.publish(1.2).ok = None
    told.history.calls[1] = Call(1, "pay.charge", "[]", 1.2, publish=publish)
    assert signs.stuck_publishes(record(), told.history, None) == counted


@pytest.mark.parametrize(
    ("begun", "ok", "counted"),
    [
        (0.99, 2.1, 1),  # its answer met the fault
        (0.99, 1.1, 0),  # answered while it lasted
        (0.4, 2.1, 0),  # whatever held it up did so long before
    ],
)
def test_a_publish_that_began_a_moment_before_the_fault_and_was_answered_only_afterwards(begun: float, ok: float, counted: int) -> None:
    told = Told()
    told.publish(begun, ok)
    assert signs.stuck_publishes(record(), told.history, None) == counted
    told.history.messages.clear()
    told.publish(begun, failed="OperationalError")
    assert signs.stuck_publishes(record(), told.history, None) == 0, "when it failed is not known: perhaps before the fault"


def test_a_short_fault_holds_up_no_publish_that_was_on_its_way() -> None:
    told = Told()
    told.publish(0.99, 1.4)
    assert signs.stuck_publishes(record(ended=1.1), told.history, None) == 0


def test_a_publish_by_a_task_is_its_workers() -> None:
    told = Told()
    cause = told.deliver(1.1, took=1.2)
    told.publish(1.2, ok=2.1, cause=cause.id)
    assert signs.stuck_publishes(record(), told.history, PAY) == 1
    assert signs.stuck_publishes(record(), told.history, ("producer",)) == 0


# --- acks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "more", "counted"),
    [
        (1.2, {}, 1),
        (1.2, {"ack": 2.1}, 1),
        (1.2, {"ack": 1.21}, 0),
        (0.9, {}, 1),  # held at `before_ack` until the fault had begun
        (0.3, {}, 0),
        (1.9, {"ack": 2.01}, 0),
        (1.2, {"died": 1.3}, 0),
        (1.2, {"died": 8.0}, 1),  # stopped by the harness, much later
        (1.2, {"reject": 1.3}, 0),
        (1.2, {"state": "FAILURE"}, 0),
    ],
)
def test_acks_that_failed_or_came_late(end: float, more: dict[str, Any], counted: int) -> None:
    told = Told()
    told.deliver(0.2, took=end - 0.2, **more)
    assert signs.late_acks(told.history, PAY, SPAN) == 0
    told.history.acks_late = {"pay.charge": True}
    assert signs.late_acks(told.history, PAY, SPAN) == counted
    assert signs.late_acks(told.history, ("mail-1",), SPAN) == 0


# --- tasks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exception", "text"),
    [
        ("redis.exceptions.ConnectionError", ""),
        ("psycopg.OperationalError", "server closed the connection unexpectedly"),
        ("builtins.ConnectionRefusedError", "[Errno 111]"),
        ("importer.PartnerAway", "<urlopen error [Errno 111] Connection refused>"),
        ("importer.PartnerAway", "timed out"),
        ("http.client.RemoteDisconnected", "Remote end closed connection without response"),
    ],
)
def test_a_task_that_met_a_connection_error(exception: str, text: str) -> None:
    told = Told()
    told.deliver(1.2, state="FAILURE", exception=exception, text=text)
    assert signs.troubled_tasks(told.history, PAY, SPAN) == 1
    assert signs.troubled_tasks(told.history, ("pay-2",), SPAN) == 0
    assert signs.troubled_tasks(told.history, PAY, signs.Span(3.0, 4.0)) == 0


def test_an_error_that_is_none_of_the_connection_or_came_before_as_well() -> None:
    told = Told()
    told.deliver(1.2, state="FAILURE", exception="builtins.ValueError", text="too much")
    assert signs.troubled_tasks(told.history, PAY, SPAN) == 0
    told.deliver(0.2, state="FAILURE", exception="x.ConnectionError")
    told.deliver(1.3, state="FAILURE", exception="x.ConnectionError")
    assert signs.troubled_tasks(told.history, PAY, SPAN) == 0


def usual(told: Told, count: int = 3) -> Told:
    for number in range(count):
        told.deliver(3.0 + number, took=0.1)
    return told


def test_a_task_that_took_far_longer_than_usual() -> None:
    told = usual(Told())
    told.deliver(1.2, took=0.9)
    told.deliver(1.3, took=0.45)
    assert signs.slowed(told.history, PAY, SPAN) == 1


def test_two_samples_do_not_say_what_is_usual_and_other_tasks_neither() -> None:
    told = usual(Told(), 2)
    told.deliver(1.2, took=0.9)
    assert signs.slowed(told.history, PAY, SPAN) == 0
    usual(told)
    told.deliver(1.3, took=0.9).message.task = "pay.refund"
    assert signs.slowed(told.history, PAY, SPAN) == 1


# --- all of them ---------------------------------------------------------------------------------------------------


def troubled_and_waiting() -> Told:
    told = Told(life(disconnected=[1.5]))
    told.deliver(1.1, state="FAILURE", exception="x.ConnectionError")
    told.deliver(2.05, told.publish(1.4))
    return told


def test_what_was_felt_depends_on_what_was_away() -> None:
    history = troubled_and_waiting().history
    assert signs.felt(record(), history, PAY, "broker") == {"cut": 1.0, "waited": 1.0}
    assert signs.felt(record(), history, PAY, "db") == {"troubled": 1.0}


@pytest.mark.parametrize(("begun", "ended", "alone"), [(1.5, 1.6, False), (0.1, 0.5, False), (2.1, 3.0, True), (-4.0, -3.0, True)])
def test_a_second_fault_could_be_the_cause_as_well(begun: float, ended: float, alone: bool) -> None:
    history = troubled_and_waiting().history
    history.faults = [record(), record(index=1, begun=begun, ended=ended)]
    assert ("waited" in signs.felt(history.faults[0], history, PAY, "broker")) is alone
    assert bool(signs.felt(history.faults[0], history, PAY, "db")) is alone


def test_what_passed_meanwhile() -> None:
    told = Told()
    told.deliver(1.5)
    told.deliver(0.5, took=0.1)
    told.history.results = {"t1": {"status": "SUCCESS"}, "t2": {"status": "SUCCESS"}}
    assert signs.passed(told.history, PAY, "broker", SPAN) == 1
    assert signs.passed(told.history, ("producer",), "broker", SPAN) == 1
    assert signs.passed(told.history, PAY, "backend", SPAN) == 1
    assert signs.passed(told.history, PAY, "db", SPAN) == 0


def test_effects_that_a_service_saw_meanwhile() -> None:
    told = Told()
    told.deliver(1.2)
    told.history.events = [SideEvent("effect", at, name, "POST /charges") for at, name in ((0.9, "api"), (1.25, "api"), (1.26, "other"))]
    assert signs.passed(told.history, PAY, "api", SPAN) == 1
    told.deliver(1.6, worker="mail-1")
    assert signs.passed(told.history, PAY, "api", SPAN) == 0


def test_idle() -> None:
    told = Told()
    told.deliver(0.5, took=0.1)
    assert signs.idle(told.history, None, SPAN)
    told.publish(1.5)
    assert signs.idle(told.history, PAY, SPAN)
    assert not signs.idle(told.history, None, SPAN)
    told.deliver(0.9, told.publish(0.1), took=0.2)
    assert not signs.idle(told.history, PAY, SPAN)


def test_a_fault_that_was_never_healed_has_no_end() -> None:
    never = FaultRecord(0, "x", "at 1 s", begun=1.0, ended=None)
    assert signs.span_of(never) == signs.Span(1.0, float("inf"))
    assert signs.felt(never, Told(life(disconnected=[1.5])).history, PAY, "broker") == {"cut": 1.0}


# --- whose sign it is ----------------------------------------------------------------------------------------------

LATER = {"index": 1, "name": "broker.restart", "target": "broker", "begun": 4.0, "ended": 4.5}


@pytest.mark.parametrize(
    ("at", "other", "counted"),
    [
        (4.05, LATER, 0),  # within the five seconds in which a cut may be noticed late, and the restart explains it
        (6.0, LATER, 0),  # noticed late, whichever it was
        (3.9, LATER, 1),  # before the other began
        (4.05, {**LATER, "name": "backend.restart", "target": "backend"}, 1),
        (4.05, {**LATER, "name": "net.partition", "target": "pay and broker"}, 0),
        (4.05, {**LATER, "name": "net.partition", "target": "mail and broker"}, 1),
        (4.05, {**LATER, "name": "net.partition", "target": "pay and db"}, 1),
        (4.05, {**LATER, "name": "net.disconnect", "target": "pay-1"}, 0),
        (4.05, {**LATER, "name": "worker.pause", "target": "pay-2"}, 1),
        (4.05, {**LATER, "name": "somebody.elses", "target": "pay-9"}, 0),
        (1.5, {**LATER, "begun": 0.0, "ended": 0.5}, 0),  # what the one before set in motion
        (2.6, {**LATER, "begun": 0.0, "ended": 0.5}, 1),
        (1.5, {**LATER, "begun": None, "ended": None}, 1),
        (1.5, {**LATER, "begun": 0.0, "ended": None}, 0),
    ],
)
def test_a_cut_that_another_fault_explains_is_nobodys(at: float, other: dict[str, Any], counted: int) -> None:
    history = Told(life(disconnected=[at])).history
    history.faults = [record(name="net.partition", target="pay and broker"), record(**other)]
    assert signs.cut_off(history.faults[0], history, PAY) == counted
    assert signs.contested(history.faults[0], history, PAY) is not bool(counted)


def test_the_later_fault_keeps_what_came_long_after_the_first() -> None:
    history = Told(life(disconnected=[4.05])).history
    history.faults = [record(name="net.partition", target="pay and broker"), record(**LATER)]
    assert signs.cut_off(history.faults[1], history, PAY) == 1


@pytest.mark.parametrize(
    ("ok", "other", "counted"),
    [(2.5, {"begun": 2.2, "ended": 2.4}, 0), (2.1, {"begun": 2.2, "ended": 2.4}, 1), (None, {"begun": 1.5, "ended": 1.6}, 0)],
)
def test_a_publish_that_another_fault_may_have_held_up_is_nobodys(ok: float | None, other: dict[str, Any], counted: int) -> None:
    told = Told()
    told.publish(1.2, ok=ok, **({} if ok else {"failed": "OperationalError"}))
    told.history.faults = [record(), record(**{**LATER, **other})]
    assert signs.stuck_publishes(told.history.faults[0], told.history, None) == counted


# --- work that needed the broker -----------------------------------------------------------------------------------


def test_only_publishes_deliveries_and_answers_need_the_broker() -> None:
    told = Told()
    told.deliver(0.5, took=2.0)
    assert signs.touched(told.history, PAY, SPAN) == 0
    told.deliver(0.6, took=0.5, ack=1.1)
    assert signs.touched(told.history, PAY, SPAN) == 1
    told.deliver(1.4, told.publish(0.2))
    assert signs.touched(told.history, PAY, SPAN) == 2
    assert signs.touched(told.history, ("producer",), SPAN) == 0
    told.publish(0.9, ok=1.1)
    told.publish(1.8, ok=2.2)
    assert signs.touched(told.history, ("producer",), SPAN) == 2


@pytest.mark.parametrize(
    ("other", "counted"),
    [
        (None, 1),
        ({"name": "broker.pause", "target": "broker"}, 0),
        ({"name": "worker.pause", "target": "pay-1"}, 0),
        ({"name": "net.partition", "target": "mail and broker"}, 1),
        ({"name": "db.restart", "target": "db"}, 1),
        ({"name": "broker.pause", "target": "broker", "begun": 2.1, "ended": 2.3}, 1),
    ],
)
def test_what_waited_counts_unless_another_fault_held_it_up(other: dict[str, Any] | None, counted: int) -> None:
    told = Told()
    told.deliver(2.05, told.publish(1.2))
    told.deliver(0.5, took=0.6, ack=2.1)
    told.history.acks_late["pay.charge"] = True
    told.history.faults = [record(), *([record(index=1, **other)] if other else [])]
    seen = signs.felt(told.history.faults[0], told.history, PAY, "broker")
    assert (seen.get("waited", 0), seen.get("unacked", 0)) == (counted, counted)
    assert signs.contested(told.history.faults[0], told.history, PAY) is not bool(counted)
