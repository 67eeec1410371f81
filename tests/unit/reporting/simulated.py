"""Tasks and series of a run that never was, drawn by a seed."""

from __future__ import annotations

import random
import uuid
from typing import Any

from harness.model.result import Series, TaskColumns


def simulated_tasks(count: int, rate: float, *, twice: bool = True) -> TaskColumns:
    """`count` tasks: a kill at 5 s that four of them survive by redelivery, a stall 12–17 s, duplicates 20–25 s, some retries."""
    rng = random.Random(20240741)
    rows: list[dict[str, Any]] = []
    for i in range(count):
        due = round(i / rate, 3)
        wait = max(0.0, 17.0 - due + (due - 12.0) * 0.45) if 12.0 <= due < 23.0 else 0.0
        start = due + 0.004 + wait
        took = round(0.08 * rng.lognormvariate(0, 0.25), 3)
        worker = f"pay-{1 + i % 2}"
        killed = due < 5.0 <= due + 4 / rate and count > 100
        if killed:
            attempts = [(0, start, 5.0, "pay-1", 3), (2, 11.285, 11.392, "pay-2", 0)]
        elif i % 50 == 33:
            attempts = [
                (0, start, start + took, worker, 1),
                (1, start + took + 1.0, start + 2 * took + 1.0, worker, 2 if i % 500 == 33 else 0),
            ]
        else:
            attempts = [(0, start, start + took, worker, 0)]
        if 20.0 <= due < 25.0 and i % 5 == 0:
            attempts.append((3, start + took + 0.2, start + took + 0.22, worker, 0))
        failed = attempts[-1][4] == 2
        rows.append(
            {
                "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "task": "orders.charge",
                "call": i + 1,
                "label": str(1001 + i),
                "due": due,
                "latency": round(attempts[-1][2] - due, 3),
                "fate": "failed" if failed else "succeeded",
                "finding": "EFFECT" if twice and killed and i % 2 == 0 else "",
                "error": "orders.CardApiUnavailable: 503" if failed else "",
                "attempts": tuple((a, round(b, 3), round(c, 3), d, e) for a, b, c, d, e in attempts),
            }
        )
    return TaskColumns(**{name: tuple(r[name] for r in rows) for name in TaskColumns.model_fields})


def series_of(tasks: TaskColumns, seconds: int) -> Series:
    """What the summary would make of these tasks, one value per second."""
    grid = range(seconds)
    ends = [attempt[-1][2] or 0.0 for attempt in tasks.attempts]
    late: list[list[float]] = [[] for _ in grid]
    for due, latency in zip(tasks.due, tasks.latency, strict=True):
        if due < seconds and latency is not None:
            late[int(due)].append(latency)
    ranked = [sorted(values) for values in late]
    starts = [(a[0], a[1]) for attempts in tasks.attempts for a in attempts]
    waiting = [sum(1 for d, e in zip(tasks.due, ends, strict=True) if d <= t + 0.5 < e) for t in grid]
    again = {why: tuple(sum(1 for w, at in starts if w == why and int(at) == t) for t in grid) for why in (1, 2, 3)}
    oldest = [max((t + 0.5 - d for d, e in zip(tasks.due, ends, strict=True) if d <= t + 0.5 < e), default=0.0) for t in grid]
    return Series(
        start=0.0,
        step=1.0,
        finished=tuple(float(sum(1 for e in ends if int(e) == t)) for t in grid),
        published=tuple(float(sum(1 for d in tasks.due if int(d) == t)) for t in grid),
        p50=tuple(_rank(v, 0.5) for v in ranked),
        p95=tuple(_rank(v, 0.95) for v in ranked),
        p99=tuple(_rank(v, 0.99) for v in ranked),
        ready=tuple(float(max(0, w - 8)) for w in waiting),
        unacked=tuple(float(min(8, w)) for w in waiting),
        oldest=tuple(round(o, 2) for o in oldest),
        retried=again[1],
        redelivered=again[2],
        duplicated=again[3],
    )


def _rank(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
