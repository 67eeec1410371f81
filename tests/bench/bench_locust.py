"""What CeleryUser costs: its `send` against `apply_async` in a loop, both under gevent in one process, in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measurement import Measurement, ratio_of_medians
from server import bare_redis

CALLS = 1_000
PAIRS = 15
PROGRAM = """
import sys
sys.path.insert(0, AGENT)
import locust  # first of all: gevent's patches
import json, time
from celery import Celery
from locust.env import Environment
from celery_harness_locust import CeleryUser
from measurement import pairs

app = Celery("bench")
app.conf.update(task_ignore_result=True)

@app.task(name="bench.noop", shared=False)
def noop(n):
    pass

class User(CeleryUser):
    host = BROKER

User.app = app
environment = Environment(user_classes=[User])
environment.create_local_runner()
user = User(environment)

def bare():
    begun = time.perf_counter()
    for n in range(CALLS):
        noop.apply_async((n,))
    return CALLS / (time.perf_counter() - begun)

def celery_user():
    begun = time.perf_counter()
    for n in range(CALLS):
        user.celery.send("bench.noop", n)
    return CALLS / (time.perf_counter() - begun)

found = pairs(celery_user, bare, PAIRS)
assert environment.stats.get("bench.noop", "publish").num_requests == CALLS * (PAIRS + 1)
print(json.dumps(found))
"""


def measure() -> list[Measurement]:
    """One ratio: calls per second of CeleryUser to those of the loop."""
    here = Path(__file__).resolve().parent
    agent = here.parents[1] / "harness" / "agent"
    with bare_redis() as url, tempfile.TemporaryDirectory() as folder:
        facts = f"AGENT, BROKER, CALLS, PAIRS = {str(agent)!r}, {url!r}, {CALLS}, {PAIRS}\n"
        child = subprocess.run(
            [sys.executable, "-c", facts + PROGRAM],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(here)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    if child.returncode:
        raise RuntimeError(child.stderr)
    found = [(float(a), float(b)) for a, b in json.loads(child.stdout)]
    return [ratio_of_medians("CeleryUser ÷ apply_async in a loop", found, ">= 0.95", "calls/s")]


if __name__ == "__main__":
    for measured in measure():
        print(measured)
