"""A load at another rate: every stream keeps its share, and what has no rate is refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.load.arrivals import load_seconds, plan_calls
from harness.load.search_streams import constant_load, share_texts, stepped_load, total_rate, unfit
from harness.model.scenario import LoadItem


def item(**keys: Any) -> LoadItem:
    return LoadItem.model_validate({"send": "shop.work", **keys})


TWO = (item(rate="6/s", count=12, at="3s"), item(send="shop.other", rate="2/s", arrival="poisson", **{"for": "9s"}))


def test_streams_keep_their_shares() -> None:
    load = constant_load(TWO, 40.0, 5.0)
    assert (
        total_rate(TWO) == 8.0 and [one.rate for one in load] == [30.0, 10.0] and [one.arrival for one in load] == ["constant", "poisson"]
    )
    calls = plan_calls(load, 1)
    assert load_seconds(load, 1) == 5.0 and sum(call.item == 0 for call in calls) == 150 and calls[0].due == 0.0


def test_steps_follow_one_another() -> None:
    load = stepped_load(TWO, [8.0, 16.0, 8.0], 2.0)
    calls = plan_calls(load, 1)
    assert load_seconds(load, 1) == 6.0
    assert [sum(begin <= call.due < begin + 2 for call in calls) for begin in (0, 2, 4)] == [16, 32, 16]
    assert load[0].planned()["for"] == 6.0  # the producer's plan can be written


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"count": 4}, "all at once"),
        ({"count": 4, "arrival": "burst"}, "bursts"),
        ({"arrival": "ramp", "rate": "5/s", "for": "2s"}, "ramp"),
        ({"arrival": "step", "rates": ["1/s", "2/s"], "for": "2s"}, "steps"),
        ({"arrival": "spike", "rate": "5/s", "peak": "9/s", "peak_at": "1s", "peak_for": "1s", "for": "4s"}, "spike"),
        ({"arrival": "diurnal", "rate": "5/s", "period": "2s", "for": "4s"}, "day"),
        ({"arrival": "trace", "trace": "x.csv"}, "recorded"),
    ],
)
def test_what_has_no_one_rate_is_said(keys: dict[str, Any], why: str) -> None:
    assert why in unfit(item(**keys))


def test_what_has_one_is_not() -> None:
    assert [unfit(one) for one in TWO] == ["", ""]


def test_streams_in_words() -> None:
    assert share_texts(TWO) == ["shop.work, 75 % of the rate", "shop.other, 25 % of the rate, poisson"]
    assert share_texts(TWO[:1]) == ["shop.work"]
    assert share_texts([LoadItem.model_validate({"chain": [{"send": "a"}, {"send": "b"}], "rate": "1/s", "count": 1})]) == ["chain of a, b"]
