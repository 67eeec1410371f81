"""Scenario start-up against a bare redis-server and a bare worker; `import harness` and `--help` against the bare interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measurement import Measurement, pairs, ratio_of_medians
from server import bare_redis

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 7
APP = """
import os
from celery import Celery
app = Celery("startup", broker=os.environ.get("CELERY_BROKER_URL"))
@app.task(name="startup.noop")
def noop():
    pass
"""
SCENARIO = """
version: 1
system: {app: "startapp:app", broker: redis, workers: {w: {replicas: 1, concurrency: 1}}}
load: [{send: startup.noop, count: 1}]
"""


def bare(folder: Path) -> float:
    """Seconds until a bare worker on a bare Redis says that it is ready."""
    begun = time.monotonic()
    with bare_redis() as url:
        command = [sys.executable, "-m", "celery", "-A", "startapp:app", "worker", "-c", "1", "-l", "INFO"]
        command += ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        env = {**os.environ, "CELERY_BROKER_URL": url, "PYTHONPATH": str(folder)}
        worker = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        assert worker.stderr is not None
        for line in worker.stderr:
            if b" ready." in line:
                break
        took = time.monotonic() - begun
        os.killpg(worker.pid, 9)
        worker.wait()
        worker.stderr.close()
    return took


def ours(folder: Path) -> float:
    """Seconds from opening a system to ready workers and producer."""
    from harness.assembly import build_cell, choose_runtime, registry
    from harness.ports.clock import MonotonicClock
    from harness.ports.runtime import PassPlan
    from harness.run.passes import PassDriver
    from harness.scenario import load_scenarios

    clock = MonotonicClock()
    (loaded,) = load_scenarios(folder / "start.yaml", registry())
    cell = build_cell(loaded, folder, clock)
    with tempfile.TemporaryDirectory() as reports:
        plan = cell.system("0101-000000-0000", Path(reports))
        system = choose_runtime("processes").system(plan)
        begun = time.monotonic()
        try:
            system.open()
            driver = PassDriver(system, cell.scenario, clock, lambda event: None, lambda: None)
            driver.begin(PassPlan("faults", cell.calls, "timed"))
            return time.monotonic() - begun
        finally:
            system.close()


def whole(command: list[str]) -> float:
    """Seconds of one command."""
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.monotonic() - begun


def measure() -> list[Measurement]:
    """Three ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "startapp.py").write_text(APP)
        (folder / "start.yaml").write_text(SCENARIO)
        start = pairs(lambda: ours(folder), lambda: bare(folder), PAIRS)
    nothing = [sys.executable, "-c", "pass"]
    imported = pairs(lambda: whole([sys.executable, "-c", "import harness"]), lambda: whole(nothing), 11)
    helped = pairs(
        lambda: whole([sys.executable, "-m", "harness.cli", "--help"]), lambda: whole([sys.executable, "-c", "import click"]), 11
    )
    return [
        ratio_of_medians("scenario start-up / bare redis-server and worker until ready", start, "<= 1.25", "s / s"),
        ratio_of_medians("import harness / bare interpreter", imported, "<= 1.2", "s / s"),
        ratio_of_medians("celery-harness --help / import click", helped, "<= 1.5", "s / s"),
    ]
