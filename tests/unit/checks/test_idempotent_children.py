"""Calls of several tasks: what the clean passes saw published and the run with faults did not, and calls that cannot be judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.finding import Word
from harness.model.history import Delivery, History, Message
from harness.ports.check import Recorded
from tests.unit.checks.idempotence_kit import Db, Run, failed, judge, killed, lost, twice
from tests.unit.checks.payments_lab import FAIL, INCONCLUSIVE, PASS, lab

MAIL = "app.mail"


def child(history: History, number: int, *, ended: bool = True, confirmed: bool = True, of: int = -1, name: str = MAIL) -> Message:
    """A task that the call's first task published in its execution ``of``; it succeeded, or nobody ever saw it."""
    call = history.calls[number]
    cause = call.messages[0].deliveries[of]
    id = f"child-{number}-{len(call.messages)}"
    message = Message(id, id, name, 0, number, cause=cause.id, begun=cause.at, ok=cause.at if confirmed else None)
    if ended:
        at = cause.at + 0.05
        message.deliveries.append(
            Delivery(f"d-{id}", message, "w-1", 1, at, f"t-{id}", False, start=at, end=at + 0.01, ack=at + 0.02, state="SUCCESS")
        )
        history.deliveries[f"d-{id}"] = message.deliveries[0]
    call.messages.append(message)
    history.messages[id] = message
    return message


def recorded(*without: int, plan: dict[int, Run] | None = None, mails: bool = True, **more: Any) -> Recorded:
    """Every call also publishes a mail, but for those ``without`` it in the run; its row in the API is taken to be the mail's work."""

    def tamper(db: Db) -> None:
        for number in without if mails else ():
            db.delete("api.requests", order=number)

    made = lab(**more).record(plan or {2: killed(1)}, tamper=tamper)
    for history in (*(c.history for c in made.clean), made.history):
        for number in history.calls:
            if history is not made.history or number not in without:
                child(history, number)
    return made


def test_a_child_that_nobody_published_leaves_its_effect_missing() -> None:
    """A guard that an attempt left behind takes the next one for done: everything succeeded, and the mail is never sent."""
    result = judge(recorded(2))
    (finding,) = result.findings
    assert (result.verdict, finding.word, finding.cause, finding.calls) == (FAIL, Word.EFFECT, "missing", (2,))
    assert finding.sentence.startswith("app.mail was never published for it")
    assert "outbox" in finding.fix
    assert result.numbers["unjudged"] == 0
    assert result.by_fault == ((FAIL, "1 call wrong"),)


def test_the_right_twin_publishes_it_again() -> None:
    made = recorded()
    child(made.history, 2)
    result = judge(made)
    assert (result.verdict, result.findings) == (PASS, ())


def test_nothing_that_is_compared_lacks_although_a_child_does_is_no_pass() -> None:
    result = judge(recorded(2, mails=False))
    assert result.verdict is INCONCLUSIVE
    assert "app.mail" in result.summary and "2" in result.summary and "observe" in result.advice


def test_a_child_that_comes_only_in_some_orders_is_not_missed() -> None:
    made = recorded(2, mails=False)
    history = made.clean[1].history
    history.calls[2].messages = [m for m in history.calls[2].messages if m.task != MAIL]
    assert judge(made).verdict is PASS


def test_as_many_children_as_in_a_clean_execution() -> None:
    made = recorded(2)
    for clean in made.clean:
        child(clean.history, 2)
    child(made.history, 2)
    assert judge(made).verdict is FAIL


@pytest.mark.parametrize(("again", "verdict"), [(True, PASS), (False, FAIL)])
def test_a_publish_in_vain_is_made_good_by_the_next_execution_or_not(again: bool, verdict: Any) -> None:
    made = recorded(*([] if again else [2]))
    vain = child(made.history, 2, ended=False, confirmed=False, of=0)
    assert not vain.deliveries
    assert judge(made).verdict is verdict


# --- calls that cannot be judged ----------------------------------------------------------------------------------------


def test_what_was_lost_is_left_out_where_no_loss_judges_it() -> None:
    plan = {2: lost(1), 3: killed(1)}
    result = lab().judge(plan)
    assert result.verdict is PASS
    assert result.summary.endswith("1 call was lost, which is no_loss's to judge: 2")
    assert result.numbers["unjudged"] == 1
    alone = lab(checks=("idempotent",)).judge(plan)
    assert (alone.verdict, alone.summary.split(";")[0]) == (INCONCLUSIVE, "1 call lost, and no_loss is not among the checks: 2")
    declared = lab(checks=("idempotent",), semantics={"app.*": "at_most_once"}).judge(plan)
    assert declared.verdict is PASS


def test_nothing_exercised_beside_a_loss_does_not_call_the_world_right() -> None:
    result = lab().judge({2: lost(1)})
    assert result.verdict is INCONCLUSIVE
    assert result.summary == (
        "no other call was delivered again, copied or retried: nothing was exercised, and the world of the others is right; "
        "1 call was lost, which is no_loss's to judge: 2"
    )
    assert result.by_fault[0][0] is not PASS


def test_a_child_that_was_lost_is_no_loss_business() -> None:
    made = recorded(plan={3: twice()})
    mail = next(m for m in made.history.calls[2].messages if m.task == MAIL)
    mail.deliveries.clear()
    assert judge(made).verdict is PASS
    assert "1 call was lost" in judge(made).summary


def test_a_call_that_failed_in_part_is_not_judged_and_so_no_pass() -> None:
    made = recorded(plan={2: failed(1), 3: killed(1)})
    result = judge(made)
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "1 call failed in part and cannot be judged: 2")
    assert result.numbers["unjudged"] == 1
    assert result.by_fault[0][0] is INCONCLUSIVE


def test_a_call_that_cannot_be_judged_hides_no_failure() -> None:
    def pay_again(db: Db, n: int, cents: int) -> Iterator[None]:
        db.insert("api.requests", order=n, cents=cents)
        yield

    made = lab(pay_again).record({2: failed(1), 3: twice()})
    for history in (*(c.history for c in made.clean), made.history):
        for number in history.calls:
            child(history, number)
    result = judge(dataclasses.replace(made))
    assert (result.verdict, result.findings[0].calls) == (FAIL, (3,))
