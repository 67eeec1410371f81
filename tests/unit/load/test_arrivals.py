"""Arrivals: counts, order, the area under a ramp, Poisson within bounds that hold for every seed tried, and reproducibility."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.load.arrivals import PlannedCall, arrivals, load_seconds, plan_calls
from harness.model.scenario import LoadItem
from harness.model.trace import Trace
from harness.scenario.extent import at_most_calls, call_count, latest_end, nominal_end

RATES = st.integers(1, 2000).map(lambda tenths: f"{tenths / 10:g}/s")
SPANS = st.integers(1, 20_000).map(lambda ms: f"{ms}ms")
SEEDS = st.integers(0, 2**63 - 1)
TIMES = st.lists(st.floats(0, 100), min_size=1, max_size=40)
SHAPES_DRAWN = ("all", "rate", "counted", "ramp", "burst", "bursts", "poisson", "poisson counted", "step", "spike", "diurnal", "trace")


def item(**fields: Any) -> LoadItem:
    return LoadItem.model_validate({"send": "a", **fields})


def due(fields: LoadItem, seed: int = 0) -> list[float]:
    return arrivals(fields, random.Random(seed))


@st.composite
def items(draw: st.DrawFn) -> LoadItem:
    at = draw(SPANS)
    kind = draw(st.sampled_from([*SHAPES_DRAWN]))
    count = draw(st.integers(1, 60))
    fields: dict[str, dict[str, Any]] = {
        "all": {"count": count},
        "rate": {"rate": draw(RATES), "for": draw(SPANS)},
        "counted": {"rate": draw(RATES), "count": count},
        "ramp": {"arrival": "ramp", "rate": draw(RATES), "start_rate": draw(st.none() | RATES), "for": draw(SPANS)},
        "burst": {"arrival": "burst", "count": count},
        "bursts": {"arrival": "burst", "count": count, "every": "700ms", "for": draw(SPANS)},
        "poisson": {"arrival": "poisson", "rate": draw(RATES), "for": draw(SPANS)},
        "poisson counted": {"arrival": "poisson", "rate": draw(RATES), "count": count},
        "step": {"arrival": "step", "rates": draw(st.lists(RATES, min_size=1, max_size=5)), "for": draw(SPANS)},
        "spike": spike(draw(RATES), draw(RATES), draw(st.integers(0, 5000)), draw(st.integers(1, 5000)), draw(st.integers(0, 5000))),
        "diurnal": {"arrival": "diurnal", "rate": "200/s", "low": draw(st.none() | RATES), "period": draw(SPANS), "for": draw(SPANS)},
        "trace": {"arrival": "trace", "trace": "t.csv", "speed": draw(st.floats(0.1, 10))},
    }
    made = item(at=at, **fields[kind])
    return made.playing(Trace(tuple(sorted(draw(TIMES))))) if kind == "trace" else made


def spike(rate: str, peak: str, before: int, during: int, after: int) -> dict[str, Any]:
    times = {"peak_at": f"{before}ms", "peak_for": f"{during}ms", "for": f"{before + during + after}ms"}
    return {"arrival": "spike", "rate": rate, "peak": peak, **times}


@settings(deadline=None, max_examples=150)
@given(load_item=items(), seed=SEEDS)
def test_every_stream_is_in_order_within_its_time_and_of_its_size(load_item: LoadItem, seed: int) -> None:
    times = due(load_item, seed)
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert all(load_item.at <= time for time in times)
    expected = call_count(load_item)
    assert len(times) == expected if expected is not None else len(times) <= at_most_calls(load_item)
    if load_item.duration is not None:
        # Times are sums of floats: the last one may touch the end by a rounding error, never pass it.
        assert all(time <= load_item.at + load_item.duration for time in times)
    assert all(time <= latest_end([load_item]) for time in times)


def test_constant() -> None:
    times = due(item(rate="50/s", **{"for": "30s"}))
    assert len(times) == 1500
    assert times[:3] == [0.0, 0.02, 0.04]
    assert times[-1] == pytest.approx(29.98)
    assert due(item(rate="2/s", count=3, at="1s")) == [1.0, 1.5, 2.0]


def test_all_at_once() -> None:
    assert due(item(count=3, at="2s")) == [2.0, 2.0, 2.0]


def test_bursts() -> None:
    assert due(item(arrival="burst", count=2, at="1s")) == [1.0, 1.0]
    assert due(item(arrival="burst", count=2, every="2s", **{"for": "5s"})) == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]
    assert due(item(arrival="burst", count=1, every="2s", **{"for": "4s"})) == [0.0, 2.0]


@settings(deadline=None, max_examples=150)
@given(start=st.integers(0, 200), end=st.integers(1, 200), seconds=st.integers(1, 30))
@example(start=50, end=50, seconds=3)
@example(start=200, end=1, seconds=30)
@example(start=0, end=1, seconds=1)
def test_a_ramp_follows_the_integral_of_its_rate(start: int, end: int, seconds: int) -> None:
    fields = {"rate": f"{end}/s", "for": f"{seconds}s", **({"start_rate": f"{start}/s"} if start else {})}
    times = due(item(arrival="ramp", **fields))
    area = (start + end) / 2 * seconds
    assert len(times) == math.ceil(area)
    for number, time in enumerate(times):
        integral = start * time + (end - start) * time * time / (2 * seconds)
        assert integral == pytest.approx(number, abs=1e-6)


def test_a_level_ramp_is_constant() -> None:
    level = due(item(arrival="ramp", rate="20/s", start_rate="20/s", **{"for": "3s"}))
    assert level == pytest.approx(due(item(rate="20/s", **{"for": "3s"})))


def integral(rates: list[tuple[float, float]], time: float) -> float:
    """Of a rate that is constant for so many seconds, one after the other: [(seconds, rate)]."""
    reached = 0.0
    for seconds, rate in rates:
        reached += rate * min(max(time, 0.0), seconds)
        time -= seconds
    return reached


@settings(deadline=None, max_examples=100)
@given(rates=st.lists(st.integers(1, 300), min_size=1, max_size=6), seconds=st.integers(1, 20))
@example(rates=[10, 20, 40], seconds=3)
@example(rates=[1, 300, 1], seconds=1)
def test_steps_follow_the_integral_of_their_rates(rates: list[int], seconds: int) -> None:
    times = due(item(arrival="step", rates=[f"{rate}/s" for rate in rates], **{"for": f"{seconds}s"}))
    levels = [(seconds / len(rates), float(rate)) for rate in rates]
    assert len(times) == math.ceil(round(integral(levels, seconds), 6))
    for number, time in enumerate(times):
        assert integral(levels, time) == pytest.approx(number, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(rate=st.integers(1, 100), peak=st.integers(1, 1000), parts=st.tuples(*[st.integers(0, 4000)] * 3))
@example(rate=10, peak=100, parts=(1000, 1000, 1000))
@example(rate=10, peak=100, parts=(0, 1000, 0))
def test_a_spike_follows_the_integral_of_its_rate(rate: int, peak: int, parts: tuple[int, int, int]) -> None:
    before, during, after = parts[0], parts[1] + 1, parts[2]
    times = due(item(**spike(f"{rate}/s", f"{peak}/s", before, during, after)))
    levels = [(before / 1000, rate), (during / 1000, peak), (after / 1000, rate)]
    assert len(times) == max(1, math.ceil(round(integral(levels, 100.0), 6)))
    for number, time in enumerate(times):
        assert integral(levels, time) == pytest.approx(number, abs=1e-6)


def test_a_spike_by_hand() -> None:
    times = due(item(**spike("1/s", "4/s", 2000, 1000, 2000)))
    assert times == [0.0, 1.0, 2.0, 2.25, 2.5, 2.75, 3.0, 4.0]


@settings(deadline=None, max_examples=60)
@given(low=st.none() | st.integers(1, 50), more=st.integers(0, 200), period=st.integers(1, 20), seconds=st.integers(1, 20))
@example(low=None, more=0, period=7, seconds=13)
@example(low=50, more=0, period=1, seconds=20)
def test_a_day_follows_the_integral_of_its_rate(low: int | None, more: int, period: int, seconds: int) -> None:
    least = low or 0
    high = least + more + (0 if low else 1)
    lowest = {"low": f"{low}/s"} if low else {}
    times = due(item(arrival="diurnal", rate=f"{high}/s", period=f"{period}s", **lowest, **{"for": f"{seconds}s"}))

    def area(time: float) -> float:
        """Independently of the code: the mean rate plus what the cosine leaves."""
        return (high + least) / 2 * time - (high - least) * period / (4 * math.pi) * math.sin(2 * math.pi * time / period)

    assert len(times) == max(1, math.ceil(round(area(seconds), 6)))
    for number, time in enumerate(times):
        assert area(time) == pytest.approx(number, abs=1e-6)


def test_a_day_of_one_rate_is_constant() -> None:
    level = due(item(arrival="diurnal", rate="20/s", low="20/s", period="1s", **{"for": "3s"}))
    assert level == pytest.approx(due(item(rate="20/s", **{"for": "3s"})))


def test_a_day_is_fullest_at_noon() -> None:
    times = due(item(arrival="diurnal", rate="100/s", low="10/s", period="10s", **{"for": "10s"}))
    per_second = [sum(second <= time < second + 1 for time in times) for second in range(10)]
    assert per_second == pytest.approx(per_second[::-1], abs=1)
    assert sorted(per_second[:5]) == per_second[:5]
    assert len(times) == 550


def test_a_trace_is_played_at_its_speed() -> None:
    played = item(arrival="trace", trace="t.csv", speed=2, at="1s").playing(Trace((0.0, 1.0, 5.0)))
    assert due(played) == [1.0, 1.5, 3.5]
    assert load_seconds([played], 0) == 3.5


def chernoff(mean: float, probability: float = 1e-12) -> float:
    """How far a Poisson count strays from its mean with at most this probability on either side: P(|N-m| >= x) <= 2·exp(-x²/2(m+x))."""
    log = math.log(2 / probability)
    return log + math.sqrt(log * log + 2 * mean * log)


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS, rate=st.integers(1, 100), seconds=st.integers(1, 60))
def test_poisson_counts_and_times_stay_within_their_bounds(seed: int, rate: int, seconds: int) -> None:
    times = due(item(arrival="poisson", rate=f"{rate}/s", **{"for": f"{seconds}s"}), seed)
    mean = rate * seconds
    assert abs(len(times) - mean) <= chernoff(mean)
    # Given their number, arrivals are spread evenly: the sum is within Hoeffding's bound at 1e-12.
    if times:
        strays = abs(sum(times) / len(times) - seconds / 2) / seconds
        assert strays <= math.sqrt(math.log(2 / 1e-12) / (2 * len(times)))


def test_poisson_gaps_are_exponential() -> None:
    """Kolmogorov's distance of 20,000 gaps: above 0.0261 with probability below 2·exp(-2·n·d²) = 3e-12; the seed is fixed anyhow."""
    times = due(item(arrival="poisson", rate="10/s", count=20_000), seed=7)
    gaps = sorted(later - earlier for earlier, later in pairwise([0.0, *times]))
    distance = max(abs((1 - math.exp(-10 * gap)) - number / len(gaps)) for number, gap in enumerate(gaps, start=1))
    assert distance < 0.0261


def test_poisson_draws_are_the_same_in_every_version_of_python() -> None:
    class Halves(random.Random):
        def random(self) -> float:
            return 0.5

    assert arrivals(item(arrival="poisson", rate="1/s", count=2), Halves()) == pytest.approx([math.log(2), 2 * math.log(2)])


@settings(deadline=None, max_examples=80)
@given(load=st.lists(items(), min_size=1, max_size=4), seed=SEEDS)
def test_a_plan_holds_every_call_once_in_due_order_and_is_reproducible(load: list[LoadItem], seed: int) -> None:
    plan = plan_calls(load, seed)
    assert plan == plan_calls(load, seed)
    assert [call.number for call in plan] == list(range(1, len(plan) + 1))
    assert all((a.due, a.item) <= (b.due, b.item) for a, b in pairwise(plan))
    for index, load_item in enumerate(load):
        expected = call_count(load_item)
        made = sum(1 for call in plan if call.item == index)
        assert expected is None or made == expected
    seconds = load_seconds(load, seed)
    assert all(call.due <= seconds for call in plan)
    assert seconds >= max(map(nominal_end, load))


def test_calls_due_together_keep_the_order_of_the_file() -> None:
    load = [item(count=2, at="1s"), item(count=1), item(rate="1/s", **{"for": "2s"})]
    assert plan_calls(load, 0) == [
        PlannedCall(1, 1, 0.0),
        PlannedCall(2, 2, 0.0),
        PlannedCall(3, 0, 1.0),
        PlannedCall(4, 0, 1.0),
        PlannedCall(5, 2, 1.0),
    ]


def test_streams_draw_apart() -> None:
    one = item(arrival="poisson", rate="5/s", count=20)
    other = item(arrival="poisson", rate="50/s", count=200)
    first = [call.due for call in plan_calls([one, one], 3) if call.item == 1]
    second = [call.due for call in plan_calls([other, one], 3) if call.item == 1]
    assert first == second
    assert first != [call.due for call in plan_calls([one, one], 3) if call.item == 0]


def test_another_seed_is_another_plan() -> None:
    load = [item(arrival="poisson", rate="5/s", count=20)]
    assert plan_calls(load, 1) != plan_calls(load, 2)


def test_load_seconds() -> None:
    assert load_seconds([item(rate="50/s", at="5s", **{"for": "30s"}), item(count=5)], 0) == 35.0
    assert load_seconds([item(rate="10/s", count=20)], 0) == 2.0
    counted = [item(arrival="poisson", rate="10/s", count=20)]
    assert load_seconds(counted, 4) == max(2.0, plan_calls(counted, 4)[-1].due)


@pytest.mark.exhaustive
def test_a_million_calls_are_planned_in_seconds() -> None:
    plan = plan_calls([item(rate="10000/s", **{"for": "100s"})], 0)
    assert (len(plan), plan[-1].number) == (1_000_000, 1_000_000)
