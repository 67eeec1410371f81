"""The composite action's own text, and its main step run as GitHub's runner runs it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / ".github" / "actions" / "celery-harness" / "action.yml"


def action() -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(ACTION)
    return document


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = action()["runs"]["steps"]
    return found


@dataclass
class Ran:
    """What the step ended with, printed, and set as outputs; ``summary``: of the job."""

    code: int
    out: str
    err: str
    outputs: dict[str, str]
    summary: str


def run_gate_step(runner: Path, project: Path, environ: Mapping[str, str], timeout: float = 30, **inputs: str) -> Ran:
    """`bash --noprofile --norc -eo pipefail FILE` in the project's folder. Inputs that are not given have their defaults.

    ``runner``: a folder for what the runner brings along. ``environ``: PATH and whatever else the job has.
    """
    step = next(s for s in steps() if s.get("id") == "gate")
    given = {name: str(spec.get("default", "")) for name, spec in action()["inputs"].items()} | inputs
    texts = {name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: given[found[1]], text) for name, text in step["env"].items()}
    files = {name: runner / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.write_text("")
    script = runner / "script.sh"
    script.write_text(step["run"])
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.parent), **{name: str(path) for name, path in files.items()}}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=project,
        env={**texts, **github, "HOME": os.environ.get("HOME", "/"), **environ},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return Ran(done.returncode, done.stdout, done.stderr, outputs, files["GITHUB_STEP_SUMMARY"].read_text())
