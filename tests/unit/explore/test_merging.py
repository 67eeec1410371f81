"""What may count as one world."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.explore.merging import Merging
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import Node


def node(*rows: dict[str, Any], key: str = "k", surrogate: tuple[str, ...] = ()) -> Node:
    return Node(key, World({"db": StoreState("db", {"orders": Collection("orders", rows, surrogate=surrogate)})}), (), None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"state": "new"}], [{"state": "paid"}]),
        ([{"state": "new"}], []),
        ([{"state": "new"}], [{"state": "new"}, {"state": "new"}]),
        ([{"state": None}], [{"state": "paid"}]),
        ([{"value": {"a": "x"}}], [{"value": {"b": "x"}}]),
    ],
)
def test_rows_with_other_words_are_another_world(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    merging = Merging(())
    merging.check(node(*one))
    with pytest.raises(EnvironmentFault, match="took two worlds for one"):
        merging.check(node(*other))
    merging.check(node(*other, key="another"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": 1, "of": "payment-1"}, {"id": 2, "of": "payment-2"}),
        ({"id": 1, "at": "2026-11-22T01:02:03"}, {"id": 1, "at": "2026-11-23T04:05:06"}),
        ({"id": 1, "total": 3}, {"id": 1, "total": 4}),
    ],
)
def test_numbers_and_times_are_left_to_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    merging = Merging(())
    merging.check(node(one, surrogate=("id",)))
    merging.check(node(other, surrogate=("id",)))


def test_what_varied_in_clean_executions_may_differ() -> None:
    merging = Merging([[node({"token": "abc", "state": "new"}), node({"token": "xyz", "state": "new"})]])
    merging.check(node({"token": "abc", "state": "new"}))
    merging.check(node({"token": "qqq", "state": "new"}))
    with pytest.raises(EnvironmentFault):
        merging.check(node({"token": "abc", "state": "paid"}))
