"""What a soak and the last run of a stress come down to, and the figures of both while they go on."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.load import load
from harness.cli.load_search import SearchRun
from harness.cli.load_soak import drifts_of, soak
from harness.cli.load_stress import stress
from harness.cli.load_verdicts import of_soak
from harness.model.measures import Generator, PerSecond
from harness.model.result import RunResult, TaskColumns
from harness.model.searching import SearchKind
from harness.model.verdict import Verdict
from harness.run.course import Cell
from tests.unit.cli.test_load_search import FakeTrials, drifted, fake_search, scenario
from tests.unit.reporting import sample


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def soaked(growth: float) -> RunResult:
    """200 s at 20 calls a second; memory of one worker grows by so many bytes a second."""
    chance = random.Random(4)
    ids = [str(number) for number in range(4_000)]
    none: tuple[None, ...] = (None,) * 200
    zeros = (0,) * 200
    seconds = PerSecond(
        start=0, due=zeros, sent=zeros, finished=zeros, failed=zeros, retried=zeros, redelivered=zeros, duplicated=zeros,
        dead_lettered=zeros, percentiles={}, ready=none, unacked=none, oldest=none, cpu={}, broker_connections=none,
        memory={
            "pay-1": tuple(round(8e7 + growth * n + (2e7 if n < 30 else 0) * n / 30 + chance.gauss(0, 1e5)) for n in range(200)),
            "pay-2": tuple(round(8e7 + chance.gauss(0, 1e5)) if n % 3 else None for n in range(200)),
        },
        broker_memory=tuple(round(2e7 + chance.gauss(0, 1e4)) for _ in range(200)),
    )  # fmt: skip
    tasks = TaskColumns(
        id=tuple(ids), task=("shop.work",) * 4_000, call=tuple(range(1, 4_001)), label=("",) * 4_000,
        due=tuple(n / 20 for n in range(4_000)), latency=tuple(0.1 + chance.random() * 0.02 for _ in ids),
        fate=("succeeded",) * 4_000, finding=("",) * 4_000, error=("",) * 4_000,
        attempts=((),) * 4_000,
    )  # fmt: skip
    return sample.passing().model_copy(update={"per_second": seconds, "tasks": tasks, "load_seconds": 200.0, "calls": 4_000})


def test_a_leak_is_told_from_what_fills_at_the_beginning() -> None:
    healthy = {found.name: found.outcome for found in drifts_of(soaked(0.0))}
    assert healthy == dict.fromkeys(
        ("memory of pay-1", "memory of pay-2", "memory of the broker", "end to end p50", "end to end p95"), "steady"
    )
    leaking = {found.name: found for found in drifts_of(soaked(30_000.0))}
    assert [name for name, found in leaking.items() if found.outcome == "grows"] == ["memory of pay-1"]
    assert leaking["memory of pay-1"].slope == pytest.approx(30_000 * 3_600, rel=0.1)


SHORT = Generator(
    kind="open", calls=4_000, late=99, dropped=0, intended=20.0, achieved=19.0, lag_p99=0.2, lag_max=1.0, worst_gap=0.2, busy=0.99,
    bottleneck="a publisher was busy",
)  # fmt: skip


@pytest.mark.parametrize(("kind", "step"), [("soak", soak), ("stress", stress)])
@pytest.mark.parametrize(
    ("doubt", "said"),
    [
        ({}, ""),
        ({"undeclared": ("10.99.99.99:9 (shop.py:7 noop)",)}, "10.99.99.99:9"),
        ({"deaths": ("pay-1 died of signal 11",)}, "pay-1 died"),
        ({"unmade": "3 calls were never made"}, "3 calls"),
        ({"generator": SHORT}, "a publisher was busy"),
    ],
)
def test_what_undoes_a_pass_of_run_undoes_one_here(
    folder: Path, kind: SearchKind, step: Callable[[SearchRun], None], doubt: dict[str, Any], said: str
) -> None:
    """Also where no check is left, as of a soak whose only one needs clean passes."""
    result = soaked(0.0).model_copy(update={"checks": (), **doubt})
    code, found = fake_search(folder, FakeTrials(result=result), step, kind, soak=200.0)
    assert code == (4 if doubt else 0), found.headline
    assert said in found.headline and ("not a pass" in found.headline) is bool(doubt)
    assert any(said in note for note in found.notes) or not doubt


def test_a_failure_stays_one_and_an_open_check_is_told(folder: Path) -> None:
    code, found = fake_search(
        folder, FakeTrials(result=soaked(30_000.0).model_copy(update={"deaths": ("pay-2 died",)})), soak, "soak", soak=200.0
    )
    assert code == 1 and found.headline == "memory of pay-1 grows." and "worker pay-2 died" in found.notes
    assert (
        of_soak([drifted("steady")], Verdict.INCONCLUSIVE)[1] == "Everything is steady, but a check of the scenario could not be decided."
    )


def test_the_figures_of_a_search_can_be_read_while_it_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def run_cell(cell: Cell, *_: Any, **__: Any) -> RunResult:
        (observer,) = cell.observers
        address = observer.begin("s", 0.0).split()[-1]
        observer.see([{"k": "deliver", "m": 1, "d": "d1", "msg": "m1", "n": "shop.work", "q": "celery"}])
        with urllib.request.urlopen(address, timeout=10) as answer:
            seen.extend([address, answer.read().decode()])
        return soaked(0.0)

    monkeypatch.setattr("harness.cli.load_trials.run_cell", run_cell)
    done = CliRunner().invoke(load, [str(scenario(folder)), "--runtime", "processes", "--soak", "3m", "--metrics", "0", "--json"])
    begun = json.loads(done.output.splitlines()[0])
    address, text = seen
    assert begun["event"] == "begun" and f"metrics at {address}" in begun["notes"], done.output
    assert 'celery_harness_delivered_total{queue="celery",task="shop.work"} 1.0' in text
    assert not any("metrics at" in note for note in json.loads(done.output.splitlines()[-1])["result"]["notes"])
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=10)
