"""Unfinished calls: the curve against counting by hand, and when a call is over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.backlog import Backlog
from harness.model.fates import fates
from tests.unit.checks.histories import REDIS, Build

_WHOLE = st.integers(0, 40).map(float)
_SPANS = st.lists(st.tuples(_WHOLE, st.integers(0, 20).map(float) | st.just(math.inf)).map(lambda span: (span[0], span[0] + span[1])))


@given(_SPANS, _WHOLE, st.integers(1, 30))
def test_it_is_what_counting_gives(spans: list[tuple[float, float]], begin: float, seconds: int) -> None:
    """On whole seconds the number changes at them only, so that the mean is that of the levels between."""
    backlog = Backlog(spans)
    levels = [sum(due <= at < over for due, over in spans) for at in range(int(begin), int(begin) + seconds)]
    assert [backlog.at(begin + n) for n in range(seconds)] == levels
    assert backlog.mean(begin, begin + seconds) == pytest.approx(sum(levels) / seconds)
    last = sum(due <= begin + seconds < over for due, over in spans)
    assert backlog.highest(begin, begin + seconds) == max([*levels, last])
    for share in (0.25, 0.5, 0.95, 1.0):
        assert backlog.usual(begin, begin + seconds, share) == sorted(levels)[math.ceil(share * seconds) - 1]


def test_of_nothing() -> None:
    assert (Backlog([]).at(1.0), Backlog([]).mean(0.0, 2.0), Backlog([]).highest(0.0, 2.0), Backlog([]).usual(0.0, 2.0, 0.5)) == (
        0,
        0.0,
        0,
        0,
    )
    assert Backlog([(0.0, 3.0)]).mean(1.0, 1.0) == 1.0


def test_a_retry_ends_nothing_and_a_failure_does() -> None:
    b = Build()
    b.run(b.retry(b.call(1.0), 5.0), 6.0, state="FAILURE", took=1.0)
    backlog = Backlog.of(b.history, fates(b.history, REDIS))
    assert (backlog.begins, backlog.ends) == ([1.0], [pytest.approx(7.01)])


def test_what_is_lost_is_over_and_what_waits_is_not() -> None:
    b = Build()
    lost, waiting, unpublished = b.call(1.0), b.call(2.0), b.call(3.0, publish="failed", ok=None, failed="OperationalError")
    b.killed(lost, 1.5, early=True)
    b.held(waiting, "ready")
    assert not unpublished.deliveries
    backlog = Backlog.of(b.history, fates(b.history, REDIS))
    assert (backlog.begins, backlog.ends, backlog.at(80.0)) == ([1.0, 2.0], [1.5], 1)
