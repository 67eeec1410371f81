"""Which clean passes are a reference of one clean execution, and how wrong rows and their fixes are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from harness.checks._worlds.reference import unreferenced
from harness.model.history import Delivery, History, Message
from tests.unit.checks.idempotence_kit import Db, Lab, judge, killed, twice
from tests.unit.checks.payments_lab import CALLS, FAIL, INCONCLUSIVE, PASS, lab, pay_again, tables


def retried(history: History, number: int) -> Message:
    """The call's first message ended in a retry, and the retry succeeded."""
    first = history.calls[number].messages[0]
    (delivery,) = first.deliveries
    delivery.state = "RETRY"
    at = delivery.at + 0.03
    again = Message(f"r{number}", first.task_id, first.task, 1, number, cause=delivery.id, begun=at, ok=at, is_retry=True)
    again.deliveries.append(Delivery(f"rd{number}", again, "w-1", 1, at, "t", False, start=at, end=at, ack=at, state="SUCCESS"))
    history.calls[number].messages.append(again)
    history.messages[again.id] = again
    history.deliveries[f"rd{number}"] = again.deliveries[0]
    return again


def test_a_call_that_a_clean_pass_retried_has_no_reference() -> None:
    """What it left there may be a double effect already, and then the run's double looks right."""
    made = lab(pay_again).record({2: twice()}, tamper=lambda db: db.delete("api.requests", order=2))  # one row, as "before"
    retried(made.clean[0].history, 2)
    result = judge(made)
    assert result.verdict is INCONCLUSIVE
    assert "clean pass 1 was disturbed: call 2 was retried" in result.summary
    assert "fail_first" in result.advice
    assert (result.numbers["unjudged"], result.numbers["exercised"]) == (1, 0)


def test_without_any_retry_in_the_clean_passes_the_same_is_proven() -> None:
    assert lab(pay_again).judge({2: twice()}).verdict is FAIL
    assert lab().judge({2: twice()}).verdict is PASS


def test_calls_with_a_reference_are_judged_all_the_same() -> None:
    made = lab(pay_again).record({2: twice(), 4: twice()})
    retried(made.clean[1].history, 2)
    result = judge(made)
    assert (result.verdict, [f.calls for f in result.findings]) == (FAIL, [(4,)])


def test_no_call_with_a_reference() -> None:
    made = lab().record({2: killed(1)})
    for number in made.history.calls:
        retried(made.clean[0].history, number)
    result = judge(made)
    assert result.verdict is INCONCLUSIVE and "call 1, 2, 3, 4, 5 and 1 more was retried" in result.summary


def test_a_countdown_longer_than_the_redelivery_is_named_as_the_cause() -> None:
    made = lab().record({2: killed(1)})
    made.history.config["broker_transport_options"] = {"visibility_timeout": 3}
    again = retried(made.clean[0].history, 4)
    (first,) = again.deliveries
    again.eta = first.at + 8.0
    first.start = first.end = first.ack = first.at + 8.0
    again.deliveries.append(dataclasses.replace(first, id="again", at=first.at + 3.2, redelivered=True))
    result = judge(made)
    assert result.verdict is INCONCLUSIVE
    assert "waited for the time of its retry, a delay of 8.0 s, and `redelivery` gives it to another worker after 3.0 s" in result.summary
    assert "system.redelivery" in result.advice and "run it again" not in result.advice


def test_a_task_longer_than_the_redelivery_is_named_as_the_cause() -> None:
    made = lab().record({2: killed(1)})
    made.history.config["broker_transport_options"] = {"visibility_timeout": 3}
    message = made.clean[0].history.calls[4].messages[0]
    (first,) = message.deliveries
    first.end = first.ack = first.at + 5
    message.deliveries.append(dataclasses.replace(first, id="again", at=first.at + 3.2, redelivered=True))
    assert "ran, a time of 5.0 s, and `redelivery`" in judge(made).summary
    made.history.config.clear()
    calls, words, advice = unreferenced(made.clean, made)
    assert calls == {4} and "redelivery" not in words and "run it again" in advice


# --- how it is told ------------------------------------------------------------------------------------------------------


def test_a_row_is_named_by_what_people_know_it_by() -> None:
    """An autoincrement is another number in each pass: 'id=4' would be somebody else's row."""

    def book(db: Db, n: int, cents: int) -> Iterator[None]:
        db.insert("db.payments", order_number=n, cents=cents, at=db.now())
        yield

    result = lab(book).judge({4: killed(1)})
    assert result.verdict is FAIL
    assert "db.payments order_number=4, cents=407: before 0, after 2, expected 1" in result.findings[0].sentence


def test_each_store_that_is_wrong_gets_its_own_fix() -> None:
    def both(db: Db, n: int, cents: int) -> Iterator[None]:
        db.insert("api.requests", order=n)
        db.insert("db.payments", order_number=n)
        yield

    (finding,) = lab(both).judge({4: killed(1)}).findings
    assert finding.fix.startswith("In api: send an idempotency key")
    assert "In db: give the row a unique key" in finding.fix


def test_a_task_that_ran_once_and_left_nothing_swallowed_an_error() -> None:
    made = Lab(tables(), pay_again, CALLS, services={"api": "http", "db": "sqlite"})
    result = made.judge({2: killed(1)}, tamper=lambda db: db.delete("api.requests", order=5))
    missing = next(f for f in result.findings if f.cause == "missing")
    assert "catching" in missing.fix
    result = lab().judge({5: killed(1)}, tamper=lambda db: db.delete("api.requests", order=5))
    assert "'done' last" in result.findings[0].fix


def test_a_message_that_came_again_before_the_death_was_noted() -> None:
    made = lab(pay_again).record({2: killed(1)})
    first, second = made.history.calls[2].messages[0].deliveries
    first.died = second.at + 1
    assert "had been delivered again by then" in judge(made).findings[0].sentence
