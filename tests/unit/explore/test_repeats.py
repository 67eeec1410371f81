from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from harness.explore.freezing import Freezer
from harness.explore.repeats import keys_of_two, repeats_among
from harness.explore.varying import Varying
from harness.model.world import Collection, Row, StoreState
from harness.ports.store import SeenEffect, Store

A, B = ("4f3a9c21-1111-4111-8111-aaaaaaaaaaaa", "77aa01be-2222-4222-8222-bbbbbbbbbbbb")


def request(key: str | None, body: Any, path: str = "/charges") -> Row:
    return {"method": "POST", "path": path, "query": {}, "body": body, "key": key, "headers": {}}


class Company:
    """Took the first request, and the second for a repeat of it."""

    def __init__(self, taken: Row, repeated: Row) -> None:
        self._taken, self._repeated = taken, repeated

    def observe(self) -> StoreState:
        return StoreState("company", {"requests": Collection("requests", (self._taken,))})

    def effects(self) -> Sequence[SeenEffect]:
        seen = (("accepted", self._taken), ("repeated", self._repeated))
        return [SeenEffect(0.0, "POST /charges", outcome, "requests", row, 200) for outcome, row in seen]


@pytest.mark.parametrize(
    ("taken", "repeated", "coarse"),
    [
        (request("order-7", {"item": "book"}), request("order-7", {"item": "book"}), False),
        (request("order-7", {"item": "book"}), request("order-7", {"item": "pen"}), True),
        (request("order-7", {"item": "book", "id": A}), request("order-7", {"item": "book", "id": B}), False),  # varies by itself
        (request("order-7", {"item": "book", "id": A}), request("order-7", {"item": "pen", "id": B}), True),
        (request("order-7", {"item": "book"}), request("order-7", {"item": "pen"}, "/refunds"), False),  # of no request that is there
    ],
)
def test_a_repeat_of_something_else(taken: Row, repeated: Row, coarse: bool) -> None:
    varying = Varying()
    varying.learn([{"company.requests": Collection("requests", (request("k", {"item": "book", "id": one}),))} for one in (A, B)])
    found = repeats_among({"company": cast(Store, Company(taken, repeated))}, lambda: Freezer(varying, {}))
    assert [(one.collection, one.row, one.first) for one in found] == ([("company.requests", repeated, taken)] if coarse else [])


def test_one_key_at_two_places_is_told() -> None:
    """A service may know it at both, as Stripe does; the stub does not."""
    rows = (
        request("order-7", {"n": 1}, "/orders/7/authorize"),
        request("order-7", {"n": 1}, "/orders/7/capture"),
        request(None, {}, "/log"),
    )
    told = keys_of_two({"company.requests": Collection("requests", rows)})
    assert told == [
        "a company that knows a key wherever it comes: POST /orders/<digits>/authorize and POST /orders/<digits>/capture had the same"
    ]
    assert not keys_of_two({"company.requests": Collection("requests", rows[1:])})
