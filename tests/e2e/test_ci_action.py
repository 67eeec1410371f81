"""The action's step on real Redis, in a repository with a project in a folder: what the pull request and the job's page get."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.e2e.gate_support import LINE, gate_project, write_scenario
from tests.e2e.support import Project
from tests.unit.action_steps import ROOT, Ran, run_gate_step
from tests.unit.reporting.sarif_subset import SCHEMA

#: The installed program, whatever PATH the tests were started with.
PROGRAM = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m harness.cli "$@"\n'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`checkout/pay` is the project: two cells that hold, one that loses an order."""
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / ".git").mkdir()  # the repository's root: findings must be told from here
    (checkout / "pay").mkdir()
    made = gate_project(checkout / "pay")
    kill = {"when": {"task": "shop.work", "reaches": f"shop_broken.py:{LINE}", "nth": 1}, "fault": "worker.kill", "restart_after": "100ms"}
    pay = {"replicas": 1, "concurrency": 1, "pool": "prefork"}  # a solo worker's early ack leaves it only after the task
    # However late an ack comes, nobody may deliver the order anew before it.
    forked = {"app": "shop_broken:app", "redelivery": "10s", "workers": {"pay": pay}}
    few = [{"send": "shop.work", "args": [1], "count": 1}]
    write_scenario(made, "broken", tags=["broken"], system=forked, load=few, timeline=[kill])
    write_scenario(made, "right", matrix={"order": [1, 2]}, load=[{"send": "shop.work", "args": ["${{ matrix.order }}"], "count": 2}])
    return made


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the runner brings along, with celery-harness on PATH."""
    folder = tmp_path_factory.mktemp("runner")
    (folder / "celery-harness").write_text(PROGRAM)
    (folder / "celery-harness").chmod(0o755)
    return folder


def step(runner: Path, shop: Project, **inputs: str) -> Ran:
    environ = {"PATH": f"{runner}:{os.environ['PATH']}", "NO_COLOR": "1"}
    return run_gate_step(runner, shop.folder, environ, 90, runtime="processes", **inputs)


@pytest.fixture(scope="module")
def broken(runner: Path, shop: Project) -> Ran:
    """The step on the task that loses an order."""
    ran = step(runner, shop, tags="broken", reports="broken")
    assert ran.code == 1, ran.out + ran.err
    return ran


def test_a_broken_task_is_told_on_its_line_and_on_the_jobs_page(broken: Ran, shop: Project) -> None:
    (annotation,) = [line for line in broken.out.splitlines() if line.startswith("::")]
    assert annotation.startswith(f"::error file=pay/shop_broken.py,line={LINE},title=LOST%3A ")
    assert broken.summary.startswith("# FAIL: reliability gate\n\n`✕` ✕ 1 failed\n")
    assert f"`shop_broken.py:{LINE}`" in broken.summary and "celery-harness run" in broken.summary
    assert broken.outputs["exit-code"] == "1" and broken.outputs["reports"] == str(shop.folder / "broken")


def test_code_scanning_is_given_the_same(broken: Ran) -> None:
    document = json.loads(Path(broken.outputs["sarif"]).read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    (result,) = run["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert result["ruleId"] == "LOST" and physical["region"]["startLine"] == LINE
    assert physical["artifactLocation"]["uri"] == "pay/shop_broken.py"
    assert run["automationDetails"]["id"] == "celery-harness/pay/processes/"


def test_junit_has_the_checks_of_the_run(broken: Ran) -> None:
    suites = ElementTree.parse(Path(broken.outputs["reports"]) / "gate" / "junit.xml").getroot()
    failure = suites.find("testsuite[@name='scenarios/broken.yaml']/testcase[@name='no_loss']/failure")
    assert failure is not None and failure.get("type") == "LOST"


@pytest.mark.exhaustive
def test_shards_stay_silent_and_their_merge_tells_that_all_passed(shop: Project, runner: Path) -> None:
    for index in ("1", "2"):
        ran = step(runner, shop, shard=f"{index}/2", reports=f"shards/{index}")
        assert ran.code == 0 and ran.summary == "" and "::" not in ran.out, ran.out + ran.err
    merged = step(runner, shop, merge=str(shop.folder / "shards"), reports="merged")
    assert merged.code == 0 and "::" not in merged.out, merged.out + merged.err
    assert "All 2 cells that ran passed." in merged.summary and "<summary>✓ 2 passed</summary>" in merged.summary
    on_gitlab = Project(shop.folder, {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(shop.folder.parent)})
    assert on_gitlab.run("merge", "shards/1/gate", "shards/2/gate", "--reports", "gitlab").returncode == 0
    assert json.loads((shop.folder / "gitlab" / "gate" / "gl-code-quality.json").read_text()) == []


def test_a_merge_without_shards_ends_with_two(shop: Project, runner: Path) -> None:
    ran = step(runner, shop, merge=str(shop.folder / "none"), reports="unmerged")
    assert ran.code == 2 and ran.out.startswith("::error title=celery-harness::no shard left a gate.json")


def test_a_wrong_option_ends_with_two_and_leaves_nothing_to_upload(shop: Project, runner: Path) -> None:
    ran = step(runner, shop, budget="5", reports="wrong")
    assert ran.code == 2 and "not a duration" in ran.err
    assert ran.outputs == {"artifact": "celery-harness", "exit-code": "2"}
