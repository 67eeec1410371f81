"""Which call goes to which publisher, and when one is sent."""

from __future__ import annotations

import threading
import time

import pytest

from celery_harness_agent.arguments import draw, own_tasks
from celery_harness_agent.outbox import retimed
from celery_harness_agent.publisher import Publisher, shared_out


def test_streams_share_publisher_0_unless_they_ask_for_more() -> None:
    items = [{}, {"publishers": 2}, {"publishers": 1}, {"publishers": 3}]
    calls = {1: (0, 0), 2: (1, 0), 3: (1, 5), 4: (2, 5), 5: (1, 7), 6: (3, 8), 7: (3, 9)}
    assert shared_out(calls, items) == [[(1, 0), (4, 5)], [(2, 0), (5, 7)], [(3, 5)], [(6, 8)], [(7, 9)], []]


def test_what_is_due_first_goes_first_whatever_its_number() -> None:
    assert shared_out({1: (0, 9), 2: (0, 3), 3: (0, 3)}, [{}]) == [[(2, 3), (3, 3), (1, 9)]]


def test_a_publisher_says_when_it_was_free() -> None:
    seen: list[tuple[int, int, int, int]] = []

    def send(number: int, now: int, free: int, publisher: int) -> None:
        seen.append((number, now, free, publisher))
        time.sleep(0.01)

    start = time.monotonic_ns()
    Publisher(3, [(1, 0), (2, 0), (3, 60_000_000)], send).run(start, threading.Event())
    (_, first, free1, p), (_, second, free2, _), (_, third, free3, _) = seen
    assert (free1, p) == (start, 3)
    assert first + 10_000_000 <= free2 <= second
    assert free3 <= start + 60_000_000 <= third


def test_a_publisher_that_is_told_to_stop_stops() -> None:
    stop = threading.Event()
    publisher = Publisher(0, [(1, 0), (2, 10**15)], lambda *_: stop.set())
    publisher.run(time.monotonic_ns(), stop)
    assert (publisher.late, publisher.dropped) == (0, 0)


def test_late_and_hopeless_calls_are_counted() -> None:
    sent: list[int] = []
    publisher = Publisher(0, [(1, 0), (2, 10_000_000_000), (3, 61_000_000_000)], lambda number, *_: sent.append(number))
    publisher.run(time.monotonic_ns() - 61_000_000_000, threading.Event())
    assert (sent, publisher.dropped, publisher.late) == ([2, 3], 1, 1)


def test_a_trace_says_what_its_calls_are() -> None:
    items = [{"send": "x", "args": [1]}, {"send": "a", "args": [2], "kwargs": {"k": 1}, "own": [["b", [3], {}], [None, None, None]]}]
    calls = [(1, 1, 0), (2, 0, 0), (3, 1, 5)]
    assert draw(0, items, calls) == {1: [([3], {})], 2: [([1], {})], 3: [([2], {"k": 1})]}
    assert own_tasks(items, {number: (item, due) for number, item, due in calls}) == {1: "b"}


def test_a_record_is_written_later_with_its_moment() -> None:
    line = '{"k":"publish","m":17,"msg":"1-2:3","n":"a,\\"m\\":9"}\n'
    before, after = retimed(line)
    assert f"{before}99{after}" == line.replace(":17,", ":99,")
    with pytest.raises(ValueError, match="without a moment"):
        retimed('{"k":"publish"}\n')
