"""Simulated runs whose seconds hang together, as results."""

from __future__ import annotations

import math
import random
from typing import Any

from harness.gate.dependent import Sample
from harness.model.result import RunResult, TaskColumns
from tests.unit.gate.makers import run_result

Attempts = tuple[tuple[int, float, float, str, int], ...]


def slowness(chance: random.Random, seconds: int, memory: float) -> list[float]:
    """Of each second: its logarithm, of which a share ``memory`` is that of the second before."""
    level = chance.gauss(0, 1)
    levels = []
    for _ in range(seconds):
        level = memory * level + math.sqrt(1 - memory * memory) * chance.gauss(0, 1)
        levels.append(0.3 * level)
    return levels


def samples(chance: random.Random, seconds: int, memory: float, *, rate: int = 8, slower: float = 1.0) -> list[Sample]:
    return [
        Sample(second, slower * 0.05 * math.exp(level + 0.5 * chance.gauss(0, 1)))
        for second, level in enumerate(slowness(chance, seconds, memory))
        for _ in range(rate)
    ]


def result(chance: random.Random, seconds: int = 60, memory: float = 0.3, *, slower: float = 1.0, **changes: Any) -> RunResult:
    """One task, eight calls a second; each call is one execution, and every tenth is retried once."""
    found = samples(chance, seconds, memory, slower=slower)
    dues = [one.second + (index % 8) / 8 for index, one in enumerate(found)]
    made = run_result(dues, [one.value for one in found])
    attempts: list[Attempts] = []
    for index, (due, one) in enumerate(zip(dues, found, strict=True)):
        once = (0, due, due + one.value / 2, "w-1", 1 if index % 10 == 0 else 0)
        again = (1, due + one.value / 2, due + one.value, "w-1", 0)
        attempts.append((once, again) if index % 10 == 0 else (once,))
    assert made.tasks is not None
    tasks = TaskColumns(**{**made.tasks.model_dump(), "attempts": tuple(attempts)})
    return made.model_copy(update={"tasks": tasks, "calls": len(dues), "load_seconds": float(seconds), **changes})
