"""The generator's health, from calls whose times are known: what it is to blame for, and what the broker or a fault."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from harness.model.generating import generator_of
from harness.model.history import Call, Evidence, FaultRecord, History
from harness.model.measures import Generator


def history(calls: Iterable[tuple[float, float, float]], *faults: tuple[float, float | None], **fields: Any) -> History:
    """Calls as (due, free, sent) of publisher 0, or with its number as fourth."""
    made = History(**fields)
    for number, (due, free, sent, *publisher) in enumerate(calls, 1):
        made.calls[number] = Call(number, "a", "", due, sent=sent, free=free, publisher=int(publisher[0]) if publisher else 0)
    made.faults = [FaultRecord(n, "broker.pause", "", begun=b, ended=e, evidence=Evidence(True, "")) for n, (b, e) in enumerate(faults)]
    return made


def simulated(
    rate: float, seconds: float, publish: float, *, lag: dict[int, float] | None = None, held: tuple[float, float] | None = None
) -> list[tuple[float, float, float]]:
    """One publisher at a constant rate. ``publish``: seconds that a publish takes; ``lag``: call (from 0) -> how long the thread does not
    run before it; ``held``: a publish that begins between these moments ends with the second one.
    """
    found, free = [], 0.0
    for number in range(round(rate * seconds)):
        due = number / rate
        sent = max(due, free) + (lag or {}).get(number, 0.0)
        found.append((due, free, sent))
        free = sent + publish
        if held and held[0] <= sent < held[1]:
            free = held[1] + publish
    return found


def judged(*args: Any, **kwargs: Any) -> Generator:
    found = generator_of(history(*args, **kwargs))
    assert found is not None
    return found


def test_a_schedule_has_no_generator() -> None:
    made = History()
    made.calls[1] = Call(1, "a", "", 0.0, sent=100.0)
    assert generator_of(made) is None
    assert generator_of(History()) is None


def test_one_that_keeps_up() -> None:
    found = judged(simulated(100, 20, 0.001))
    assert (found.kind, found.calls, found.late, found.dropped, found.bottleneck) == ("open", 2000, 0, 0, "")
    assert found.intended == pytest.approx(100) and found.achieved == pytest.approx(100)
    assert found.lag_max == found.worst_gap == pytest.approx(0.0, abs=1e-9)
    assert found.busy == pytest.approx(0.1, abs=0.01)


def test_a_lag_is_the_generators_and_handed_on_until_it_has_caught_up() -> None:
    found = judged(simulated(100, 20, 0.001, lag={500: 0.3}))
    assert found.lag_max == pytest.approx(0.3)
    assert found.worst_gap == pytest.approx(0.3)
    # 0.3 s late, and of each 10 ms 9 ms are caught up: 28 calls are more than 50 ms late, 1.4 % of all.
    assert found.late == 28
    assert found.bottleneck.startswith(
        "28 of 2,000 calls were sent more than 50 ms late (at most 0.30 s) because the generator did not get"
    )
    assert judged(simulated(100, 60, 0.001, lag={500: 0.3})).bottleneck == "", "28 of 6,000 are less than 1 %"


def test_one_stall_of_a_small_load_says_nothing() -> None:
    found = judged(simulated(20, 5, 0.001, lag={50: 0.2}))
    assert (found.late, found.bottleneck) == (4, "")


def test_a_slow_broker_is_not_the_generators_lag() -> None:
    calls = simulated(100, 20, 0.001, held=(5.0, 5.8))
    found = judged(calls)
    assert found.late > 50
    assert found.lag_max == pytest.approx(0.0, abs=1e-9)
    assert found.bottleneck == ""


@pytest.mark.parametrize("fault", [(), ((2.0, 3.0),)])
def test_a_publisher_that_is_always_busy_is_the_bottleneck(fault: tuple[Any, ...]) -> None:
    """1,000 a second, of which it can send 500; a fault that is long over changes nothing."""
    found = judged(simulated(1000, 10, 0.002), *fault)
    assert found.busy == pytest.approx(1.0, abs=0.01)
    assert found.achieved == pytest.approx(500, rel=0.01)
    assert "a publisher was busy for 100% of the time from" in found.bottleneck
    assert "without a fault in its way, and calls waited for it: lower the rate, write `prepare: true`, or give" in found.bottleneck


def test_also_in_a_load_that_is_soon_over() -> None:
    assert "busy for 100%" in judged(simulated(1000, 2, 0.002)).bottleneck


def test_busy_without_calls_that_wait_is_just_right() -> None:
    found = judged(simulated(100, 20, 0.0099))
    assert found.busy is not None and found.busy > 0.95
    assert (found.late, found.bottleneck) == (0, "")


def test_a_publisher_that_a_fault_holds_up_is_no_bottleneck() -> None:
    """80 % busy, then held up for 6 s: it catches up for 24 s, and is never idle meanwhile."""
    calls = simulated(100, 60, 0.008, held=(10.0, 16.0))
    assert "busy" in judged(calls).bottleneck, "nobody knows of a fault"
    found = judged(calls, (10.0, 16.0))
    assert found.bottleneck == ""
    assert found.late > 2000
    assert found.busy == pytest.approx(0.8, abs=0.05)


def test_a_fault_that_is_healed_at_the_end_alone_explains_what_came_after_it() -> None:
    assert judged(simulated(100, 60, 0.008, held=(10.0, 16.0)), (10.0, None), healed_at=60.0).bottleneck == ""


def test_a_fault_does_not_excuse_a_publisher_that_never_catches_up() -> None:
    found = judged(simulated(1000, 40, 0.002), (1.0, 2.0))
    assert "busy for 100%" in found.bottleneck


def test_calls_that_are_due_at_once_are_late_by_their_number() -> None:
    found = judged([(0.0, n * 0.001, n * 0.001) for n in range(10_000)])
    assert (found.intended, found.bottleneck) == (None, "")
    assert found.late > 9000


def test_what_writing_records_takes_does_not_add_up_to_a_lag() -> None:
    calls = [(0.0, n * 0.001, n * 0.001 + 0.0005) for n in range(1000)]
    assert judged(calls).lag_max == pytest.approx(0.0005)


def test_dropped_calls_always_count() -> None:
    found = judged(simulated(10, 5, 0.001), dropped_arrivals=3)
    assert found.bottleneck.startswith("3 of 53 calls were dropped, 60 s late before they could be sent: lower the rate")
    assert "shorten the fault" in judged(simulated(10, 5, 0.001), (1.0, 2.0), dropped_arrivals=3).bottleneck


def test_each_publisher_is_looked_at_by_itself() -> None:
    idle = [(*call, 0) for call in simulated(10, 10, 0.001)]
    full = [(*call, 1) for call in simulated(1000, 10, 0.002)]
    assert "busy for 100%" in judged([*idle, *full]).bottleneck
    halves = [(*call, p) for p in (0, 1) for call in simulated(500, 10, 0.001)]
    assert judged(halves).bottleneck == ""


@pytest.mark.exhaustive
def test_a_hundred_thousand_calls_are_judged_in_seconds() -> None:
    import time

    made = history(simulated(2000, 50, 0.0004))
    begun = time.process_time()
    assert generator_of(made) is not None
    assert time.process_time() - begun < 5


# --- which faults excuse it ------------------------------------------------------------------------------------------


def with_fault(name: str, target: str, *spans: tuple[float, float | None], bit: bool | None = True, seconds: float = 10) -> Generator:
    """1,000 a second, of which it can send 500, and faults of one kind."""
    made = history(simulated(1000, seconds, 0.002))
    made.faults = [FaultRecord(n, name, "", target, begun=b, ended=e, evidence=Evidence(bit, "")) for n, (b, e) in enumerate(spans)]
    found = generator_of(made)
    assert found is not None
    return found


ALL_THE_TIME = (0.0, 60.0)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("net.latency", "pay and db"),
        ("net.latency", "pay and broker"),
        ("net.disconnect", "pay-1"),
        ("worker.pause", "pay-1"),
        ("db.pause", "db"),
        ("message.duplicate", ""),
    ],
)
def test_a_fault_elsewhere_excuses_no_publisher(name: str, target: str) -> None:
    assert "busy for 100%" in with_fault(name, target, ALL_THE_TIME).bottleneck
    assert "busy for 100%" in with_fault(name, target, *((float(at), float(at)) for at in range(0, 20, 4))).bottleneck


def test_a_fault_that_did_not_bite_excuses_nothing() -> None:
    found = with_fault("broker.pause", "broker", ALL_THE_TIME, bit=False)
    assert found.busy == pytest.approx(1.0, abs=0.01)
    assert "busy for 100%" in found.bottleneck


def test_a_busy_publisher_is_seen_between_faults_that_come_often() -> None:
    found = with_fault("broker.kill", "broker", *((float(at), float(at)) for at in range(0, 20, 4)))
    assert "busy for 100%" in found.bottleneck


@pytest.mark.parametrize(("name", "target"), [("net.latency", "producer and broker"), ("broker.restart", "broker"), ("broker.pause", "")])
def test_where_a_fault_was_always_in_its_way_nobody_can_tell_and_it_says_so(name: str, target: str) -> None:
    found = with_fault(name, target, ALL_THE_TIME)
    assert found.busy is None
    assert found.bottleneck.startswith("9,950 of 10,000 calls waited for their publisher, and hardly ever was there no fault in its way")


def test_a_fault_that_is_always_there_and_makes_no_call_late_is_no_matter() -> None:
    assert judged(simulated(100, 10, 0.001), ALL_THE_TIME).bottleneck == ""


def test_a_short_load_with_a_fault_that_was_caught_up_on_is_excused() -> None:
    assert judged(simulated(50, 4, 0.004, held=(1.0, 2.5)), (1.0, 2.5)).bottleneck == ""


# --- what counts as busy ---------------------------------------------------------------------------------------------


def test_a_load_that_is_over_in_less_than_two_seconds_is_looked_at_as_a_whole() -> None:
    found = judged(simulated(1000, 0.95, 0.002))
    assert found.achieved == pytest.approx(500, rel=0.01)
    assert "busy for 100%" in found.bottleneck


def test_a_few_calls_behind_a_slow_first_one_say_nothing() -> None:
    assert judged(simulated(50, 0.4, 0.0001, held=(0.0, 0.39))).bottleneck == ""


def test_its_own_records_are_work_while_a_call_waits() -> None:
    """Of the 2 ms from call to call it publishes for 1.88: with a queue that never empties it has nothing in reserve."""
    calls = [(n / 1000, 0.0 if n == 0 else n * 0.002 - 0.00012, n * 0.002) for n in range(10_000)]
    found = judged(calls)
    assert found.busy == pytest.approx(1.0, abs=0.001)
    assert "busy for 100%" in found.bottleneck


def test_calls_that_wait_behind_a_burst_alone_are_not_late() -> None:
    """10,000 at once, and 5 a second of another stream on the same publisher."""
    dues = sorted([0.0] * 10_000 + [n / 5 for n in range(50)])
    assert judged(sent_in_turn(dues, 0.0005)).bottleneck == ""


def test_a_burst_excuses_no_stream_that_is_too_fast_beside_it() -> None:
    dues = sorted([0.0] * 1000 + [n / 1000 for n in range(10_000)])
    assert "busy for 100%" in judged(sent_in_turn(dues, 0.002)).bottleneck


def test_bursts_that_come_faster_than_they_can_be_sent() -> None:
    assert "busy for 100%" in judged(sent_in_turn([float(n // 1000) for n in range(10_000)], 0.002)).bottleneck


def sent_in_turn(dues: Iterable[float], publish: float) -> list[tuple[float, float, float]]:
    """One publisher, calls in this order."""
    found, free = [], 0.0
    for due in dues:
        sent = max(due, free)
        found.append((due, free, sent))
        free = sent + publish
    return found
