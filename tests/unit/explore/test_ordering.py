from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from harness.explore.ordering import Order, out_of_order
from harness.explore.varying import Varying
from harness.model.world import Collection, Row, StoreState, World
from harness.ports.exploring import Node


def node(*rows: Row, key: tuple[str, ...] = ("id",)) -> Node:
    history = Collection("history", rows, key=key, surrogate=key)
    return Node("", World({"db": StoreState("db", {"history": history})}), (), None, (), 0.0, at=0.0)


class Listing:
    lists_in_order: ClassVar[bool] = True


def order(store: Any, key: tuple[str, ...]) -> Order:
    found = Order(Varying(), cast(Any, {"db": store}))
    found.begin(node({"id": 1, "what": "old"} if key else {"what": "old"}, key=key), {("db.history", "id"): {1}})
    return found


@pytest.mark.parametrize(("ids", "differs"), [((2, 3), False), ((7, 9), False), ((3, 2), True)])
def test_order_is_that_of_the_numbers_that_the_store_gave(ids: tuple[int, int], differs: bool) -> None:
    known = order(SimpleNamespace(), ("id",))
    old = {"id": 1, "what": "old"}
    goal = known.of(node(old, {"id": 2, "what": "started"}, {"id": 3, "what": "done"}))
    found = known.of(node({"id": ids[1], "what": "done"}, {"id": ids[0], "what": "started"}, old))
    assert out_of_order(goal, found) == ({"db.history"} if differs else set())
    assert out_of_order(goal, known.of(node(old, {"id": 3, "what": "done"}))) == set()  # a row is missing: that is told otherwise


@pytest.mark.parametrize(("store", "told"), [(Listing(), True), (SimpleNamespace(), False)])
def test_rows_without_a_key_have_an_order_where_their_store_lists_them_so(store: Any, told: bool) -> None:
    known = order(store, ())
    rows = [{"what": "started"}, {"what": "done"}]
    goal, found = (known.of(node({"what": "old"}, *listed, key=())) for listed in (rows, rows[::-1]))
    assert out_of_order(goal, found) == ({"db.history"} if told else set())
