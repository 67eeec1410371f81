"""Moments that messages carry: one reading of them for all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.moments import moment


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is nine hours ahead."""
    with monkeypatch.context() as here:
        here.setenv("TZ", "UTC-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1970-01-01T00:16:40", 1000.0),
        ("1970-01-01T00:16:40Z", 1000.0),
        ("1970-01-01T02:16:40+02:00", 1000.0),
        (1000, 1000.0),
        ("tomorrow", None),
        ("", None),
        (None, None),
        ([1], None),
    ],
)
def test_without_a_zone_it_is_utc_wherever_the_machine_is(far_east: None, said: Any, seconds: float | None) -> None:
    assert moment(said) == seconds
