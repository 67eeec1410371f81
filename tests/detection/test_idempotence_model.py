"""The oracle against a model that simply lists every world that the fates allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.verdict import Verdict
from tests.unit.checks.idempotence_kit import Db, Lab, Run, Table, lost

#: One effect: add a row to a log, add to a counter, or set a cell that only this call writes.
Step = tuple[str, Any, int]
_FATES = {"done": Run((0, "ok")), "failed": Run((0, ("raise", 0))), "lost": lost(0)}

steps = st.one_of(
    st.tuples(st.just("row"), st.sampled_from(["a", "b", "own"]), st.just(1)),
    st.tuples(st.just("sum"), st.sampled_from(["x", "y"]), st.integers(1, 3)),
    st.tuples(st.just("set"), st.just("cell"), st.just(1)),
)
calls = st.lists(st.lists(steps, min_size=1, max_size=3, unique_by=lambda s: s[:2]), min_size=1, max_size=4)


def name_of(call: int, step: Step) -> tuple[str, str]:
    kind, what, _ = step
    return kind, f"{what}{call}" if what in ("own", "cell") else what


def apply(db: Db, call: int, step: Step, amount: int) -> None:
    kind, name = name_of(call, step)
    if kind == "row":
        for _ in range(amount):
            db.insert("db.log", text=name)
    elif kind == "sum":
        row = db.find("db.sums", name=name)
        assert row is not None
        row["value"] += amount
    elif amount:
        db.upsert("db.cells", {"name": name}, value=amount)


def allowed(fates: list[str], tasks: list[list[Step]]) -> set[frozenset[Any]]:
    """Every world (name -> amount) that some choice for the undecided calls gives."""
    choices: list[list[Counter[Any]]] = []
    for number, (fate, task) in enumerate(zip(fates, tasks, strict=True), 1):
        full = Counter({name_of(number, s): s[2] for s in task})
        if fate == "done":
            choices.append([full])
        elif fate == "failed":
            choices.append([full, Counter()])
        else:
            parts = product(*(range(n + 1) for n in full.values()))
            choices.append([Counter(dict(zip(full, part, strict=True))) for part in parts])
    worlds = set()
    for chosen in product(*choices):
        total: Counter[Any] = Counter()
        for one in chosen:
            total.update(one)
        worlds.add(frozenset((+total).items()))
    return worlds


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[Step]], list[str], list[list[int]]]:
    tasks = draw(calls)
    fates = [draw(st.sampled_from(sorted(_FATES))) for _ in tasks]
    times: list[list[int]] = []
    for fate, task in zip(fates, tasks, strict=True):
        right = {"done": [[1] * len(task)], "failed": [[0] * len(task), [1] * len(task)]}.get(fate) or [
            [1] * k + [0] * (len(task) - k) for k in range(len(task) + 1)
        ]
        anything = st.lists(st.integers(0, 2), min_size=len(task), max_size=len(task))
        times.append(draw(st.one_of(st.sampled_from(right), st.sampled_from(right), anything)))
    return tasks, fates, times


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_flags_exactly_the_worlds_that_no_choice_of_effects_explains(case: tuple[list[list[Step]], list[str], list[list[int]]]) -> None:
    tasks, fates, times = case

    def work(db: Db, number: int, amounts: Any) -> Iterator[None]:
        if db.seed < 3:
            for step in tasks[number - 1]:
                apply(db, number, step, step[2])
        yield

    def tamper(db: Db) -> None:
        for number, task in enumerate(tasks, 1):
            for step, n in zip(task, times[number - 1], strict=True):
                apply(db, number, step, n * step[2])

    tables = {
        "db.log": Table(),
        "db.sums": Table(key=("name",), rows=[{"name": "x", "value": 1000}, {"name": "y", "value": 1000}]),
        "db.cells": Table(key=("name",)),
    }
    numbers = range(1, len(tasks) + 1)
    arguments = [(n, {"amounts": [s[2] for s in task]}) for n, task in zip(numbers, tasks, strict=True)]
    lab = Lab(tables, work, arguments, tasks=[(f"task{n}", work) for n in numbers])
    result = lab.judge({n: _FATES[fate] for n, fate in zip(numbers, fates, strict=True)}, tamper=tamper)

    total: Counter[Any] = Counter()
    for number, (task, counts) in enumerate(zip(tasks, times, strict=True), 1):
        for step, n in zip(task, counts, strict=True):
            total[name_of(number, step)] += n * step[2]
    right = frozenset((+total).items()) in allowed(fates, tasks)
    exercised = any(f != "lost" for f in fates)
    expected = Verdict.FAIL if not right else Verdict.PASS if exercised else Verdict.INCONCLUSIVE
    assert result.verdict is expected, (result.summary, [f.sentence for f in result.findings])
