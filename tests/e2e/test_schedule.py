"""A scenario with a `schedule:` from the command line: run step by step, judged, told where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.support import SCENARIO, Project, project


def plan(shop: Project, *steps: object, **changes: object) -> str:
    """A file with these steps (JSON is YAML)."""
    document = {key: value for key, value in SCENARIO.items() if key != "load"}
    path = shop.folder / "plan.yaml"
    path.write_text(json.dumps({**document, **changes, "schedule": list(steps)}, indent=1))
    return str(path)


def test_its_steps_happen_in_their_order(tmp_path: Path) -> None:
    shop = project(tmp_path)
    done = shop.run(
        "run",
        plan(
            shop,
            {"send": "shop.work", "args": [1]},
            {"wait": "quiet"},
            {"fault": "worker.pause", "target": "pay", "as": "frozen"},
            {"send": "shop.work", "args": [2]},
            {"wait": "300ms"},
            {"heal": "frozen"},
            {"wait": "quiet"},
            {"fault": "task.crash", "when": {"task": "shop.work", "reaches": "before_ack", "call": 3}, "restart_after": "100ms"},
            {"send": "shop.work", "args": [3], "count": 1},
        ),
    )
    result = shop.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(fault["name"], fault["bit"], fault["call"]) for fault in result["faults"]] == [
        ("worker.pause", True, 0),
        ("task.crash", True, 3),
    ]
    assert result["faults"][0]["begun"] < result["faults"][0]["ended"] < result["faults"][1]["begun"]
    assert result["fates"] == {"succeeded": 3}


#: `make test` has it in a gate and in a live run: test_gate.py, tests/unit/run/test_live_run.py.
@pytest.mark.exhaustive
def test_a_fault_whose_point_is_not_reached_is_inconclusive(tmp_path: Path) -> None:
    shop = project(tmp_path)
    armed = {"fault": "task.crash", "when": {"task": "shop.work", "reaches": "start", "nth": 9}}
    done = shop.run("run", plan(shop, armed, {"send": "shop.work", "args": [1]}))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "did not bite" in done.stdout


def test_what_is_wrong_is_told_before_anything_starts(tmp_path: Path) -> None:
    shop = project(tmp_path)
    wrong = shop.run("validate", plan(shop, {"sned": "shop.work"}))
    assert wrong.returncode == 2
    assert "did you mean `send`?" in wrong.stderr + wrong.stdout
    unknown = shop.run("run", plan(shop, {"send": "shop.wrok"}))
    assert unknown.returncode == 2
    assert "task shop.wrok is not registered in shop:app" in unknown.stderr
    assert not (tmp_path / "reports" / "latest").exists()
