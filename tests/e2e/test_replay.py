"""`celery-harness replay --confirm`: what `explore` has saved, by true SIGKILLs in a real worker on a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

_APP = '''
import os
from pathlib import Path

from celery import Celery

app = Celery("shop", broker="redis://nowhere.invalid")


@app.task
def lost(number):
    """Acknowledged before it runs."""
    (Path(os.environ["DOCUMENTS"]) / f"{number}.txt").write_text("done")


@app.task(acks_late=True)
def unlucky(number):
    """Survives one crash at any moment; whoever comes after two gives up."""
    folder = Path(os.environ["DOCUMENTS"])
    tried = [folder / "tried-1", folder / "tried-2"]
    if all(one.exists() for one in tried):
        return "given up"
    next(one for one in tried if not one.exists()).open("x").close()
    coming = folder / "coming"
    coming.write_text("done")
    coming.replace(folder / f"{number}.txt")
    for one in tried:
        one.unlink(missing_ok=True)
'''
_SCENARIO = {
    "version": 1,
    "system": {"app": "shop:app", "broker": "redis", "services": {"documents": "files"}, "env": {"DOCUMENTS": "${{ documents.path }}"}},
    "explore": [{"task": "shop.lost", "args": [7]}, {"task": "shop.unlucky", "args": [7]}],
}


def command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"},
    )


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Explored, as far as a test asks for it; its findings are saved."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "shop.py").write_text(_APP)
    (folder / "scenario.yaml").write_text(json.dumps(_SCENARIO))  # JSON is YAML
    both = any(item.name == test_two_kills_one_after_another.__name__ for item in request.session.items)
    done = command(folder, "explore", "scenario.yaml", *(() if both else ("--task", "shop.lost")))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "celery-harness replay reports/" in done.stdout
    return folder


def flaw(project: Path, task: str) -> dict[str, Any]:
    (report,) = project.glob("reports/*-*/exploration.json")  # not that of `latest`, which is a link
    found = next(one for one in json.loads(report.read_text()) if one["task"] == task)
    return dict(found["flaws"][0])


def concluded(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_one_kill_of_what_was_acknowledged_early(project: Path) -> None:
    found = flaw(project, "shop.lost")
    assert found["word"] == "LOST" and not Path(found["saved"]).is_absolute()
    done = command(project, "replay", found["saved"], "--confirm")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "while a call was pending, effect 1: open 7.txt to write" in " ".join(done.stdout.split())
    assert "CONFIRMED  real workers come to the same LOST" in done.stdout


@pytest.mark.exhaustive
def test_two_kills_one_after_another(project: Path) -> None:
    found = flaw(project, "shop.unlucky")
    assert [one["killed_at"] is None for one in found["path"]] == [False, False, True]
    done = command(project, "replay", found["saved"], "--confirm", "--json")
    assert concluded(done) == {
        "confirm": "confirmed",
        "word": "EFFECT",
        "why": ["real workers come to the same EFFECT: the task fails"],
        "exit_code": 1,
    }, done.stdout[-3000:] + done.stderr
    assert done.returncode == 1


def test_another_effect_at_that_number_is_never_struck(project: Path) -> None:
    saved = project / flaw(project, "shop.lost")["saved"]
    wrong = saved.with_name("wrong.yaml")
    wrong.write_text(saved.read_text().replace("open #.txt to write", "open #.pdf to write"))
    assert wrong.read_text() != saved.read_text()
    done = command(project, "replay", str(wrong), "--confirm", "--json")
    told = concluded(done)
    assert (done.returncode, told["confirm"]) == (4, "undecided"), done.stdout[-3000:] + done.stderr
    assert "effect 1 of the first execution of shop.lost is another" in told["why"][0]
