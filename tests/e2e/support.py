"""A small project of a user's, and the command line run on it as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

APP = '''"""A shop."""
import os
import time

from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1


@app.task(name="shop.work")
def work(n):
    seconds = float(os.environ.get("SHOP_SECONDS", "0.05"))
    time.sleep(seconds / 2)
    time.sleep(seconds / 2)
    return n
'''

SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 7,
    "system": {"app": "shop:app", "broker": "redis", "redelivery": "2s", "workers": {"pay": {"replicas": 1, "concurrency": 1}}},
    "load": [{"send": "shop.work", "args": [1], "count": 4}],
    "drain": {"timeout": "20s"},
    "checks": {"no_loss": {}},
}


@dataclass
class Project:
    """A folder with an app and scenarios."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def scenario(self, name: str = "s", **changes: Any) -> Path:
        """Write a scenario (JSON is YAML); top-level keys replace the defaults, `system` is merged."""
        document = {**SCENARIO, **changes, "system": {**SCENARIO["system"], **changes.get("system", {})}}
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(document, indent=1))
        return path

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `celery-harness …` in the project's folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "NO_COLOR": "1", **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.command(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def result(self, run: str = "latest", reports: str = "reports") -> dict[str, Any]:
        """The newest run's result.json."""
        document: dict[str, Any] = json.loads((self.folder / reports / run / "result.json").read_text())
        return document


def project(folder: Path, **files: str) -> Project:
    """With the shop, and further modules by name."""
    for name, text in {"shop": APP, **files}.items():
        (folder / f"{name}.py").write_text(text)
    return Project(folder)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes of runs that were started in this folder, but for the harness itself: they all carry a run's id."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            marked = "CELERY_HARNESS_RUN" in environment
            ours = environment.get("PWD") == str(folder) or str(folder) in " ".join(environment.values())
            if marked and ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of a condition; AssertionError with `what` after the deadline.

    A process that ends while the condition looks at it makes it false. Some look at every process there is: then it waits as long as it
    looks, or it would take the processor from what it waits for.
    """
    deadline = time.monotonic() + seconds
    while True:
        value, begun = None, time.monotonic()
        with contextlib.suppress(psutil.NoSuchProcess):
            value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(max(0.02, time.monotonic() - begun))


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> tuple[str, str]:
    """Signal and collect."""
    process.send_signal(number)
    return process.communicate(timeout=60)
