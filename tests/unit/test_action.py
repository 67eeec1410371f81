"""The composite action: it parses, its scripts are bash, and what they hand to celery-harness is what the inputs say."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.unit.action_steps import ACTION, ROOT, Ran, action, run_gate_step, steps

PAGE = ROOT / "docs" / "ci.md"

#: Stands in for celery-harness: writes down its arguments, one per line, and what it is told about GitHub; ends as it is told.
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$STUB_FOLDER/arguments"
echo "${GITHUB_ACTIONS-unset}" >"$STUB_FOLDER/github"
mkdir -p "$REPORTS/gate" && echo '{}' >"$REPORTS/gate/gate.sarif"
exit "${STUB_EXIT:-0}"
"""


@dataclass
class Stubbed(Ran):
    """With what the stub was told."""

    arguments: list[str]
    github: str


def scripts() -> list[str]:
    return [step["run"] for step in steps() if "run" in step]


def page_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run_gate_script(folder: Path, *, stub: str = STUB, stub_exit: int = 0, **inputs: str) -> Stubbed:
    for name in ("bin", "project"):
        (folder / name).mkdir(exist_ok=True)
    for name in ("arguments", "github"):
        (folder / name).write_text("")
    if stub:
        (folder / "bin" / "celery-harness").write_text(stub)
        (folder / "bin" / "celery-harness").chmod(0o755)
    environ = {"STUB_FOLDER": str(folder), "STUB_EXIT": str(stub_exit), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    ran = run_gate_step(folder, folder / "project", environ, **inputs)
    return Stubbed(**vars(ran), arguments=(folder / "arguments").read_text().splitlines(), github=(folder / "github").read_text().strip())


@pytest.mark.parametrize("script", scripts())
def test_each_script_is_bash(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", scripts())
def test_no_script_holds_text_of_an_input(script: str) -> None:
    assert "${{" not in script


def test_each_input_is_used_and_each_used_is_an_input() -> None:
    document = action()
    used = set(re.findall(r"inputs\.([a-z-]+)", ACTION.read_text()))
    assert used == set(document["inputs"])
    assert all(spec["description"] for spec in document["inputs"].values())


def test_each_step_names_its_shell_and_others_actions_their_major_version() -> None:
    assert all(step.get("shell") == "bash" for step in steps() if "run" in step)
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)+@v\d+", step["uses"]) for step in steps() if "uses" in step)


def test_what_is_uploaded_is_uploaded_whatever_the_gate_said() -> None:
    assert all(step["if"].startswith("always() && ") for step in steps() if "uses" in step)


def test_the_page_explains_each_input_and_nothing_else() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(action()["inputs"])


@pytest.mark.parametrize("block", page_blocks("yaml"))
def test_examples_on_the_page_parse_and_use_inputs_that_exist(block: str) -> None:
    document = YAML(typ="safe").load(block)
    for job in document.get("jobs", {}).values():
        for step in job["steps"]:
            if "celery-harness" in step.get("uses", ""):
                assert set(step["with"]) <= set(action()["inputs"])


def test_inputs_become_options_and_text_stays_text(tmp_path: Path) -> None:
    ran = run_gate_script(
        tmp_path,
        runtime="processes",
        budget="5m 30s",
        tags="ci,$(touch pwned)",
        baseline="a b.json",
        options="  --require-all --tolerance\n20% ",
        files="scenarios/one two.yaml\n\n; touch pwned\n",
    )
    assert ran.code == 0 and not list(tmp_path.rglob("pwned"))
    assert ran.arguments == [
        *("gate", "--runtime", "processes", "--tags", "ci,$(touch pwned)", "--budget", "5m 30s", "--baseline", "a b.json"),
        *("--require-all", "--tolerance", "20%", "scenarios/one two.yaml", "; touch pwned", "--reports", "reports"),
    ]


def test_what_is_not_given_is_left_to_the_project(tmp_path: Path) -> None:
    ran = run_gate_script(tmp_path)
    assert ran.arguments == ["gate", "--reports", "reports"] and ran.github == "true"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 143])
def test_it_ends_as_the_gate_does_and_keeps_the_reports(code: int, tmp_path: Path) -> None:
    ran = run_gate_script(tmp_path, stub_exit=code)
    reports = tmp_path / "project" / "reports"
    assert ran.code == code
    assert ran.outputs == {
        "artifact": "celery-harness",
        "exit-code": str(code),
        "reports": str(reports),
        "sarif": str(reports / "gate" / "gate.sarif"),
    }


def test_findings_of_an_earlier_gate_are_not_taken_for_this_one(tmp_path: Path) -> None:
    run_gate_script(tmp_path)
    ran = run_gate_script(tmp_path, stub="#!/usr/bin/env bash\nexit 2\n")
    assert ran.code == 2 and "sarif" not in ran.outputs


def test_a_shard_is_named_and_leaves_telling_to_the_merge(tmp_path: Path) -> None:
    ran = run_gate_script(tmp_path, shard="2/4")
    assert ran.arguments[:3] == ["gate", "--shard", "2/4"] and ran.github == ""
    assert ran.outputs["artifact"] == "celery-harness-shard-2-of-4"


def test_shards_are_found_where_they_were_downloaded(tmp_path: Path) -> None:
    for number in (1, 2):
        gate = tmp_path / "shards" / f"celery-harness-shard-{number}-of-2" / "gate"
        gate.mkdir(parents=True)
        (gate / "gate.json").write_text("{}")
    ran = run_gate_script(tmp_path, merge="shards")
    found = [str(tmp_path / "shards" / f"celery-harness-shard-{n}-of-2" / "gate" / "gate.json") for n in (1, 2)]
    assert ran.arguments == ["merge", *found, "--reports", "reports"] and ran.github == "true"
    assert run_gate_script(tmp_path, merge=str(tmp_path / "shards")).arguments == ran.arguments


def test_no_shard_at_all_is_said(tmp_path: Path) -> None:
    ran = run_gate_script(tmp_path, merge="shards")
    assert ran.code == 2 and ran.arguments == [] and ran.out.startswith("::error title=celery-harness::no shard left a gate.json")
    assert ran.outputs["exit-code"] == "2"


def test_a_harness_that_is_not_installed_is_said(tmp_path: Path) -> None:
    ran = run_gate_script(tmp_path, stub="")
    assert ran.code == 2 and "::error title=celery-harness::celery-harness is not on PATH" in ran.out


def test_install_runs_several_commands_and_stops_at_the_first_that_fails(tmp_path: Path) -> None:
    script = next(step["run"] for step in steps() if step.get("name") == "Install")
    install = "echo one >log\nfalse\necho two >>log"
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env={**os.environ, "INSTALL": install})
    assert done.returncode == 1 and (tmp_path / "log").read_text() == "one\n"
