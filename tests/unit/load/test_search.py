"""The capacity search against simulated systems: it ends, its interval holds the truth, and searches agree."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.search import CapacitySearch, Goal
from harness.load.search_knee import Posterior
from harness.model.searching import Capacity, Outcome
from tests.parts import parts

System = Callable[[float], Outcome]


def searched(system: System, **goal: float) -> tuple[CapacitySearch, list[float]]:
    search = CapacitySearch(Goal(**{"start": 20.0, "lowest": 0.5, "highest": 100_000.0, **goal}))  # type: ignore[arg-type]
    tried: list[float] = []
    while (rate := search.next()) is not None:
        tried.append(rate)
        search.add(rate, system(rate))
    return search, tried


def sharp(capacity: float) -> System:
    return lambda rate: "kept" if rate <= capacity else "missed"


def noisy(capacity: float, width: float, chance: random.Random) -> System:
    """Kept with a logistic probability, and one trial in fifty comes out wrong."""

    def trial(rate: float) -> Outcome:
        share = 1 / (1 + math.exp(max(-500.0, min(500.0, math.log(rate / capacity) / width))))
        return "kept" if chance.random() < 0.02 + 0.96 * share else "missed"

    return trial


def holds(found: Capacity, capacity: float) -> bool:
    assert found.low is not None and found.high is not None
    return found.low <= capacity <= found.high


@settings(max_examples=30, deadline=None)
@given(st.floats(2.0, 2_000.0), st.floats(2.0, 2_000.0))
def test_of_a_system_that_never_errs_the_interval_holds_the_capacity(capacity: float, start: float) -> None:
    search, tried = searched(sharp(capacity), start=start)
    found = search.capacity()
    assert found.ended == "precise" and found.bound == "" and holds(found, capacity)
    assert found.low is not None and found.high is not None and found.estimate is not None
    assert found.high / found.low <= 1.2 / 0.8 and found.low <= found.estimate <= found.high
    assert len(tried) <= 24 + abs(math.log2(capacity / start))


@settings(max_examples=10, deadline=None)
@given(st.floats(2.0, 2_000.0), st.floats(0.01, 0.1), st.integers(0, 10_000))
def test_the_same_outcomes_lead_to_the_same_trials(capacity: float, width: float, seed: int) -> None:
    first, second = (searched(noisy(capacity, width, random.Random(seed))) for _ in range(2))
    assert first[1] == second[1] and first[0].capacity() == second[0].capacity()


@pytest.mark.parametrize("width", parts([0.01, 0.03, 0.08], quick=[0.03]))
def test_the_interval_holds_the_capacity_as_often_as_it_says(width: float) -> None:
    """Of 50 systems 95 %, within three deviations: at least 43."""
    held = 0
    for seed in range(50):
        chance = random.Random(seed)
        capacity = math.exp(chance.uniform(math.log(5), math.log(500)))
        search, _ = searched(noisy(capacity, width, chance))
        held += holds(search.capacity(), capacity)
    assert held >= 43


@pytest.mark.parametrize("width", parts([0.02, 0.06], quick=[0.06]))
def test_five_searches_of_one_system_agree(width: float) -> None:
    """All five intervals have a rate in common."""
    agreed = 0
    for seed in range(8):
        chance = random.Random(1000 + seed)
        capacity = math.exp(chance.uniform(math.log(5), math.log(500)))
        found = [searched(noisy(capacity, width, chance))[0].capacity() for _ in range(5)]
        agreed += max(one.low or 0.0 for one in found) <= min(one.high or 0.0 for one in found)
    assert agreed == 8


def test_one_odd_trial_at_the_beginning_does_not_mislead() -> None:
    outcomes = iter(["missed"])
    search, _ = searched(lambda rate: next(outcomes, None) or sharp(100.0)(rate), start=20.0)  # type: ignore[arg-type, return-value]
    assert holds(search.capacity(), 100.0)


def test_a_generator_that_is_short_bounds_the_search_and_decides_nothing() -> None:
    search, tried = searched(lambda rate: "kept" if rate < 100 else "generator")
    found = search.capacity()
    assert found.ended == "generator" and "generator" in found.bound
    assert found.estimate is None and found.high is None and found.low is not None and 50 < found.low < 100
    assert sum(rate >= 100 for rate in tried) <= 3


def test_a_generator_that_is_short_from_the_first_trial_on_leaves_nothing() -> None:
    search, _ = searched(lambda rate: "generator")
    found = search.capacity()
    assert (found.ended, found.low, found.high) == ("generator", None, None)


def test_a_generator_that_is_short_above_the_capacity_does_no_harm() -> None:
    search, _ = searched(lambda rate: "generator" if rate > 300 else sharp(100.0)(rate), start=400.0)
    assert holds(search.capacity(), 100.0)


def test_what_was_missed_bounds_the_capacity_also_where_the_generator_is_short_just_above() -> None:
    search, _ = searched(lambda rate: "generator" if rate > 105 else sharp(100.0)(rate))
    found = search.capacity()
    assert found.high is None or holds(found, 100.0)
    outcomes: dict[float, Outcome] = {20.0: "kept", 40.0: "generator"}
    search, _ = searched(lambda rate: outcomes.get(rate) or sharp(27.0)(rate))
    assert holds(search.capacity(), 27.0)


def test_nothing_above_the_highest_rate_is_tried_and_it_is_tried_twice() -> None:
    search, tried = searched(sharp(1_000.0), highest=150.0)
    found = search.capacity()
    assert tried == [20.0, 40.0, 80.0, 150.0, 150.0] and found.ended == "highest"
    assert found.low is not None and 80 < found.low <= 150 and found.high is None and found.estimate is None


def test_a_system_that_keeps_nothing_is_said_to() -> None:
    search, tried = searched(lambda rate: "missed", lowest=4.0)
    found = search.capacity()
    assert tried == [20.0, 10.0, 5.0, 4.0, 4.0] and found.ended == "lowest" and "not even 4/s" in found.bound
    assert found.low is None and found.high is not None and found.high >= 4.0


def test_a_trial_that_says_nothing_is_made_again_and_three_end_it() -> None:
    search, tried = searched(lambda rate: "uncounted")
    assert tried == [20.0] * 3 and search.ended == "silent"
    once = iter(["uncounted"])
    search, tried = searched(lambda rate: next(once, None) or sharp(100.0)(rate))  # type: ignore[arg-type, return-value]
    assert tried[:3] == [20.0, 20.0, 40.0] and holds(search.capacity(), 100.0)


def test_a_rate_to_decide_on_is_decided_on() -> None:
    """By trials at that rate, until the interval does not hold it any more."""
    search, tried = searched(sharp(100.0), at_least=95.0)
    found = search.capacity()
    assert found.ended == "decided" and found.low is not None and found.low >= 95.0 and tried.count(95.0) >= 3 and len(tried) < 20
    search, tried = searched(sharp(100.0), at_least=105.0)
    found = search.capacity()
    assert found.ended == "decided" and found.high is not None and found.high < 105.0 and len(tried) < 20


def test_quantiles_rise_and_the_interval_shrinks() -> None:
    posterior = Posterior(50.0)
    wide = posterior.knee(0.05)
    posterior.add(50.0, True)
    posterior.add(100.0, False)
    narrow = posterior.knee(0.05)
    assert posterior.quantile(0.1) < posterior.quantile(0.5) < posterior.quantile(0.9)
    assert narrow.ratio < wide.ratio and 50 < narrow.estimate < 100
