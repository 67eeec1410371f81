"""Each rule of the idempotent check: where it fails, where it passes, where it cannot tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks.idempotent import Idempotent, IdempotentParameters
from harness.model.finding import Word
from harness.model.history import Held
from harness.model.verdict import Verdict
from harness.model.world import World
from harness.ports.check import Recorded
from tests.unit.checks.idempotence_kit import UNSENT, Db, Run, failed, judge, killed, lost, twice
from tests.unit.checks.payments_lab import FAIL, INCONCLUSIVE, PASS, lab, pay, pay_again

# --- by fate ----------------------------------------------------------------------------------------------------------


def test_succeeded_with_exactly_its_effects_passes() -> None:
    result = lab().judge({2: killed(1), 3: twice()})
    assert result.verdict is PASS, result.summary
    assert result.numbers["exercised"] == 2
    assert result.ignored == ("db.orders.at",)


def test_succeeded_with_effects_twice_fails_and_says_where() -> None:
    result = lab(pay_again).judge({2: killed(1), 3: twice()})
    assert result.verdict is FAIL
    assert {f.word for f in result.findings} == {Word.EFFECT}
    cut = next(f for f in result.findings if f.calls == (2,))
    assert cut.headline == "app.task took effect more than once in api, for call 2."
    assert (cut.file, cut.line, cut.faults, cut.task_ids) == ("app.py", 41, (0,), ("id-2",))
    assert "idempotency key" in cut.fix
    assert cut.story is not None
    cell = next(c for c in cut.story.world if c.wrong)
    assert (cell.before, cell.after, cell.expected) == ("0", "2", "1")
    assert result.by_fault == ((FAIL, "1 call wrong"),)


def test_the_same_cause_and_line_are_one_finding() -> None:
    result = lab(pay_again).judge({n: killed(1) for n in (2, 3, 5)})
    assert [f.calls for f in result.findings] == [(2, 3, 5)]
    assert result.findings[0].headline.startswith("3 calls of app.task took effect more")


def test_succeeded_without_its_effects_fails() -> None:
    result = lab().judge({2: killed(1)}, tamper=lambda db: db.delete("api.requests", order=2))
    assert (result.verdict, result.findings[0].cause, result.findings[0].calls) == (FAIL, "missing", (2,))


def test_wrong_although_nothing_ran_again_fails() -> None:
    result = lab().judge({}, tamper=lambda db: db.delete("api.requests", order=2))
    assert result.verdict is FAIL


@pytest.mark.parametrize(("at", "verdict"), [(0, PASS), (1, FAIL), (2, PASS)])
def test_failed_may_leave_all_or_nothing(at: int, verdict: Verdict) -> None:
    result = lab().judge({2: failed(at), 3: killed(1)})
    assert result.verdict is verdict, result.summary
    assert [(f.word, f.calls) for f in result.findings] == ([(Word.PARTIAL, (2,))] if at == 1 else [])


def test_failed_twice_over_is_more_than_once_not_partial() -> None:
    result = lab(pay_again).judge({2: Run((1, ("raise", 1)))})
    assert Word.EFFECT in {f.word for f in result.findings}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_lost_may_leave_any_part(at: int) -> None:
    assert lab().judge({2: lost(at), 3: killed(1)}).verdict is PASS


def test_lost_may_not_leave_more_than_once() -> None:
    result = lab(pay_again).judge({2: Run((1, 1), early_ack=True)})
    assert (result.verdict, result.findings[0].calls) == (FAIL, (2,))


def test_publish_unknown_may_have_left_nothing_but_not_half() -> None:
    assert lab().judge({2: UNSENT, 3: killed(1)}).verdict is PASS
    half = lab().judge({2: UNSENT, 3: killed(1)}, tamper=lambda db: db.insert("api.requests", order=2, cents=207))
    assert [(f.word, f.calls) for f in half.findings] == [(Word.PARTIAL, (2,))]


def test_publish_failed_is_no_loss_business() -> None:
    result = lab().judge({2: dataclasses.replace(UNSENT, publish="failed"), 3: killed(1)})
    assert (result.verdict, result.numbers["unjudged"]) == (PASS, 0)
    half = lab().judge(
        {2: dataclasses.replace(UNSENT, publish="failed"), 3: killed(1)}, tamper=lambda db: db.insert("api.requests", order=2, cents=207)
    )
    assert [(f.word, f.calls) for f in half.findings] == [(Word.PARTIAL, (2,))]


def test_declared_at_most_once_may_die_half_way() -> None:
    half = Run((1, ("raise", 0)))
    assert lab().judge({2: half}).verdict is FAIL
    assert lab(semantics={"app.*": "at_most_once"}).judge({2: half, 3: killed(1)}).verdict is PASS


# --- nothing to judge by ----------------------------------------------------------------------------------------------


def changed(recorded: Recorded, **more: Any) -> Recorded:
    return dataclasses.replace(recorded, **more)


def test_one_clean_pass_is_not_enough() -> None:
    recorded = lab(pay_again).record({2: killed(1)})
    result = judge(changed(recorded, clean=recorded.clean[:1]))
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "1 clean pass recorded, 2 needed")


def test_no_worlds() -> None:
    recorded = lab(pay_again).record({2: killed(1)})
    assert judge(changed(recorded, after=None)).verdict is INCONCLUSIVE
    assert judge(changed(recorded, after=World({}))).verdict is INCONCLUSIVE


def test_a_service_that_is_not_there() -> None:
    result = lab().judge({2: killed(1)}, observe=("dbb",))
    assert result.verdict is INCONCLUSIVE
    assert "dbb" in result.summary and "api, cache, db" in result.advice


def test_clean_pass_with_a_failure() -> None:
    recorded = lab().record({2: killed(1)})
    failed = recorded.clean[1].history.calls[4].messages[0].deliveries[0]
    failed.state, failed.exception, failed.text = "FAILURE", "OverflowError", "int too large\nfor SQLite"
    result = judge(recorded)
    assert result.verdict is INCONCLUSIVE
    assert result.summary == "call 4 did not succeed in clean pass 2 (failed: OverflowError: int too large)"


def test_clean_pass_that_was_disturbed() -> None:
    recorded = lab().record({2: killed(1)})
    recorded.clean[0].history.calls[4].messages[0].deliveries[0].redelivered = True
    assert "disturbed" in judge(recorded).summary


def test_other_arguments() -> None:
    recorded = lab().record({2: killed(1)})
    recorded.clean[1].history.calls[5].args = "[[99], {}]"
    result = judge(recorded)
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "call 5 had other arguments in clean pass 2")


def test_a_call_without_a_reference() -> None:
    recorded = lab().record({2: killed(1)})
    del recorded.clean[0].per_call[3]  # type: ignore[attr-defined]
    assert "no world after call 3" in judge(recorded).summary


def test_worlds_that_go_on_changing() -> None:
    recorded = lab().record({2: killed(1)})
    late = dataclasses.replace(recorded.clean[0], after=recorded.clean[0].before)
    assert "went on changing" in judge(changed(recorded, clean=(late, recorded.clean[1]))).summary


def test_passes_that_start_from_different_worlds() -> None:
    def setup(db: Db) -> None:
        if db.seed == 3:
            db.insert("db.orders", no=99, status="new", at=None)

    result = lab(setup=setup).judge({2: killed(1)})
    assert result.verdict is INCONCLUSIVE
    assert "did not start from the same world: db.orders" in result.summary


def test_first_worlds_that_differ_by_a_time_stamp_are_the_same() -> None:
    def setup(db: Db) -> None:
        for row in db.tables["db.orders"].rows:
            row["at"] = db.now()

    assert lab(setup=setup).judge({2: killed(1)}).verdict is PASS


def test_tasks_without_effects_cannot_fail() -> None:
    def idle(db: Db, n: int, cents: int) -> Iterator[None]:
        yield

    result = lab(idle).judge({2: killed(0)})
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "the clean pass changed nothing that is compared")


def test_everything_ignored() -> None:
    result = lab(pay_again).judge({2: killed(1)}, ignore=("api.*", "orders.*"))
    assert result.verdict is INCONCLUSIVE


def test_nothing_exercised() -> None:
    result = lab().judge({})
    assert result.verdict is INCONCLUSIVE
    assert "nothing was exercised" in result.summary


# --- parameters -------------------------------------------------------------------------------------------------------


def test_observe_selects_services() -> None:
    assert lab(pay_again).judge({2: killed(1)}, observe=("db",)).verdict is PASS
    assert lab(pay_again).judge({2: killed(1)}, observe=("api",)).verdict is FAIL


@pytest.mark.parametrize("pattern", ["api.requests", "api.*", "requests.*", "*.requests"])
def test_ignore_leaves_out(pattern: str) -> None:
    assert lab(pay_again).judge({2: killed(1)}, ignore=(pattern,)).verdict is PASS


@pytest.mark.parametrize("pattern", ["requests.cents", "api.requests.order", "orders.status"])
def test_ignoring_a_column_keeps_the_rest(pattern: str) -> None:
    assert lab(pay_again).judge({2: killed(1)}, ignore=(pattern,)).verdict is FAIL


def test_ignore_wants_a_dot() -> None:
    with pytest.raises(ValidationError, match=r"table\.column"):
        IdempotentParameters(ignore=("requests",))


# --- what varies by itself --------------------------------------------------------------------------------------------


def writing(**columns: Any) -> Any:
    def task(db: Db, n: int, cents: int) -> Iterator[None]:
        yield
        db.upsert("cache.keys", {"key": f"order:{n}"}, **{k: v(db, n) if callable(v) else v for k, v in columns.items()})

    return task


def test_nested_values_are_compared_leaf_by_leaf() -> None:
    task = writing(value=lambda db, n: {"at": db.now(), "who": {"id": db.uuid(), "order": n}})
    result = lab(task).judge({2: killed(1)})
    assert result.verdict is PASS
    assert result.ignored == ("cache.keys.value.at", "cache.keys.value.who.id")

    def spoil(db: Db) -> None:
        db.find("cache.keys", key="order:2")["value"]["who"]["order"] = 3  # type: ignore[index]

    assert lab(task).judge({2: killed(1)}, tamper=spoil).verdict is FAIL


def test_json_texts_are_read() -> None:
    task = writing(value=lambda db, n: f'{{"at": {db.now()}, "order": {n}}}')
    assert lab(task).judge({2: killed(1)}).ignored == ("cache.keys.value.at",)


def test_the_constant_part_of_a_varying_text_is_compared() -> None:
    task = writing(value=lambda db, n: f"charged with {db.uuid()} by card")

    def spoil(db: Db) -> None:
        row = db.find("cache.keys", key="order:2")
        assert row is not None
        row["value"] = row["value"].replace("card", "cash")

    assert lab(task).judge({2: killed(1)}).verdict is PASS
    assert lab(task).judge({2: killed(1)}, tamper=spoil).verdict is FAIL


def test_a_varying_value_must_still_be_there() -> None:
    result = lab().judge({2: killed(1)}, tamper=lambda db: db.update("db.orders", {"no": 2}, at=None))
    assert result.verdict is FAIL


def test_a_varying_key_does_not_hide_other_keys() -> None:
    """One time stamp in a key-value store is not the end of the comparison."""

    def task(db: Db, n: int, cents: int) -> Iterator[None]:
        db.upsert("cache.keys", {"key": "last_run"}, value=db.now())
        row = db.find("cache.keys", key="total")
        db.upsert("cache.keys", {"key": "total"}, value=(row["value"] if row else 0) + cents)
        yield

    assert lab(task).judge({2: killed(0)}).verdict is PASS
    assert lab(task).judge({2: killed(1)}).verdict is FAIL


def test_random_keys_are_counted() -> None:
    def task(db: Db, n: int, cents: int) -> Iterator[None]:
        db.insert("cache.keys", key=f"event:{db.uuid()}", value=n)
        yield

    assert lab(task).judge({2: killed(0)}).verdict is PASS
    assert lab(task).judge({2: killed(1)}).verdict is FAIL


def test_protocol() -> None:
    assert Idempotent.needs_clean
    assert Idempotent.name == "idempotent"


def test_a_call_that_was_still_running_makes_no_pass() -> None:
    recorded = lab(pay).record({2: killed(1)})
    assert judge(recorded).verdict is PASS
    (delivery,) = next(m for m in recorded.history.calls[3].messages).deliveries
    delivery.end = delivery.ack = None
    delivery.state = ""
    result = judge(recorded)
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "1 call had not ended: 3")


def test_a_call_that_will_run_again_makes_no_pass() -> None:
    recorded = lab().record({2: killed(1), 3: twice()})
    assert judge(recorded).verdict is PASS
    for number in (4, 5):
        (message,) = recorded.history.calls[number].messages
        message.deliveries[-1].ack = None
        message.held = Held("unacked", "celery", timeout="visibility_timeout 3600 s", message_id=message.id, task_id=message.task_id)
    result = judge(recorded)
    assert (result.verdict, result.summary) == (INCONCLUSIVE, "2 calls will run again after visibility_timeout 3600 s: 4, 5")
    assert "drain" in result.advice
