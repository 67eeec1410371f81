from __future__ import annotations

import pytest

from harness.model.history import Depth, Usage
from harness.model.measures import PerSecond
from harness.model.per_second import per_second
from harness.model.sampling import Samples
from tests.unit.checks.histories import REDIS, Build


def seconds_of(b: Build) -> PerSecond:
    found = per_second(Samples(b.history, REDIS))
    assert found is not None
    return found


def test_every_count_is_in_its_second() -> None:
    b = Build()
    b.done(0.2)
    b.run(b.call(1.1), state="FAILURE")
    b.run(b.retry(b.call(2.5), 1.0), 4.0)
    b.run(b.call(3.0), copy=1)
    found = seconds_of(b)
    assert found.due[:5] == (1, 1, 1, 1, 0) and found.sent[:5] == (1, 1, 1, 1, 0)
    assert (sum(found.finished), found.finished[1], found.failed[1], sum(found.failed)) == (4, 1, 1, 1)
    assert (found.retried[4], sum(found.retried), found.duplicated[3], sum(found.redelivered)) == (1, 1, 1, 0)
    assert len({len(v) for v in (found.due, found.ready, found.broker_memory, found.percentiles["run_time"]["p99"])}) == 1
    assert len(found.due) == 90  # until it was quiet


def test_latency_is_in_the_second_in_which_the_call_was_due() -> None:
    b = Build()
    b.run(b.call(2.0), 8.0, took=1.0)
    found = seconds_of(b)
    assert found.percentiles["end_to_end_latency"]["p99"][2] == pytest.approx(7.01)
    assert [v for v in found.percentiles["end_to_end_latency"]["p50"] if v is not None] == [pytest.approx(7.01)]


def test_dead_letters_as_far_as_journals_show_when() -> None:
    b = Build()
    message = b.call(1.0)
    b.deliver(message, 2.0, reject=3.5)
    b.held(message, "dead_letter")
    expired = b.call(1.0, expires=6.0)
    b.held(expired, "dead_letter")
    b.held(b.call(1.0), "dead_letter")  # the queue was too long
    found = seconds_of(b)
    assert (found.dead_lettered[3], found.dead_lettered[6], sum(found.dead_lettered)) == (1, 1, 2)


def test_depths_are_the_highest_of_their_second_and_null_without_one() -> None:
    b = Build()
    b.done(0.0)
    b.history.depths = [Depth(0.1, 3, 1, 0.5), Depth(0.9, 2, 2, 0.1), Depth(2.5, 0, 0)]
    found = seconds_of(b)
    assert (found.ready[:3], found.unacked[:3], found.oldest[:3]) == ((3, None, 0), (2, None, 0), (0.5, None, 0.0))


def test_processor_time_is_its_growth_and_a_new_life_begins_anew() -> None:
    b = Build()
    b.done(0.0)
    cpu = [(0.0, 10.0), (1.0, 10.5), (2.2, 11.7), (3.0, 0.2), (4.0, 0.6), (30.0, 2.0)]
    b.history.usage = [Usage(at, {"w-1": value}, {"w-1": 100 + int(at)}, 7, 3) for at, value in cpu]
    found = seconds_of(b)
    assert found.cpu["w-1"][:2] == (0.5, 1.0)
    assert found.cpu["w-1"][2:4] == (None, 0.4)  # killed in the third second; of what came before it is too little known
    assert found.cpu["w-1"][10] is None  # nobody was asked for too long
    assert found.memory["w-1"][:5] == (100, 101, 102, 103, 104) and found.memory["w-1"][20] is None
    assert (found.broker_memory[3], found.broker_connections[3]) == (7, 3)


def test_nothing_happened() -> None:
    b = Build()
    b.history.load_ended = b.history.healed_at = b.history.quiet_at = None
    assert per_second(Samples(b.history, REDIS)) is None
