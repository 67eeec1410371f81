"""How long a load lasts and how many calls it makes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.scenario import LoadItem
from harness.scenario.extent import at_most_calls, bursts, call_count, latest_end, longest_delay, nominal_end


def item(**fields: Any) -> LoadItem:
    kind = {} if {"chain", "group", "chord"} & set(fields) else {"send": "a"}
    return LoadItem.model_validate({**kind, **fields})


@pytest.mark.parametrize(
    ("fields", "count", "end"),
    [
        ({"rate": "50/s", "for": "30s"}, 1500, 30.0),
        ({"rate": "50/s", "for": "30s", "at": "5s"}, 1500, 35.0),
        ({"rate": "1/s", "for": "500ms"}, 1, 0.5),
        ({"rate": "3/s", "for": "1100ms"}, 4, 1.1),
        ({"rate": "10/s", "for": "300ms"}, 3, 0.3),
        ({"rate": "50/s", "count": 100}, 100, 2.0),
        ({"count": 7, "at": "3s"}, 7, 3.0),
        ({"rate": "10/s", "for": "10s", "arrival": "ramp"}, 50, 10.0),
        ({"rate": "10/s", "start_rate": "30/s", "for": "10s", "arrival": "ramp"}, 200, 10.0),
        ({"count": 5, "arrival": "burst"}, 5, 0.0),
        ({"count": 5, "arrival": "burst", "every": "2s", "for": "6s"}, 15, 6.0),
        ({"count": 5, "arrival": "burst", "every": "2s", "for": "7s"}, 20, 7.0),
        ({"rate": "5/s", "count": 20, "arrival": "poisson"}, 20, 4.0),
        ({"rate": "5/s", "for": "4s", "arrival": "poisson"}, None, 4.0),
        ({"rate": "1000/s", "for": "1h"}, 3_600_000, 3600.0),
        ({"arrival": "step", "rates": ["10/s", "20/s", "40/s"], "for": "3s"}, 70, 3.0),
        ({"arrival": "spike", "rate": "10/s", "peak": "50/s", "peak_at": "2s", "peak_for": "1s", "for": "5s", "at": "1s"}, 90, 6.0),
        ({"arrival": "diurnal", "rate": "30/s", "low": "10/s", "period": "10s", "for": "20s"}, 400, 20.0),
        ({"arrival": "diurnal", "rate": "30/s", "period": "10s", "for": "10s"}, 150, 10.0),
    ],
)
def test_count_and_end(fields: dict[str, Any], count: int | None, end: float) -> None:
    assert call_count(item(**fields)) == count
    assert nominal_end(item(**fields)) == pytest.approx(end)


def test_poisson_is_bounded_generously() -> None:
    assert at_most_calls(item(rate="5/s", arrival="poisson", **{"for": "20s"})) == 100 + 60 + 36
    assert latest_end([item(rate="5/s", count=100, arrival="poisson"), item(count=1)]) == pytest.approx(20 + 96 / 5)


def test_bursts() -> None:
    assert bursts(item(count=1, arrival="burst")) == 1
    assert bursts(item(count=1, arrival="burst", every="10s", **{"for": "1s"})) == 1


@pytest.mark.parametrize(
    ("fields", "delay"),
    [
        ({}, 0.0),
        ({"countdown": "3s"}, 3.0),
        ({"countdown": "3s", "eta": "5s"}, 5.0),
        ({"chain": [{"send": "a", "countdown": "3s"}, {"send": "b", "eta": "5s"}]}, 8.0),
        ({"group": [{"send": "a", "countdown": "3s"}, {"send": "b", "eta": "5s"}]}, 5.0),
        ({"chord": {"header": [{"send": "a", "countdown": "3s"}, {"send": "b"}], "body": {"send": "c", "eta": "5s"}}}, 8.0),
    ],
)
def test_delays(fields: dict[str, Any], delay: float) -> None:
    assert longest_delay(item(count=1, **fields)) == delay
