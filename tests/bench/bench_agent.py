"""What watching costs a worker: no-op tasks, with the agent and without, both workers alive side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measurement import Measurement, pairs, ratio_of_medians
from server import bare_redis

BATCH = 500
PAIRS = 21
APP = """
import os
from celery import Celery
app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_acks_late=ACKS_LATE, task_ignore_result=True, worker_prefetch_multiplier=4)
@app.task(name="bench.noop", shared=False)
def noop():
    pass
"""


class Side:
    """One worker on its own queue."""

    def __init__(self, folder: Path, url: str, queue: str, *, agent: bool) -> None:
        self.queue, self.url = queue, url
        options = ["worker", "-A", "benchapp:app", "-c", "2", "-Q", queue, "-n", f"{queue}@bench", "-l", "WARNING"]
        options += ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        env = {**os.environ, "PYTHONPATH": str(folder), "BENCH_BROKER": url}
        command = [sys.executable, "-m", "celery", "-A", "benchapp:app", *(o for o in options if o not in ("-A", "benchapp:app"))]
        if agent:
            agent_folder = Path(__file__).resolve().parents[2] / "harness" / "agent"
            (folder / "journal").mkdir()
            (folder / "triggers").mkdir()
            settings = folder / "settings.json"
            settings.write_text(json.dumps(_settings(folder, url)))
            env |= {"PYTHONPATH": f"{agent_folder}{os.pathsep}{folder}", "CELERY_HARNESS_AGENT": str(settings)}
            command = [sys.executable, "-m", "celery_harness_agent", *(o for o in options if o not in ("-A", "benchapp:app"))]
        self.log = (folder / f"{queue}.log").open("wb")
        self.process = subprocess.Popen(command, env=env, cwd=folder, stdout=self.log, stderr=self.log, start_new_session=True)

    def cpu(self) -> float:
        """Seconds of CPU of the worker and its children so far."""
        main = psutil.Process(self.process.pid)
        return sum(t.user + t.system for t in (p.cpu_times() for p in [main, *main.children(recursive=True)]))

    def stop(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait()
        self.log.close()


def _settings(folder: Path, url: str) -> dict[str, object]:
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    return {
        "run": "bench", "pass": "bench", "role": "worker", "name": "agent-1", "journal": str(folder / "journal"), "app": "benchapp:app",
        "root": str(folder), "broker": url, "backend": None, "config": {}, "allow": [["127.0.0.1", port]], "egress": [],
        "retry_divisor": 1, "triggers": [], "trigger_folder": str(folder / "triggers"),
    }  # fmt: skip


def batch(app: object, side: Side, client: object) -> tuple[float, float]:
    """(seconds, CPU seconds per task) from the first publish of a batch to its last ack."""
    task = app.tasks["bench.noop"]  # type: ignore[attr-defined]
    cpu, begun = side.cpu(), time.monotonic()
    with app.producer_pool.acquire() as producer:  # type: ignore[attr-defined]
        for _ in range(BATCH):
            task.apply_async(queue=side.queue, producer=producer)
    deadline = time.monotonic() + 60
    while client.llen(side.queue) or client.hlen("unacked"):  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{side.queue} did not finish its batch")
        time.sleep(0.002)
    return time.monotonic() - begun, (side.cpu() - cpu) / BATCH


def measure_one(*, acks_late: bool) -> list[Measurement]:
    """Throughput and CPU for one way of acknowledging."""
    import redis

    label = "late acks" if acks_late else "early acks"
    with tempfile.TemporaryDirectory() as name, bare_redis() as url:
        folder = Path(name)
        (folder / "benchapp.py").write_text(APP.replace("ACKS_LATE", str(acks_late)))
        sys.path.insert(0, str(folder))
        os.environ["BENCH_BROKER"] = url
        sys.modules.pop("benchapp", None)
        import benchapp  # type: ignore[import-not-found]

        client = redis.Redis.from_url(url)
        sides = [Side(folder, url, "agent", agent=True), Side(folder, url, "bare", agent=False)]
        try:
            results: dict[str, list[tuple[float, float]]] = {"agent": [], "bare": []}

            def run(side: Side) -> float:
                results[side.queue].append(batch(benchapp.app, side, client))
                return results[side.queue][-1][0]

            pairs(lambda: run(sides[0]), lambda: run(sides[1]), PAIRS)
        finally:
            for side in sides:
                side.stop()
            sys.path.remove(str(folder))
    agent, bare = results["agent"][1:], results["bare"][1:]
    speed = [(b[0], a[0]) for a, b in zip(agent, bare, strict=True)]
    cpu = [(a[1], b[1]) for a, b in zip(agent, bare, strict=True)]
    return [
        ratio_of_medians(f"worker CPU per no-op task, with the agent / without ({label})", cpu, "<= 1.05", "CPU s / CPU s"),
        ratio_of_medians(f"throughput of no-op tasks, with the agent / without ({label})", speed, ">= 0.95", "tasks/s / tasks/s"),
    ]


def measure() -> list[Measurement]:
    """Early and late acks."""
    return [*measure_one(acks_late=False), *measure_one(acks_late=True)]
