"""`celery-harness explore`: what it says to people, and to whom it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import parts

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "sample_tasks/crashes/explore.yaml"


def explore(*arguments: str, cwd: Path = ROOT, program: tuple[str, ...] = (sys.executable, "-m", "harness.cli")) -> tuple[int, str, str]:
    done = subprocess.run(
        [*program, "explore", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{cwd}"},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_story_with_line_fix_and_the_command_that_shows_it_again(tmp_path: Path) -> None:
    status, out, err = explore(SCENARIO, "--task", "journal.appended", "--time", "5m", "--reports", str(tmp_path))
    assert (status, err) == (1, "")
    text = " ".join(out.split())
    assert "EFFECT After a crash at sample_tasks/crashes/pairs.py:" in text
    assert "The broker delivered the message again." in text
    assert "rename it: never append to it" in text
    assert f"celery-harness explore {SCENARIO} --task journal.appended --args '[7]'" in out
    assert "✕ FAILS  journal.appended(7)" in out


def test_a_certificate_says_what_it_does_not_cover(tmp_path: Path) -> None:
    status, out, _ = explore(SCENARIO, "--task", "journal.rewritten", "--time", "5m", "--reports", str(tmp_path))
    assert status == 0
    assert "✓ CERTIFIED  journal.rewritten(7)" in out
    assert "Not covered:" in out and "power loss" in out


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An app that needs nothing but a broker and a file."""
    (tmp_path / "shop.py").write_text(
        "from pathlib import Path\n"
        "from celery import Celery\n"
        "app = Celery('shop', broker='redis://nowhere.invalid')\n"
        "@app.task(acks_late=True)\n"
        "def idle(number):\n"
        "    return number\n"
        "@app.task(acks_late=True)\n"
        "def broken(number):\n"
        "    raise ValueError(f'no order {number}')\n"
    )
    return tmp_path


def test_an_app_by_its_name_and_a_task_that_changes_nothing(project: Path) -> None:
    status, out, _ = explore("shop:app", "--task", "shop.idle", "--args", "[7]", cwd=project)
    assert status == 4
    assert "the task changes nothing that is observed" in " ".join(out.split())


def test_through_the_celery_program(project: Path) -> None:
    program = (sys.executable, "-m", "celery", "-A", "shop:app", "harness")
    status, out, err = explore("--task", "shop.idle", "--args", "[7]", cwd=project, program=program)
    assert status == 4, err
    assert "? INCONCLUSIVE  shop.idle(7)" in out


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("shop:app", "--task", "shop.idel"), "the app has no task shop.idel"),
    (("shop:app", "--task", "shop.broken", "--args", "[7]"), "shop.broken fails without any crash: ValueError: no order 7"),
    (("shop:app", "--task", "shop.idle"), "shop.idle cannot be called with these arguments"),
    (("shop:app", "--task", "shop.idle", "--args", "{}"), "--args takes a JSON list"),
    (("shop:app", "--task", "shop.idle", "--args", "[7"), "--args is not JSON"),
    (("shop:app",), "which task?"),
    ((), "nothing to explore"),
    (("shop:app", "--args", "[7]"), "--args and --kwargs belong to a task"),
    (("nowhere.yaml",), "there is no file nowhere.yaml"),
    (("shop:app", "--task", "shop.idle", "--time", "5"), "--time: "),
]


@pytest.mark.parametrize(("arguments", "words"), parts(WRONG, quick=[WRONG[number] for number in (0, 1, 4)]))
def test_bad_input_is_refused_and_leaves_no_report(project: Path, arguments: tuple[str, ...], words: str) -> None:
    status, out, err = explore(*arguments, cwd=project)
    assert status == 2, out + err
    assert words in " ".join(err.split())
    reports = project / "reports"
    assert not reports.exists() or list(reports.iterdir()) == []


def test_who_refuses_a_task_has_stopped_its_services(project: Path) -> None:
    """Also servers in threads of the command itself, which nobody can stop once it ends."""
    system = {"app": "shop:app", "services": {"company": "http"}}
    (project / "refused.yaml").write_text(json.dumps({"version": 1, "system": system, "explore": [{"task": "shop.idel"}]}))
    status, _, err = explore("refused.yaml", cwd=project)
    assert status == 2 and "the app has no task shop.idel" in err


def test_a_scenario_that_is_only_explored_has_nothing_to_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", SCENARIO], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert "there is nothing to run: the file only says what to explore" in done.stderr


def test_json_is_one_object_per_task(project: Path) -> None:
    _, out, _ = explore("shop:app", "--task", "shop.idle", "--args", "[7]", "--json", cwd=project)
    (line,) = out.splitlines()
    assert json.loads(line)["verdict"] == "inconclusive"
