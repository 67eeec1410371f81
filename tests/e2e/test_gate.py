"""The gate on real Redis: its verdicts and exit codes, its budget, its shards."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gate_support import CALLS, LINE, commit, gate_of, gate_project, told, write_scenario
from tests.e2e.support import Project, end, processes_of, wait_until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two cells that hold, one that fails, one without evidence, one that overrides a setting, one short and one long; by their tags."""
    made = gate_project(tmp_path_factory.mktemp("gate"))
    kill = {"when": {"task": "shop.work", "reaches": f"shop_broken.py:{LINE}", "nth": 1}, "fault": "worker.kill", "restart_after": "100ms"}
    late = {"when": {"task": "shop.work", "nth": 1000}, "fault": "worker.kill", "restart_after": "100ms"}
    load = [{"send": "shop.work", "args": ["${{ matrix.order }}"], "count": CALLS}]
    write_scenario(made, "right", matrix={"order": [1, 2]}, load=load)
    # A solo worker sends its ack after the task; and however late an ack comes, nobody may deliver the order anew before it.
    forked = {"app": "shop_broken:app", "redelivery": "10s", "workers": {"pay": {"replicas": 1, "concurrency": 1}}}
    write_scenario(made, "broken", tags=["broken"], system=forked, timeline=[kill], load=[{"send": "shop.work", "args": [1], "count": 1}])
    write_scenario(made, "never-bites", tags=["doubtful"], timeline=[late])
    write_scenario(made, "short", tags=["mixed"])
    write_scenario(made, "long", tags=["mixed"], load=[{"send": "shop.work", "args": [1], "rate": "1/s", "for": "10m"}])
    write_scenario(made, "overrides", tags=["overriding"], system={"config": {"task_acks_late": True}})
    commit(made)
    return made


@pytest.fixture(scope="module")
def whole(shop: Project) -> dict[str, Any]:
    """The gate of the right twin."""
    done = shop.run("gate", "--reports", "whole")
    assert done.returncode == 0, told(done)
    return gate_of(shop, "whole")


def test_the_right_twin_passes(whole: dict[str, Any]) -> None:
    assert whole["verdict"] == "pass"
    assert [cell["key"] for cell in whole["cells"]] == [f"scenarios/right.yaml [order={n}]" for n in (1, 2)] == whole["plan"]
    assert not whole["left_out"]
    assert all(cell["measures"]["samples"] == CALLS and cell["measures"]["p50"] > 0 for cell in whole["cells"])


def test_the_broken_twin_fails_on_its_line(shop: Project) -> None:
    shop.env["GITHUB_ACTIONS"] = "true"
    try:
        done = shop.run("gate", "--tags", "broken", "--reports", "broken")
    finally:
        del shop.env["GITHUB_ACTIONS"]
    assert done.returncode == 1, told(done)
    (cell,) = gate_of(shop, "broken")["cells"]
    assert cell["verdict"] == "fail" and cell["words"] == ["LOST"]
    assert (shop.folder / "broken" / "gate" / cell["report"] / "report.html").is_file()
    assert f"::error file=shop_broken.py,line={LINE}," in done.stdout
    assert f"Reproduce  {cell['replay']}" in done.stdout


def test_too_little_evidence_is_inconclusive(shop: Project) -> None:
    done = shop.run("gate", "--tags", "doubtful", "--reports", "doubtful")
    assert done.returncode == 4, told(done)
    (cell,) = gate_of(shop, "doubtful")["cells"]
    assert cell["verdict"] == "inconclusive" and "did not bite" in cell["summary"]


def test_what_does_not_fit_into_the_budget_is_listed_and_not_called_passed(shop: Project) -> None:
    """What a cell takes is told by its file where no baseline has measured it, so a busy machine changes nothing."""
    done = shop.run("gate", "--budget", "2m", "--tags", "mixed", "--reports", "mixed", timeout=120)
    assert done.returncode == 0, told(done)
    mixed = gate_of(shop, "mixed")
    assert [cell["key"] for cell in mixed["cells"]] == ["scenarios/short.yaml"]
    assert [cell["key"] for cell in mixed["left_out"]] == ["scenarios/long.yaml"]
    assert sorted(["scenarios/short.yaml", "scenarios/long.yaml"]) == mixed["plan"]
    assert "Left out, so not judged: 1 cell" in done.stdout


def test_a_budget_for_nothing_is_inconclusive(shop: Project) -> None:
    done = shop.run("gate", "--budget", "100ms", "--reports", "nothing", "--json")
    assert done.returncode == 4, told(done)
    nothing = gate_of(shop, "nothing")
    assert not nothing["cells"] and len(nothing["left_out"]) == 2
    assert json.loads(done.stdout.splitlines()[-1])["result"] == nothing


def test_overrides_are_refused_unless_allowed(shop: Project) -> None:
    refused = shop.run("gate", "--tags", "overriding")
    assert refused.returncode == 2, told(refused)
    assert "scenarios/overrides.yaml:" in refused.stderr and "task_acks_late" in refused.stderr
    line = int(refused.stderr.split("overrides.yaml:")[1].split(":")[0])
    assert "task_acks_late" in (shop.folder / "scenarios/overrides.yaml").read_text().splitlines()[line - 1]
    allowed = shop.run("gate", "--tags", "overriding", "--allow-overrides", "--reports", "allowed")
    assert allowed.returncode == 0, told(allowed)


#: `make test` merges shards in test_ci_action.py and test_certify.py.
@pytest.mark.exhaustive
def test_shards_merged_equal_the_whole(shop: Project, whole: dict[str, Any]) -> None:
    parts = []
    for index in (1, 2):
        done = shop.run("gate", "--shard", f"{index}/2", "--reports", f"shard-{index}")
        assert done.returncode == 0, told(done)
        parts.append(f"shard-{index}/gate/gate.json")
    done = shop.run("merge", *parts, "--reports", "merged")
    merged = gate_of(shop, "merged")
    assert (done.returncode, merged["verdict"], merged["exit_code"]) == (0, whole["verdict"], whole["exit_code"]), told(done)
    assert merged["plan"] == whole["plan"] and merged["shard"] is None
    same = ("key", "file", "title", "digest", "verdict", "exit_code", "words")
    assert [[c[k] for k in same] for c in merged["cells"]] == [[c[k] for k in same] for c in whole["cells"]]
    assert all((shop.folder / "merged" / "gate" / c["report"] / "result.json").is_file() for c in merged["cells"])
    written = {path.name for path in (shop.folder / "whole" / "gate").iterdir()}
    assert {path.name for path in (shop.folder / "merged" / "gate").iterdir()} == written

    for bad, words in ((parts[:1], "missing: shard 2/2"), ([*parts, parts[0]], "shard 1 is there twice")):
        done = shop.run("merge", *bad, "--reports", "bad")
        assert done.returncode == 2 and words in done.stderr, told(done)
    assert not (shop.folder / "bad").exists()


def test_ctrl_c_leaves_a_partial_result_and_nothing_else(shop: Project) -> None:
    process = shop.command("gate", "--reports", "stopped", "--samples", "20")
    wait_until(lambda: list((Path(shop.folder) / "stopped").glob("*/result.json")), "the first cell", 60)
    out, err = end(process, signal.SIGINT)
    assert process.returncode == 130, f"{out}\n{err}"
    stopped = gate_of(shop, "stopped")
    assert stopped["exit_code"] == 130 and stopped["verdict"] == "inconclusive"
    assert sorted(c["key"] for c in (*stopped["cells"], *stopped["left_out"])) == stopped["plan"]
    wait_until(lambda: not processes_of(shop.folder), "all processes have ended")
