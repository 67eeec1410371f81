"""What the agent draws arguments from, and how Hypothesis is driven by somebody else's answers."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from celery_harness_agent import drawing, typed
from celery_harness_agent.frames import Frames

BY_NAME = "name a strategy"


class Order(BaseModel):
    """As an app has it."""

    number: int = Field(ge=1, le=9)
    note: str | None = None

    @model_validator(mode="after")
    def _no_three(self) -> Order:
        if self.number == 3:
            raise ValueError("no order has the number 3")
        return self


class Task:
    """What of a Celery task counts here."""

    name = "shop.pay"

    def __init__(self, run: Any) -> None:
        self.run = run


def drawn(strategy: Any, seed: int = 0, examples: int = 20) -> list[Any]:
    """All that is asked for, where nothing fails."""
    asked: list[Any] = []

    def ask(one: Any) -> str:
        asked.append(one)
        return "passes"

    drawing._try_all(strategy, seed, examples, ask)
    return asked


def test_parameters_that_must_be_given_are_drawn_by_their_hints() -> None:
    def run(first: int, /, order: Order, many: list[Order], cents: float, *rest: int, currency: str = "EUR", **more: str) -> None: ...

    positional, named = typed.from_hints(Task(run), {"cents": 5}, BY_NAME)
    assert len(positional) == 1 and list(named) == ["order", "many"]
    orders = drawn(named["order"].map(lambda order: typed.plain(order, "order")))
    assert all(1 <= one["number"] <= 9 and one["number"] != 3 for one in orders) and len(orders) > 3
    lists = drawn(named["many"].map(lambda orders: typed.plain(orders, "many")))
    assert any(lists) and all(isinstance(order, dict) for orders in lists for order in orders)


def test_a_parameter_without_a_hint_and_what_json_does_not_carry_are_refused_by_name() -> None:
    def run(cents) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(typed.Unfit, match=r"parameter `cents` of shop\.pay has no type hint"):
        typed.from_hints(Task(run), {}, BY_NAME)
    assert typed.plain((1, {"a": Order(number=2)}), "x") == [1, {"a": {"number": 2, "note": None}}]
    for value in (Decimal(1), {1: 2}, float("inf")):
        with pytest.raises(typed.Unfit, match="x was drawn as"):
            typed.plain(value, "x")


def test_a_failing_set_gets_as_small_as_the_answers_allow() -> None:
    asked: list[int] = []

    def ask(one: int) -> str:
        asked.append(one)
        return "fails" if one > 100 else "passes"

    with pytest.raises(drawing._Fails):
        drawing._try_all(st.integers(0, 100_000), 1, 20, ask)
    assert [one for one in asked if one > 100][-1] == 101


def test_the_seed_alone_decides_and_enough_is_enough() -> None:
    assert drawn(st.integers(), 1) == drawn(st.integers(), 1) != drawn(st.integers(), 2)
    asked: list[int] = []

    def ask(one: int) -> str:
        asked.append(one)
        return "enough" if len(asked) == 3 else "nothing"

    with pytest.raises(drawing._Enough):
        drawing._try_all(st.integers(), 1, 20, ask)
    assert len(asked) == 3


def test_a_strategy_that_raises_is_not_made_smaller() -> None:
    request = {"args": [7], "kwargs": {}, "rows": f"{__name__}:RAISING"}
    asked = 0

    def ask(one: Any) -> str:
        nonlocal asked
        asked += 1
        return "passes"

    with pytest.raises(drawing._Broken) as caught:
        drawing._try_all(drawing._sets(request), 0, 50, ask)
    assert isinstance(caught.value.cause, ZeroDivisionError)
    assert asked < 50


def _raise(number: int) -> float:
    return 1 / number


RAISING = st.integers(0, 5).map(_raise)


@pytest.mark.parametrize(
    ("name", "words"),
    [("PAIR", r"gave 7"), ("THING", "is int"), ("no_parameter", "without a parameter")],
)
def test_what_is_no_strategy_of_pairs_is_refused(name: str, words: str) -> None:
    request = {"args": f"{__name__}:{name}", "kwargs": {}, "rows": ""}
    with pytest.raises((typed.Unfit, drawing._Broken), match=words):
        drawn(drawing._sets(request))


PAIR = st.just(7)
THING = 7


def no_parameter() -> tuple[list[int], dict[str, int]]:
    """Gives what it likes."""
    return [1], {}


def with_random(random: Any) -> tuple[list[int], dict[str, int]]:
    """A function as `load` takes it."""
    return [random.randrange(1000)], {"cents": 5}


class Silent:
    """A channel on which nobody is asked."""

    def send(self, document: dict[str, Any]) -> None:
        """Nothing may be drawn."""
        raise AssertionError(document)


@pytest.mark.parametrize(
    ("args", "missing", "kind", "words"),
    [
        ("nowhere:orders", "", "object", "it cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        (f"{__name__}:nothing", "", "object", "it cannot be imported: AttributeError: "),
        (f"{__name__}:PAIR", "hypothesis", "hypothesis", "arguments are drawn by Hypothesis, which the app's Python does not have"),
    ],
)
def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, args: str, missing: str, kind: str, words: str) -> None:
    request = {"args": args, "kwargs": {}, "rows": "", "seed": 0, "examples": 3}
    if missing:
        for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
            monkeypatch.setitem(sys.modules, name, None)
    error = drawing._drawn(request, Silent(), Frames("/nowhere"))["error"]  # type: ignore[arg-type]
    assert error["kind"] == kind and error["what"].startswith(words)


def test_a_function_that_takes_a_random_is_as_good_as_a_strategy() -> None:
    sets = drawn(drawing._sets({"args": f"{__name__}:with_random", "kwargs": {"currency": "EUR"}, "rows": ""}))
    assert len({one["args"][0] for one in sets}) > 3
    assert all(one["kwargs"] == {"currency": "EUR", "cents": 5} and one["rows"] is None for one in sets)
