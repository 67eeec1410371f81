from __future__ import annotations

from typing import Any

from harness.explore.differences import brief, differences
from harness.explore.varying import Varying
from harness.model.world import Collection, Row


def world(orders: list[Row] = [], payments: list[Row] = [], keys: list[Row] = [], requests: list[Row] = []) -> dict[str, Collection]:  # noqa: B006
    return {
        "db.orders": Collection("orders", tuple(orders), key=("id",), surrogate=("id",)),
        "db.payments": Collection("payments", tuple(payments), key=("id",), surrogate=("id",), references={"order_id": "orders.id"}),
        "cache.keys": Collection("keys", tuple(keys), key=("key",)),
        "api.requests": Collection("requests", tuple(requests)),
    }


FIRST = world(orders=[{"id": 7, "state": "new"}, {"id": 8, "state": "new"}])
GIVEN = {("db.orders", "id"): {7, 8}}


def told(expected: dict[str, Collection], found: dict[str, Collection]) -> list[dict[str, Any]]:
    return [dict(entry) for entry in differences(Varying(), GIVEN, FIRST, expected, found, FIRST)]


def paid(**more: Any) -> dict[str, Collection]:
    return world(orders=[{"id": 7, "state": "paid"}, {"id": 8, "state": "new"}], **more)


def test_nothing_where_nothing_differs() -> None:
    assert told(paid(), paid()) == []
    one, other = (paid(payments=[{"id": id, "order_id": 7, "amount": 900}]) for id in (1, 2))
    assert told(one, other) == []


def test_a_row_that_is_found_again_shows_what_differs() -> None:
    entry = {"collection": "db.orders", "row": {"id": 7}}
    assert told(paid(), FIRST) == [{**entry, "before": {"state": "new"}, "after": {"state": "new"}, "expected": {"state": "paid"}}]


def test_a_row_too_many() -> None:
    payment = {"id": 1, "order_id": 7, "amount": 900}
    entry = {"collection": "db.payments", "row": {"amount": 900}, "before": 0}
    once, twice = paid(payments=[payment]), paid(payments=[payment, {**payment, "id": 2}])
    assert told(once, twice) == [{**entry, "after": 2, "expected": 1}]
    assert told(once, paid()) == [{**entry, "after": 0, "expected": 1}]


def test_duplicates_of_rows_without_a_key() -> None:
    request = {"method": "POST", "path": "/charges", "body": {"amount": 900}, "key": None, "headers": {}}
    row = {"method": "POST", "path": "/charges", "body": {"amount": 900}}
    assert told(paid(requests=[request]), paid(requests=[request, request])) == [
        {"collection": "api.requests", "row": row, "before": 0, "after": 2, "expected": 1}
    ]


def test_a_key_that_is_left_over_or_missing() -> None:
    lock = {"key": "lock:7", "type": "string", "value": "me", "expires": False}
    shown = {"type": "string", "value": "me", "expires": False}
    entry = {"collection": "cache.keys", "row": {"key": "lock:7"}, "before": None}
    assert told(paid(), paid(keys=[lock])) == [{**entry, "after": shown, "expected": None}]
    assert told(paid(keys=[lock]), paid()) == [{**entry, "after": None, "expected": shown}]


def test_a_row_of_the_first_world_that_is_gone() -> None:
    gone = world(orders=[{"id": 8, "state": "new"}])
    assert told(FIRST, gone) == [
        {"collection": "db.orders", "row": {"id": 7}, "before": {"state": "new"}, "after": None, "expected": {"state": "new"}}
    ]


def test_rows_of_a_first_world_without_keys_are_counted_down() -> None:
    first, none = ({"x.notes": Collection("notes", tuple({"text": "a"} for _ in range(count)))} for count in (2, 0))
    assert [dict(entry) for entry in differences(Varying(), {}, first, first, none, first)] == [
        {"collection": "x.notes", "row": {"text": "a"}, "before": 2, "after": 0, "expected": 2}
    ]


def test_who_points_to_whom() -> None:
    """Two orders that are alike, two payments that are alike: only which belongs to which differs."""

    def orders(*targets: int) -> dict[str, Collection]:
        made = [{"id": 20, "state": "new"}, {"id": 21, "state": "new"}]
        return world(
            orders=[*FIRST["db.orders"].rows, *made], payments=[{"id": n, "order_id": t, "amount": 900} for n, t in enumerate(targets, 1)]
        )

    assert told(orders(20, 21), orders(21, 20)) == []
    found = told(orders(20, 21), orders(20, 20))
    assert {entry["collection"] for entry in found} == {"db.orders", "db.payments"}
    assert all(entry["after"] != entry["expected"] for entry in found)


def test_long_values_are_cut() -> None:
    long = {"key": "k", "type": "string", "value": "x" * 500, "expires": False}
    (entry,) = brief(told(paid(), paid(keys=[long])))
    assert len(entry["after"]["value"]) == 80


def test_of_long_values_the_part_is_shown_that_differs() -> None:
    values = ["a" * 500, "a" * 500 + "10 ", "a" * 500 + "10 10 "]
    entry = {
        "collection": "db.notes",
        "row": {"number": 7},
        **dict(zip(("before", "expected", "after"), ({"text": v} for v in values), strict=True)),
    }
    (found,) = brief([entry])
    told = [found[name]["text"] for name in ("before", "expected", "after")]
    assert len(set(told)) == 3 and all(len(one) <= 80 and one.startswith("…") for one in told) and told[2].endswith("10 10 ")
    assert [len(brief([entry] * 20)), len(entry["after"]["text"])] == [8, 506]


def test_a_row_that_is_there_twice_is_told_as_a_count() -> None:
    """A database without a journal may have one key twice after a crash."""
    row = {"number": 7, "done": 1}
    once, twice = ({"db.progress": Collection("progress", (row,) * count, key=("number",))} for count in (1, 2))
    assert told(once, twice) == [{"collection": "db.progress", "row": row, "before": 0, "after": 2, "expected": 1}]
