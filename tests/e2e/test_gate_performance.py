"""The gate against its baseline on real Redis: nothing is slower than itself, and a planted slowdown is named with ratio and interval."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.gate_support import SHOP, commit, gate_of, gate_project, told, write_scenario
from tests.e2e.support import Project, end, processes_of, wait_until

#: `make test` has the words and codes of a gate in test_gate.py; here are the runs in turn that decide what looks slower.
pytestmark = pytest.mark.exhaustive

_BASELINE = "celery-harness-baseline.json"
#: Seconds where the shop takes 0.005: so much more that the time which a busy machine adds to both leaves a ratio that nobody mistakes.
_SLOW = 0.150


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One cell, committed, with a baseline of three samples; the working tree is as committed."""
    made = gate_project(tmp_path_factory.mktemp("slower"))
    scratch = made.folder / "scratch"  # where checkouts go, so that a leftover is seen
    scratch.mkdir()
    made.env["TMPDIR"] = str(scratch)
    (made.folder / ".gitignore").write_text("scratch/\nreports/\n__pycache__/\n")
    write_scenario(made, "work", load=[{"send": "shop.work", "args": [1], "count": 20}])  # enough for a p95
    made.env["SHOP_COMMIT"] = commit(made)
    done = made.run("gate")
    assert done.returncode == 0, told(done)
    done = made.run("baseline", "accept")
    assert done.returncode == 0 and "+ scenarios/work.yaml: pass, p95" in done.stdout, told(done)
    return made


def _nothing_is_left(made: Project) -> bool:
    listed = subprocess.run(["git", "worktree", "list"], cwd=made.folder, check=True, capture_output=True, text=True).stdout
    return len(listed.splitlines()) == 1 and not list((made.folder / "scratch").iterdir())


def test_the_baseline_is_one_to_commit(shop: Project) -> None:
    text = (shop.folder / _BASELINE).read_text()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["commit"] == shop.env["SHOP_COMMIT"], "the baseline itself does not make the tree a changed one"
    assert len(document["cells"]["scenarios/work.yaml"]["samples"]) == 3
    shown = shop.run("baseline", "show")
    assert shown.returncode == 0 and "scenarios/work.yaml: pass" in shown.stdout, told(shown)


def test_a_commit_is_no_regression_against_its_own_baseline(shop: Project) -> None:
    done = shop.run("gate", "--tolerance", "50%", "--budget", "1m", timeout=120)
    same = gate_of(shop)
    outcomes = [one["outcome"] for cell in same["cells"] for one in cell["comparisons"]]
    assert outcomes and "regression" not in outcomes, told(done)
    assert same["baseline"] == same["commit"] == shop.env["SHOP_COMMIT"]
    assert done.returncode == (4 if "suspected" in outcomes else 0), told(done)


def test_without_runs_in_turn_a_slowdown_is_only_suspected(shop: Project) -> None:
    _slow_down(shop.folder)
    done = shop.run("gate", "--no-confirm")
    assert done.returncode == 4, told(done)
    (cell,) = gate_of(shop)["cells"]
    suspected = {one["measure"] for one in cell["comparisons"] if one["outcome"] == "suspected"}
    assert {"p50", "p95", "throughput"} <= suspected and cell["verdict"] == "pass"
    assert not any(one["outcome"] == "regression" for one in cell["comparisons"])


def test_ctrl_c_in_the_middle_of_runs_in_turn_removes_the_checkout(shop: Project) -> None:
    _slow_down(shop.folder)
    process = shop.command("gate")
    wait_until(lambda: list((shop.folder / "scratch").glob("celery-harness-baseline-*/tree/shop.py")), "the checkout", 60)
    out, err = end(process, signal.SIGINT)
    assert process.returncode == 130, f"{out}\n{err}"
    (cell,) = gate_of(shop)["cells"]
    assert cell["verdict"] == "pass" and {"suspected"} <= {one["outcome"] for one in cell["comparisons"]}
    wait_until(lambda: not processes_of(shop.folder), "all processes have ended")
    assert _nothing_is_left(shop)


def test_a_planted_slowdown_is_a_regression_with_ratio_and_interval(shop: Project) -> None:
    _slow_down(shop.folder)
    commit(shop, "slower")
    done = shop.run("gate", "--budget", "10m", timeout=280)
    assert done.returncode == 1, told(done)
    (cell,) = gate_of(shop)["cells"]
    found = {one["measure"]: one for one in cell["comparisons"]}
    assert found["p50"]["outcome"] == "regression", told(done)
    assert 1.1 < found["p50"]["low"] <= found["p50"]["ratio"] <= found["p50"]["high"]
    assert found["p50"]["pairs"] >= 8 and found["p50"]["confidence"] == 0.99
    assert found["throughput"]["outcome"] == "regression" and found["throughput"]["high"] < 0.9
    assert "regression    scenarios/work.yaml" in done.stdout
    assert cell["verdict"] == "pass", "the cell itself holds; the gate fails by its speed"
    assert _nothing_is_left(shop)


def _slow_down(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP.replace("time.sleep(0.005)", f"time.sleep({_SLOW})"))
