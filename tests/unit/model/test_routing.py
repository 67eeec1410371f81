from __future__ import annotations

import pytest
from kombu.transport.native_delayed_delivery import calculate_routing_key

from harness.model.routing import without_delay


@pytest.mark.parametrize("seconds", [1, 90, 2**28 - 1])
def test_a_native_delay_is_no_part_of_the_routing_key(seconds: int) -> None:
    delayed = calculate_routing_key(seconds, "orders.eu")
    assert delayed != "orders.eu" and without_delay(delayed) == "orders.eu"


@pytest.mark.parametrize("key", ["", "orders", "1.0.orders", "0." * 27 + "orders"])
def test_any_other_key_stays(key: str) -> None:
    assert without_delay(key) == key
