from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.quantities import format_duration, parse_duration, parse_rate, parse_share


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("200ms", 0.2), ("1m 30s", 90), ("2 h", 7200), ("1d", 86400), ("1min", 60), ("50us", 5e-5), ("1.5s", 1.5), (0, 0)],
)
def test_durations_are_read_in_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [5, 5.0, True, "5", "s", "5 parsecs", "-5s", "5s!", "", None, [], "5s and 3"])
def test_a_duration_without_a_unit_or_with_a_wrong_one_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50), ("600/m", 10), ("36 / h", 0.01), ("1/ms", 1000)])
def test_rates_are_read_per_second(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", [50, "50", "0/s", "50/fortnight", None, "-1/s"])
def test_a_rate_without_a_unit_or_of_nothing_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize("text", [0.2, 20, "20", "120%", None])
def test_a_share_is_written_with_a_percent_sign_and_is_at_most_all(text: object) -> None:
    with pytest.raises(ValueError, match="share"):
        parse_share(text)
    assert parse_share("20%") == pytest.approx(0.2)


@given(st.integers(0, 10_000_000))
def test_a_duration_in_milliseconds_survives_reading(milliseconds: int) -> None:
    assert parse_duration(f"{milliseconds}ms") == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.012, "12 ms"), (0.9999, "1.0 s"), (6.25, "6.2 s"), (101, "1 min 41 s"), (120, "2 min"), (5400, "1 h 30 min")]
)
def test_durations_are_shown_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
