"""A plain test of `@given`'s with the fixture `harness` on a real Redis: a planted bug is found, made small, saved, and repeated."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pytest_support import copied, run_pytest
from tests.e2e.support import processes_of

#: `make test` has a planted bug and a right task through `@chaos` and a state machine, in test_hypothesis.py.
pytestmark = pytest.mark.exhaustive

_TEST = """
import pytest
from hypothesis import given, reproduce_failure, seed, strategies as st
from harness.testing.chaos import budget
from harness.testing.strategies import call_lists, calls, fault_plans

ORDERS = call_lists(calls("shop.{task}", st.integers(1, 4), 900), max_size=2, unique_by=lambda call: call.args[0])

@pytest.mark.harness(redelivery="1s")
{above}
@given(calls=ORDERS, faults=fault_plans(["task.crash"], points=["before_ack"], min_faults=1, max_faults=1))
@budget(examples={examples}, seconds=15, shrinking=6)
def test_an_order_is_booked_once(harness, calls, faults):
    harness.run_plan(calls, faults)
"""


def written(folder: Path, *, task: str = "book_twice", above: str = "@seed(1)", examples: int = 4) -> None:
    (folder / "test_shop.py").write_text(_TEST.format(task=task, above=above, examples=examples))


def test_a_planted_bug_is_found_made_small_saved_and_repeated_by_its_blob(tmp_path: Path, redis_server_program: str) -> None:
    made = copied("plain", tmp_path)
    written(made)
    done = run_pytest(made, "test_shop.py")
    assert done.outcomes == {"test_an_order_is_booked_once": "failed"}, done.text
    assert "EFFECT  shop.book_twice took effect more than once" in done.text
    plan = re.search(r"Plan\((.*)\) failed twice running", done.text)
    assert plan, done.text
    assert plan[1].count("shop.book_twice(") == 1
    assert plan[1].count("task.crash") == 1

    saved = re.search(r"Reproduce  celery-harness run (\S+)", done.text)
    assert saved, done.text
    again = subprocess.run([sys.executable, "-m", "harness.cli", "run", saved[1]], cwd=made, text=True, capture_output=True, timeout=120)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "EFFECT" in again.stdout

    blob = re.search(r"@reproduce_failure\('[^']+', b'[^']+'\)", done.text)
    assert blob, done.text
    written(made, above=blob[0])
    repeated = run_pytest(made, "test_shop.py")
    assert repeated.outcomes == {"test_an_order_is_booked_once": "failed"}, repeated.text
    assert "EFFECT  shop.book_twice took effect more than once" in repeated.text
    assert not processes_of(made)


def test_its_right_twin_passes(tmp_path: Path, redis_server_program: str) -> None:
    made = copied("plain", tmp_path)
    written(made, task="book_once", examples=3)
    done = run_pytest(made, "test_shop.py")
    assert done.outcomes == {"test_an_order_is_booked_once": "passed"}, done.text
    assert not list((made / "reports").glob("[0-9]*")), "of plans that passed nothing is left"
