"""The whole rule on simulated figures: one commit against itself gives no regression, and a slowdown is found."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from harness.gate.compare import FEWEST_PAIRS, MOST_PAIRS, against_samples, from_pairs
from harness.model.gate import Measures

_TOLERANCE = 0.10


class _Machine:
    """Runs whose latency varies from run to run, and whose load wanders: what came before is no guide to what comes after."""

    def __init__(self, seed: int, noise: float, wander: float) -> None:
        self._chance, self._noise, self._wander, self._load = random.Random(seed), noise, wander, 0.0

    def run(self, cost: float) -> float:
        self._load += self._chance.gauss(0, self._wander)
        return cost * math.exp(self._load + self._chance.gauss(0, self._noise))


def _gate(machine: _Machine, before: float, after: float) -> str:
    """The outcome of one gate against a baseline of three samples."""
    samples = [Measures(p50=machine.run(before), samples=5) for _ in range(3)]
    first = against_samples(Measures(p50=machine.run(after), samples=5), samples, _TOLERANCE)[0]
    if first.outcome != "suspected":
        return first.outcome
    pairs: list[tuple[float, float]] = []
    for number in range(1, MOST_PAIRS + 1):
        if number % 2:
            one = machine.run(before)
            pairs.append((one, machine.run(after)))
        else:
            other = machine.run(after)
            pairs.append((machine.run(before), other))
        found = from_pairs("p50", pairs, _TOLERANCE) if number in (FEWEST_PAIRS, MOST_PAIRS) else None
        if found is not None:
            return found.outcome
    return "suspected"


def _gates(count: int, *, noise: float, wander: float, slower: float = 1.0) -> Counter[str]:
    return Counter(_gate(_Machine(seed, noise, wander), 1.0, slower) for seed in range(count))


@pytest.mark.parametrize(("noise", "wander"), [(0.02, 0.01), (0.10, 0.05), (0.40, 0.10)])
def test_of_a_thousand_gates_of_one_commit_next_to_none_is_a_regression(noise: float, wander: float) -> None:
    found = _gates(1000, noise=noise, wander=wander)
    assert found["regression"] <= 2, found


def test_a_calm_machine_decides_every_suspicion() -> None:
    found = _gates(1000, noise=0.02, wander=0.01)
    assert not found["suspected"] and found["same"] > 900, found


def test_at_the_tolerance_itself_errors_keep_to_the_confidence() -> None:
    found = _gates(1000, noise=0.05, wander=0.0, slower=1 + _TOLERANCE)
    assert found["regression"] <= 20, found


@pytest.mark.parametrize(("noise", "slower"), [(0.02, 1.3), (0.10, 1.6), (0.20, 2.5)])
def test_a_slowdown_that_is_large_against_the_noise_is_found(noise: float, slower: float) -> None:
    found = _gates(500, noise=noise, wander=0.0, slower=slower)
    assert found["regression"] >= 475, found
