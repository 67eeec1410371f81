"""Strategies: what they draw, what they refuse, and what they shrink to."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from celery import Celery
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from harness.errors import UsageError
from harness.testing.fault_kinds import KINDS
from harness.testing.plans import Plan, PlannedCall, PlannedFault
from harness.testing.strategies import call_lists, calls, chords, fault_plans, lines_of, plans

app = Celery("typed")


class Order(BaseModel):
    number: Annotated[int, Field(ge=1)]
    items: list[str] = []
    day: datetime.date = datetime.date(2024, 1, 1)

    @model_validator(mode="after")
    def _odd(self) -> Order:
        if self.number % 2 == 0:
            raise ValueError("even")
        return self


@app.task(name="typed.pay")
def pay(order: Order, share: float, note: str = "") -> None:
    """Two lines of its own."""
    if note:
        raise ValueError(note)


@app.task(name="typed.book", bind=True)
def book(self: Any, day: datetime.date) -> None: ...


@app.task(name="typed.weigh")
def weigh(weights: list[float], limit: float | None, orders: list[Order], grams: int, more: list[int]) -> None: ...


@app.task(name="typed.loose")
def loose(number) -> None: ...  # type: ignore[no-untyped-def]


def smallest(strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool] = lambda drawn: True) -> Any:
    return find(strategy, condition, settings=settings(max_examples=400, database=None, suppress_health_check=list(HealthCheck)))


def test_a_name_takes_strategies_and_values() -> None:
    call = smallest(calls("orders.charge", st.integers(1, 9), 900, key=st.text(), options={"queue": "mail"}))
    assert call == PlannedCall("orders.charge", (1, 900), {"key": ""}, {"queue": "mail"})


def test_a_task_is_drawn_from_its_type_hints() -> None:
    call = smallest(calls(pay))
    assert call.task == "typed.pay"
    assert call.kwargs == {"order": {"number": 1, "items": [], "day": "2024-01-01"}, "share": 0.0}


@settings(max_examples=50, database=None, suppress_health_check=list(HealthCheck), deadline=None)
@given(calls(pay))
def test_models_keep_their_own_rules(call: PlannedCall) -> None:
    assert call.kwargs["order"]["number"] % 2 == 1


@settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck), deadline=None)
@given(calls(weigh))
def test_numbers_that_json_does_not_know_and_models_that_refuse_are_drawn_at_no_depth(call: PlannedCall) -> None:
    json.dumps(call.kwargs, allow_nan=False)
    assert all(order["number"] % 2 == 1 for order in call.kwargs["orders"])
    assert all(-(2**63) <= whole < 2**63 for whole in [call.kwargs["grams"], *call.kwargs["more"]])


def test_what_is_given_is_not_drawn() -> None:
    assert smallest(calls(pay, st.just({"number": 7}), share=st.just(0.5))).kwargs == {"share": 0.5}


def test_a_parameter_without_a_hint_is_named() -> None:
    with pytest.raises(UsageError, match=r"typed\.loose: parameter `number` has no type hint"):
        calls(loose)


@pytest.mark.parametrize("value", [datetime.date(2024, 1, 1), b"raw", float("nan"), {1: 2}, {"deep": [object()]}, "\ud800"])
def test_what_json_cannot_carry_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"orders\.charge: parameter `what`"):
        smallest(calls("orders.charge", what=st.just(value)))


def test_a_hint_that_json_cannot_carry_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"typed\.book: parameter `day` was drawn as datetime\.date"):
        smallest(calls(book))


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no option `que`"):
        calls("orders.charge", options={"que": "x"})


def test_lists_of_calls_shrink_to_few_and_plain_ones() -> None:
    drawn = call_lists(calls("a"), calls("b", st.integers(0, 99)), max_size=4)
    assert smallest(drawn) == (PlannedCall("a"),)
    assert smallest(drawn, lambda lists: any(call.task == "b" and call.args[0] > 3 for call in lists)) == (PlannedCall("b", (4,)),)


def test_lists_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="needs the calls"):
        call_lists()


def test_calls_can_be_kept_apart() -> None:
    drawn = call_lists(calls("a", st.integers(0, 9)), min_size=3, unique_by=lambda call: call.args[0])
    assert sorted(call.args[0] for call in smallest(drawn)) == [0, 1, 2]


def test_chords_shrink_to_one_header_task() -> None:
    chord = smallest(chords(calls("thumbnail", st.sampled_from("abc")), calls("ready")))
    assert chord.step() == {"chord": {"header": [{"send": "thumbnail", "args": ["a"]}], "body": {"send": "ready"}}}


def test_plans_shrink_to_no_fault_then_one_call_then_small_arguments() -> None:
    drawn = plans(call_lists(calls("a", st.integers(0, 1000))))
    assert smallest(drawn) == Plan.of([PlannedCall("a", (0,))])
    assert smallest(drawn, lambda plan: any(call.args[0] >= 7 for call in plan.calls)) == Plan.of([PlannedCall("a", (7,))])


def test_a_bug_that_needs_a_fault_keeps_one() -> None:
    plan = smallest(plans(call_lists(calls("a"))), lambda plan: len(plan.faults) > 0)
    assert plan == Plan.of([PlannedCall("a")], [PlannedFault("task.crash", 1, "start", 0, {"restart_after": "100ms"})])


def test_a_bug_that_needs_a_place_keeps_the_simplest_of_those() -> None:
    def strikes(plan: Plan) -> bool:
        return any(f.name == "task.crash" and f.reaches in ("before_ack", "after_ack") for f in plan.faults)

    plan = smallest(plans(call_lists(calls("a"))), strikes)
    assert [(f.call, f.reaches) for f in plan.faults] == [(1, "before_ack")]
    assert len(plan.calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn(kind: str) -> None:
    (fault,) = smallest(fault_plans([kind], min_faults=1, max_faults=1))
    assert (fault.name, fault.call) == (kind, 1)


def test_what_may_be_hit_can_be_said() -> None:
    given = fault_plans(["net.partition"], min_faults=1, groups=["mail"], parts=["smtp"], modes=["reset"], lengths=["2s"])
    assert smallest(given)[0].parameters == {"between": ["mail", "smtp"], "mode": "reset", "for": "2s"}
    assert smallest(fault_plans(["message.duplicate"], min_faults=1, queues=["q"]))[0].parameters["queue"] == "q"


def test_a_fault_with_its_own_keys_is_taken_as_it_is() -> None:
    (fault,) = smallest(fault_plans([{"fault": "db.restart", "target": "db", "down": "1s"}], min_faults=1))
    assert (fault.name, fault.parameters) == ("db.restart", {"target": "db", "down": "1s"})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("worker.kil", "no fault `worker.kil`"),
        ("db.restart", "needs keys of its own"),
        ({"fault": "db.restart", "target": "db", "at": "1s"}, "has no `when` and no `at`"),
    ],
)
def test_kinds_that_cannot_be_are_refused(kind: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fault_plans([kind])


@settings(max_examples=100, database=None)
@given(fault_plans(max_faults=3))
def test_no_moment_has_two_faults_of_a_kind(faults: tuple[PlannedFault, ...]) -> None:
    assert len({(f.name, f.call, f.reaches) for f in faults}) == len(faults) <= 3


def test_no_fault_can_be_asked_for() -> None:
    assert smallest(fault_plans(max_faults=0)) == ()


def test_the_lines_of_a_task_are_points() -> None:
    first = pay.run.__code__.co_firstlineno
    file = f"{__name__.replace('.', '/')}.py"
    assert lines_of(pay) == (f"{file}:{first + 3}", f"{file}:{first + 4}")


def test_a_task_without_source_has_no_lines() -> None:
    made: dict[str, Any] = {"app": app, "__name__": "made"}
    exec("@app.task(name='made.up')\ndef up(): pass", made)
    with pytest.raises(UsageError, match="its source cannot be read"):
        lines_of(made["up"])
