"""`compare --interleave` on a real broker: two configurations, two commits, and what cannot be done."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.gate.figures import SHARES, Figures, Key, Part
from harness.model.result import RunResult
from tests.e2e.gate_support import SHOP, commit, gate_project, told, write_scenario
from tests.e2e.support import Project, end, wait_until
from tests.parts import parts

LOAD = [{"send": "shop.work", "args": [1], "count": 9}, {"send": "shop.work", "args": [2], "rate": "20/s", "count": 6}]
CHEAP = {"system": {"workers": {"pay": {"replicas": 1, "concurrency": 1, "pool": "solo"}}}, "load": LOAD}


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    made = gate_project(tmp_path)
    write_scenario(made, "s", **CHEAP)
    return made


def _compare(shop: Project, *arguments: str) -> tuple[dict[str, Any], Path]:
    done = shop.run("compare", "scenarios/s.yaml", "--runtime", "processes", "--anyway", *arguments, timeout=170)
    assert done.returncode == 4, told(done)  # so few and short runs bound nothing
    (file,) = (shop.folder / "reports" / "compare").glob("*/compare.json")
    assert file.with_name("compare.html").is_file()
    return json.loads(file.read_text()), file.parent


@pytest.mark.exhaustive
def test_two_configurations_in_turn(shop: Project) -> None:
    found, folder = _compare(shop, "--interleave", "2", "--seed", "5", "--a", "task_ignore_result=true", "--b", "workers.pay.concurrency=2")
    assert [side["changes"] for side in found["sides"]] == [["task_ignore_result=true"], ["workers.pay.concurrency=2"]]
    assert [[run["seed"] for run in side["runs"]] for side in found["sides"]] == [[5, 6], [5, 6]]
    assert (found["source"], found["pairs"]) == ("pairs", 2)
    assert {row["why"] for row in found["rows"] if row["ratio"] is not None} == {"2 pairs, 8 needed"}
    results = {
        side: [_read(path) for path in sorted(folder.glob(f"{side}/*/result.json")) if not path.parent.is_symlink()] for side in "ab"
    }
    assert [r.overrides for r in results["a"]] == [{"task_ignore_result": True}] * 2 and [r.overrides for r in results["b"]] == [{}] * 2
    for one in results["a"] + results["b"]:
        _same_figures(one)


def _read(path: Path) -> RunResult:
    return RunResult.model_validate_json(path.read_text())


def _same_figures(one: RunResult) -> None:
    """What is compared is what the run's report says."""
    values, seen = Figures(one).values, 0
    for measure in one.measures:
        if measure.metric in ("run_time", "end_to_end_latency") and not measure.queue and not measure.worker:
            for statistic in SHARES:
                mine = values.get(Key(measure.metric, statistic, Part(measure.task, measure.phase)))
                if mine is not None:
                    seen += 1
                    assert (round(mine[0], 6), mine[1]) == (getattr(measure.summary, statistic), measure.summary.count)
    assert seen >= 2


@pytest.mark.exhaustive
def test_a_commit_against_the_working_tree(shop: Project) -> None:
    before = commit(shop)
    (shop.folder / "shop.py").write_text(SHOP.replace("sleep(0.005)", "sleep(0.3)"))
    found, _ = _compare(shop, "--interleave", "1", "--a-commit", before[:12])
    (row,) = [r for r in found["rows"] if (r["metric"], r["statistic"], r["task"], r["phase"]) == ("run_time", "p50", "", "")]
    assert row["before"] < 0.15 and row["after"] >= 0.3
    assert found["sides"][0]["changes"] == [f"commit {before[:12]}"]
    assert "worktrees" not in [path.name for path in (shop.folder / ".git").iterdir() if any(path.glob("*"))]


REFUSED = [
    (("--a-commit", "HEAD"), "git"),
    (("--b", "workers.pay.concurency=2"), "concurency"),
    (("--b", "nonsense"), "KEY=VALUE"),
]


@pytest.mark.parametrize(("arguments", "said"), parts(REFUSED, quick=REFUSED[:2]))
def test_what_cannot_be_run_is_refused_and_leaves_nothing(shop: Project, arguments: tuple[str, ...], said: str) -> None:
    done = shop.run("compare", "scenarios/s.yaml", "--interleave", "1", "--runtime", "processes", *arguments)
    assert done.returncode == 2 and said in done.stderr, told(done)
    assert not (shop.folder / "reports").exists()


@pytest.mark.exhaustive
def test_a_signal_leaves_what_the_complete_pairs_say(shop: Project) -> None:
    process = shop.command("compare", "scenarios/s.yaml", "--interleave", "9", "--runtime", "processes", "--anyway")
    folder = shop.folder / "reports" / "compare"
    wait_until(lambda: len([*folder.glob("*/[ab]/*/report.html")]) >= 3, "a pair and a run more", 120)
    out, err = end(process, signal.SIGINT)
    assert process.returncode == 130, out + err
    (file,) = folder.glob("*/compare.json")
    found = json.loads(file.read_text())
    pairs = found["notes"][0].split()[2]
    assert found["notes"][0] == f"interrupted after {pairs} of 9 pairs" and found["exit_code"] == 130
    assert {len(side["runs"]) for side in found["sides"]} == {int(pairs)} and "INTERRUPTED" in out
