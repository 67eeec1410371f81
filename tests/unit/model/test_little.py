"""Histories of a queue that is served one by one, with samples that an honest broker would have given."""

from __future__ import annotations

import random

import pytest

from harness.model.history import Depth
from harness.model.little import little
from harness.model.measures import Little
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build


def served(seed: int = 1, calls: int = 600, rate: float = 10.0, *, pause: tuple[float, float] | None = None) -> Build:
    """Poisson arrivals, each served in 80 ms by one server that rests during ``pause``; the broker is looked into every 200 ms."""
    rng, b, at, free = random.Random(seed), Build(), 0.0, 0.0
    for _ in range(calls):
        at += rng.expovariate(rate)
        start = max(at + 0.01, free)
        if pause is not None and pause[0] <= start < pause[1]:
            start = pause[1]
        free = start + 0.08
        message = b.call(at)
        message.ok = at + 0.001
        b.deliver(message, at + 0.005, start=start, end=start + 0.079, ack=start + 0.08, state="SUCCESS")
    end = free + 1.0
    looks = [n * 0.2 for n in range(int(end / 0.2))]
    for look in looks:
        held = sum(1 for m in b.history.messages.values() if (m.ok or 0) <= look < (m.deliveries[0].ack or 0))
        b.history.depths.append(Depth(look, max(0, held - 1), min(1, held), took=0.001))
    return b


def law(b: Build) -> Little:
    found = little(b.history)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(12))
def test_it_holds(seed: int) -> None:
    found = law(served(seed))
    assert found.holds and found.error < 0.25 * max(1.0, found.counted)


def test_it_holds_over_a_backlog_that_comes_and_goes() -> None:
    found = law(served(pause=(10.0, 20.0)))
    assert found.holds and found.counted > 10 and found.error < 0.1 * found.counted


@pytest.mark.parametrize("seed", range(5))
def test_lost_records_break_it(seed: int) -> None:
    b = served(seed, pause=(10.0, 20.0))
    for id in list(b.history.messages)[::10]:
        del b.history.messages[id]
    assert law(b).holds is False


def test_ends_that_came_too_early_break_it() -> None:
    b = served(pause=(10.0, 20.0))
    for delivery in b.history.deliveries.values():
        delivery.ack = (delivery.message.ok or 0) + ((delivery.ack or 0) - (delivery.message.ok or 0)) * 0.8
    assert law(b).holds is False


def test_somebody_else_in_the_queue_breaks_it() -> None:
    b = served()
    b.history.depths = [Depth(d.at, d.ready + 3, d.unacked, took=d.took) for d in b.history.depths]
    assert law(b).holds is False


def test_time_without_samples_is_left_out_on_both_sides() -> None:
    b = served(pause=(10.0, 20.0))
    b.history.depths = [d for d in b.history.depths if not 12.0 < d.at < 18.0]
    found = law(b)
    assert found.holds
    b.history.depths = [d for d in b.history.depths if not 5.0 < d.at < 50.0]
    assert little(b.history) is None


def test_too_few_samples_say_nothing() -> None:
    b = served(calls=5)
    b.history.depths = b.history.depths[:19]
    assert little(b.history) is None
    b.history.depths = []
    assert little(b.history) is None


def test_what_journals_cannot_tell_widens_the_error() -> None:
    b = served()
    sure = law(b).error
    for message in list(b.history.messages.values())[:50]:
        message.deliveries[0].ack = None  # its worker was killed, and whether its ack had left nobody knows
    found = law(b)
    assert found.error > sure + 5 and found.holds is None and "journals cannot tell" in found.silent


def test_an_error_as_large_as_the_figure_says_nothing() -> None:
    b = served(calls=100, rate=12.0, pause=(2.0, 6.0))
    b.history.depths = [Depth(d.at, 0 if n % 10 < 5 else 2 * (d.ready + d.unacked), 0, took=d.took) for n, d in enumerate(b.history.depths)]
    found = law(b)
    assert found.error > 5 and found.holds is None and "too few for how much they vary" in found.silent
    result = b.judge("thresholds", {"end_to_end_latency": ["p(50) < 60s"]})
    assert result.verdict is Verdict.PASS and "Little" not in result.summary, "it is no doubt either"


def test_a_difference_beyond_even_a_large_error_counts() -> None:
    b = served(pause=(10.0, 20.0))
    for message in list(b.history.messages.values())[:50]:
        message.deliveries[0].ack = None
    b.history.depths = [Depth(d.at, d.ready + 500, d.unacked, took=d.took) for d in b.history.depths]
    assert law(b).holds is False


def test_copies_and_messages_at_rest_are_accounted_for() -> None:
    b = served()
    for n, message in enumerate(list(b.history.messages.values())):
        if n % 10 == 0:
            first = message.deliveries[0]
            b.deliver(message, first.at, copy=n + 1, start=first.start, end=first.end, ack=first.ack)
    copies = [(d.at, d.ack or 0.0) for d in b.history.deliveries.values() if d.copy]
    b.history.depths = [
        Depth(d.at, d.ready + sum(1 for begin, end in copies if begin <= d.at < end), d.unacked, took=d.took) for d in b.history.depths
    ]
    found = law(b)
    assert found.holds
    b.held(b.call(1.0), "dead_letter")  # when it went there, the broker alone knows: one message more or less
    assert law(b).holds is not False and law(b).error == pytest.approx(found.error + 1.0, abs=0.1)


def test_where_it_does_not_hold_latencies_that_are_met_are_doubted_and_nothing_else() -> None:
    b = served(pause=(10.0, 20.0))
    met = {"end_to_end_latency": ["p(95) < 60s"], "throughput": ["mean > 1/s"]}
    assert b.judge("thresholds", met).verdict is Verdict.PASS
    b.history.depths = [Depth(d.at, d.ready * 2 + 5, d.unacked, took=d.took) for d in b.history.depths]
    result = b.judge("thresholds", met)
    assert result.verdict is Verdict.INCONCLUSIVE and "Little's law" in result.summary and "records are missing" in result.advice
    assert b.judge("thresholds", {"throughput": ["mean > 1/s"]}).verdict is Verdict.PASS
    assert b.judge("thresholds", {"end_to_end_latency": ["p(95) < 1ms"]}).verdict is Verdict.FAIL
