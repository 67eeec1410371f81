"""A project with a gate: a shop, its broken twin, and their scenarios, in a repository of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.support import Project, project

SHOP = '''"""A shop."""
import os
import time

from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1


@app.task(name="shop.work")
def work(n):
    time.sleep(0.005)
    return n
'''
#: Acknowledges before it works, and works long enough for the ack to arrive: a worker killed at its last line takes the order along.
BROKEN = SHOP.replace("task_acks_late = True", "task_acks_late = False").replace("sleep(0.005)", "sleep(2.0)")
LINE = next(n for n, line in enumerate(BROKEN.splitlines(), 1) if "return n" in line)

SYSTEM = {
    "app": "shop:app",
    "broker": "redis",
    "redelivery": "1s",
    "workers": {"pay": {"replicas": 1, "concurrency": 1, "pool": "solo"}},
}
#: Of fewer than ten calls it does not matter how late they are sent: on a busy machine the generator does not get to run in time.
CALLS = 9
LOAD = [{"send": "shop.work", "args": [1], "count": CALLS}]


def gate_project(folder: Path) -> Project:
    """With the shop and its broken twin; no scenario yet, nothing committed."""
    made = project(folder, shop=SHOP, shop_broken=BROKEN)
    (folder / "scenarios").mkdir()
    (folder / "pyproject.toml").write_text('[tool.celery-harness.gate]\nruntime = "processes"\n')
    return made


def write_scenario(made: Project, name: str, **changes: Any) -> Path:
    """Below `scenarios/`; `system` is merged."""
    return made.scenario(
        f"scenarios/{name}", **{"tags": ["ci"], "load": LOAD, **changes, "system": {**SYSTEM, **changes.get("system", {})}}
    )


def commit(made: Project, message: str = "a change") -> str:
    """Everything that is there; the commit."""
    identity = ["-c", "user.name=Shop", "-c", "user.email=shop@example.invalid", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", message]):
        subprocess.run(["git", *arguments], cwd=made.folder, check=True, capture_output=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=made.folder, check=True, capture_output=True, text=True).stdout.strip()


def gate_of(made: Project, reports: str = "reports") -> dict[str, Any]:
    """The last gate.json."""
    document: dict[str, Any] = json.loads((made.folder / reports / "gate" / "gate.json").read_text())
    return document


def told(done: subprocess.CompletedProcess[str]) -> str:
    """All that it said, for a failed assertion."""
    return f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
