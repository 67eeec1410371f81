"""The load generator: how fast it sends, beside kombu and apply_async alone, and how exactly when it is not at its limit."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measurement import Measurement, pairs, ratio_of_medians
from server import bare_redis

HERE = Path(__file__).resolve().parent
AGENT = HERE.parents[1] / "harness" / "agent"
COUNT = 2_000
PAIRS = 11
SECONDS = 4
DEADLINE = 60.0
APP = """
from celery import Celery
app = Celery("bench")
@app.task(name="bench.noop")
def noop(*args):
    pass
"""


class Bench:
    """A redis-server, the bare program, and a producer of the agent's for each batch."""

    def __init__(self, folder: Path, url: str, bare: subprocess.Popen[str]) -> None:
        self.folder, self.url, self.bare = folder, url, bare
        self.batches = 0

    def alone(self, way: str) -> float:
        """Messages per second of the bare program."""
        assert self.bare.stdin is not None and self.bare.stdout is not None
        self._flush()
        self.bare.stdin.write(f"{way} {COUNT}\n")
        self.bare.stdin.flush()
        return _rate([moment / 1e9 for moment in json.loads(self.bare.stdout.readline())])

    def generator(self, calls: list[list[int]], **item: Any) -> Any:
        """What `generator_of` says of a load that the agent's producer sent, and messages per second from the first to the last."""
        from harness.model.generating import generator_of
        from harness.run.fold import read_history

        self.batches += 1
        self._flush()
        journal = self.folder / f"journal-{self.batches}"
        settings = self.folder / "producer.json"
        plan = {
            "seed": 1,
            "items": [{"send": "bench.noop", "args": [7, "x" * 40], "queue": "ours", **item}],
            "calls": calls,
            "mode": "timed",
        }
        settings.write_text(json.dumps(_settings(self.folder, journal, self.url, plan)))
        start = self._run(settings, journal)
        history = read_history(journal, t0=start / 1e9)
        assert len(history.calls) == len(calls) and all(call.publish == "ok" for call in history.calls.values())
        moments = sorted(call.sent or 0.0 for call in history.calls.values())
        return generator_of(history), _rate([*moments, max(m.ok or 0.0 for m in history.messages.values())])

    def _run(self, settings: Path, journal: Path) -> int:
        env = {**os.environ, "PYTHONPATH": f"{AGENT}{os.pathsep}{self.folder}", "CELERY_HARNESS_AGENT": str(settings)}
        command = [sys.executable, "-m", "celery_harness_agent", "producer"]
        with (self.folder / "producer.log").open("wb") as log:
            process = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
        try:
            _wait(journal, '"k":"ready"', process)
            assert process.stdin is not None
            start = time.monotonic_ns() + 50_000_000
            process.stdin.write(f"go {start}\n")
            process.stdin.flush()
            _wait(journal, '"k":"load_done"', process)
            process.stdin.write("stop\n")
            process.stdin.flush()
            process.wait(DEADLINE)
            return start
        finally:
            process.kill()
            process.wait()

    def _flush(self) -> None:
        """What was published is nobody's; Redis must not grow from batch to batch."""
        import redis

        redis.Redis.from_url(self.url).flushall()


def _rate(moments: list[float]) -> float:
    """Messages per second, one after the other, without the tenth that took longest: what else runs here interrupts either side."""
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(moments))
    kept = gaps[: len(gaps) * 9 // 10]
    return len(kept) / sum(kept)


def _wait(journal: Path, word: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not any(word.encode() in path.read_bytes() for path in journal.glob("*.journal")):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"the producer never recorded {word}")
        time.sleep(0.2)  # reading takes processor time from what is measured


def _settings(folder: Path, journal: Path, url: str, plan: dict[str, Any]) -> dict[str, Any]:
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    return {
        "run": "bench", "pass": "faults", "role": "producer", "name": "producer", "journal": str(journal), "app": "benchapp:app",
        "root": str(folder), "broker": url, "backend": None, "config": {}, "allow": [["127.0.0.1", port]], "egress": [], "retry_divisor": 1,
        "triggers": [], "trigger_folder": str(folder), "plan": plan,
    }  # fmt: skip


@contextlib.contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as name, bare_redis() as url:
        folder = Path(name)
        (folder / "benchapp.py").write_text(APP)
        command = [sys.executable, str(HERE / "load_program.py"), url]
        bare = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield Bench(folder, url, bare)
        finally:
            bare.kill()
            bare.wait()


def _at_once() -> list[list[int]]:
    return [[number, 0, 0] for number in range(1, COUNT + 1)]


def _accuracy(bench: Bench, capacity: float) -> list[Measurement]:
    """How far the achieved rate is from the intended one, at rates that the generator can reach."""
    found = []
    for rate in (10.0, 100.0, *(share * capacity for share in (0.25, 0.5, 0.8))):
        calls = [[number + 1, 0, round(number / rate * 1e9)] for number in range(round(rate * SECONDS))]
        made, _ = bench.generator(calls)
        off = abs(made.achieved / made.intended - 1)
        name = f"arrivals at {rate:,.0f}/s ({rate / capacity:.0%} of apply_async's capacity): |achieved / intended - 1|"
        unit = f"worst gap {made.worst_gap * 1000:.1f} ms, lag p99 {made.lag_p99 * 1000:.2f} ms, {made.bottleneck or 'no bottleneck'}"
        found.append(Measurement(name, off, "<= 0.01", unit, 1, (off, off)))
    return found


def measure() -> list[Measurement]:
    """Prepared beside raw kombu, apply_async beside a bare loop of it, then accuracy up to 80 % of what was just measured."""
    with _bench() as bench:
        prepared = pairs(lambda: bench.generator(_at_once(), prepare=True)[1], lambda: bench.alone("raw"), PAIRS)
        plain = pairs(lambda: bench.generator(_at_once())[1], lambda: bench.alone("bare"), PAIRS)
        capacity = sorted(ours for ours, _ in plain)[len(plain) // 2]
        return [
            ratio_of_medians("generator, prepared / raw kombu on one connection", prepared, ">= 0.9", "messages/s / messages/s"),
            ratio_of_medians("generator, apply_async / apply_async in a bare loop", plain, ">= 0.9", "messages/s / messages/s"),
            *_accuracy(bench, capacity),
        ]
