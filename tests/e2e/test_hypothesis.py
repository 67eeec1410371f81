"""Property-based tests on a real Redis: planted bugs are found, made small, saved and replayed; a right twin passes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import seed, settings

from harness.testing.machine import HarnessMachine
from harness.testing.outcomes import Failed
from harness.testing.plan_runner import shared_workshop
from tests.e2e.hunts import HUNTS, ROOT, Hunt, with_budget
from tests.e2e.pytest_support import run_pytest
from tests.parts import parts

_BY_APP = {hunt.broken: hunt for hunt in HUNTS}


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    yield
    shared_workshop().close()


@dataclass(frozen=True)
class Found:
    """What one hunt came to."""

    machine: type[HarnessMachine]
    error: Failed

    @property
    def plan(self) -> Path:
        """The file that the failure names."""
        (command,) = re.findall(r"Reproduce  celery-harness run (\S+)", str(self.error))
        return ROOT / str(command)


def run(machine: type[HarnessMachine]) -> None:
    case: Any = machine.TestCase("runTest")
    case.runTest()


def hunted(hunt: Hunt, reports: Path) -> Found:
    machine = seed(1)(hunt.machine(hunt.broken, reports, with_budget(12, shrinking=25)))
    machine.TestCase.settings = settings(machine.TestCase.settings, database=None)  # type: ignore[attr-defined]
    with pytest.raises(Failed) as raised:
        run(machine)
    return Found(machine, raised.value)


@pytest.mark.parametrize("app", parts(["orders_early", "orders_broken", "importer_storm_broken"], quick=[]))
def test_a_planted_bug_is_found_made_small_saved_and_replayed(app: str, tmp_path: Path) -> None:
    hunt = _BY_APP[app]
    found = hunted(hunt, tmp_path)
    result = found.error.result
    assert {str(finding.word) for finding in result.findings} >= {hunt.word}
    assert len(result.faults) <= 1
    assert result.calls <= 2
    assert any("You can reproduce this test case" in note for note in found.error.__notes__)
    command = [sys.executable, "-m", "harness.cli", "run", str(found.plan), "--reports", str(tmp_path / "again"), "--runtime", "processes"]
    again = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=120, check=False)
    assert again.returncode == 1, again.stdout + again.stderr
    (document,) = [json.loads(path.read_text()) for path in (tmp_path / "again").glob("[0-9]*/result.json")]
    assert hunt.word in {finding["word"] for check in document["checks"] for finding in check["findings"]}


@pytest.mark.exhaustive
def test_a_right_twin_passes(tmp_path: Path) -> None:
    hunt = _BY_APP["orders_early"]
    machine = seed(1)(hunt.machine(hunt.right, tmp_path, with_budget(2)))
    machine.TestCase.settings = settings(machine.TestCase.settings, database=None)  # type: ignore[attr-defined]
    run(machine)
    assert machine.trials is not None
    assert machine.trials.passed > 0
    assert list(tmp_path.glob("[0-9]*")) == [], "what passed leaves no reports"


_PROJECT = """\
[tool.celery-harness]
runtime = "processes"

[tool.celery-harness.system]
app = "shop:app"
broker = "redis"
redelivery = "2s"

[tool.celery-harness.system.workers.pay]
queues = ["celery"]
concurrency = 1

[tool.celery-harness.checks.no_loss]
"""
_SHOP = """\
import time

from celery import Celery

app = Celery("shop")
app.conf.task_acks_late = {late}
app.conf.worker_prefetch_multiplier = 1


@app.task(name="shop.work")
def work(number: int) -> int:
    time.sleep(0.2)
    return number
"""
_TEST = """\
from hypothesis import settings
from shop import work

from harness.testing.chaos import chaos
from harness.testing.strategies import call_lists, calls, fault_plans, lines_of


CALLS = call_lists(calls(work), max_size=2)
FAULTS = fault_plans(["task.crash"], min_faults=1, max_faults=1, points=lines_of(work)[1:])


@chaos(CALLS, FAULTS, examples=3, shrinking=2, settings=settings(database=None))
def test_work(trial, tmp_path):
    result = trial.run()
    assert result is None or result.calls == len(trial.calls)
"""


@pytest.mark.parametrize("late", parts([True, False], quick=[False]), ids=["late acks", "early acks"])
def test_chaos_is_a_test_like_any_other(late: bool, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(_PROJECT)
    (tmp_path / "shop.py").write_text(_SHOP.format(late=late))
    (tmp_path / "test_shop.py").write_text(_TEST)
    session = run_pytest(tmp_path, "test_shop.py", "-p", "no:randomly")
    assert session.outcomes == {"test_work": "passed" if late else "failed"}, session.text
    if not late:
        assert re.search(r"LOST\b", session.text)
        assert re.search(r"task\.crash when call [12] reaches shop\.py:", session.text), "made no smaller than two further runs allow"
        assert "celery-harness run" in session.text
