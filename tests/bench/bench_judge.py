"""How long a million recorded events take to be read, folded and judged by every check, and how much memory.

Run as a program it prints the figures of one round. The work is done in a child process, so that the peak of memory
is that of reading and judging alone, not of writing the journals.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

RECORDS = 1_000_000
RUNS = 5
_T0 = 5_000.0
_WALL = 1_700_000_000.0
_RATE = 1_000.0  # calls per second
_CHUNK = 1 << 20


class _Journal:
    """One process's file: JSON lines in a file that grows by whole chunks of zeros, as the agent leaves it."""

    def __init__(self, folder: Path, pid: int, name: str, role: str, ppid: int = 1) -> None:
        self.stem = f"{pid}-{round((_T0 - 5) * 1e9)}"
        self.stream = (folder / f"{self.stem}.journal").open("wb")
        self.pid, self.count, self.ids, self.size = pid, 0, 0, 0
        self.put("open", -5, v=1, w=round((_WALL - 5) * 1e9), pid=pid, ppid=ppid, name=name, role=role, host="bench")

    def put(self, kind: str, at: float, **fields: Any) -> None:
        line = json.dumps({"k": kind, "m": round((_T0 + at) * 1e9), **fields}, separators=(",", ":")).encode() + b"\n"
        rest = _CHUNK - self.size % _CHUNK
        if len(line) > rest:
            self.stream.write(b"\0" * rest)
            self.size += rest
        self.stream.write(line)
        self.size += len(line)
        self.count += 1

    def id(self) -> str:
        self.ids += 1
        return f"{self.stem}:{self.ids}"

    def close(self) -> int:
        self.stream.write(b"\0" * (_CHUNK - self.size % _CHUNK))
        self.stream.close()
        return self.count


def generate(folder: Path, records: int, seed: int = 1) -> dict[str, Any]:
    """Write journals of a run with a kill, retries and injected copies; what a run would know beside them."""
    rng = random.Random(seed)
    producer = _Journal(folder, 100, "producer", "producer")
    mains = [_Journal(folder, 200 + n, f"pay-{n + 1}", "worker") for n in range(4)]
    children = [_Journal(folder, 300 + n, f"pay-{n // 2 + 1}", "worker", ppid=200 + n // 2) for n in range(8)]
    journals = [producer, *mains, *children]
    tasks = {"bench.pay": {"acks_late": True, "max_retries": 3, "retry_backoff": 1, "retry_backoff_max": 60, "retry_jitter": True}}
    for main in mains:
        main.put("settings", -1, config={"result_expires": 3600, "broker_transport_options": {"visibility_timeout": 5}}, tasks=tasks)
        main.put("ready", -1)
        main.put("connected", -1)
    number, kill_at, results = 0, records / 9 / _RATE / 2, {}
    while sum(j.count for j in journals) < records:
        number += 1
        _one_call(rng, number, producer, mains, children, kill_at, results)
    producer.put("load_done", number / _RATE, late=0, dropped=0)
    return {"calls": number, "records": sum(j.close() for j in journals), "kill_at": kill_at, "end": number / _RATE, "results": results}


def _one_call(
    rng: random.Random,
    number: int,
    producer: _Journal,
    mains: list[_Journal],
    children: list[_Journal],
    kill_at: float,
    results: dict[str, Any],
) -> None:
    at = number / _RATE
    task_id, message = f"{rng.getrandbits(128):032x}", producer.id()
    args = json.dumps([[number, rng.random()], {}])
    producer.put("call", at, no=number, n="bench.pay", args=args, due=round(at * 1e9), late=0)
    _publish(producer, at, message, task_id, 0, number)
    producer.put("call_ok", at + 0.001, no=number, id=task_id, ids=[task_id])
    results[task_id] = {"status": "SUCCESS"}
    retries = 0
    while True:
        lane = rng.randrange(8)
        again = _deliver(rng, mains[lane // 2], children[lane], at, message, task_id, retries, number, kill_at)
        if again is None:
            return
        at, message, retries = again


def _publish(
    journal: _Journal, at: float, message: str, task_id: str, retries: int, call: int, cause: str = "", eta: str | None = None
) -> None:
    more = {"cause": cause, "eta": eta, "asked": eta, "expires": None, "parent": None, "root": task_id, "q": "payments"}
    journal.put("publish", at, msg=message, id=task_id, n="bench.pay", r=retries, call=call, **more)
    journal.put("published", at + 0.0005, msg=message)


def _deliver(
    rng: random.Random, main: _Journal, child: _Journal, at: float, message: str, task_id: str, retries: int, call: int, kill_at: float
) -> tuple[float, str, int] | None:
    """One delivery; what comes next if the task is not done with it: when, which message, its retry number."""
    delivery, at = main.id(), at + 0.002
    more = {"copy": 0, "call": call, "cause": "", "foreign": 0, "eta": None, "expires": None, "root": task_id, "parent": None}
    main.put("deliver", at, d=delivery, msg=message, id=task_id, n="bench.pay", r=retries, tag=task_id, re=0, q="payments", **more)
    child.put("start", at + 0.001, d=delivery, id=task_id)
    if main.pid == 200 and retries == 0 and kill_at - 0.02 < at < kill_at:
        return kill_at + 5, message, retries  # its worker is killed, and comes back under the same number
    retry = retries < 3 and rng.random() < 0.02
    done, end = at + 0.005 + rng.random() * 0.01, at + 0.02
    if not retry:
        child.put("end", done, d=delivery, id=task_id, s="SUCCESS")
        main.put("ack", end, d=delivery, id=task_id, tag=task_id)
        return None
    delay, following = rng.randrange(min(60, 2**retries) + 1), child.id()
    eta = datetime.fromtimestamp(_WALL + done + delay, timezone.utc).isoformat()
    _publish(child, done, following, task_id, retries + 1, call, delivery, eta)
    fields = {"e": "builtins.ConnectionError", "msg_text": "refused", "file": "/app/tasks.py", "line": 12, "when": str(delay)}
    child.put("end", done, d=delivery, id=task_id, s="RETRY", **fields)
    main.put("ack", end, d=delivery, id=task_id, tag=task_id)
    return end + delay, following, retries + 1


def judge(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Read, fold and judge; seconds of each part."""
    from harness.checks import CHECKS
    from harness.model.history import Depth, Evidence, FaultRecord
    from harness.model.measuring import measures
    from harness.model.per_second import per_second
    from harness.model.scenario import Scenario
    from harness.ports.check import Recorded
    from harness.run.fold import read_history

    kill_at, end = facts["kill_at"], facts["end"]
    kill = FaultRecord(0, "worker.kill", "at half time", begun=kill_at, ended=kill_at, evidence=Evidence(True, "bit"), killed_pids=(200,))
    began = time.perf_counter()
    history = read_history(
        folder,
        t0=_T0,
        faults=[kill],
        deaths={200: _T0 + kill_at},
        depths=[Depth(n / 4, 3, 8) for n in range(int(end * 4))] + [Depth(end + 10, 0, 0)],
        results=facts["results"],
        load_ended=end,
        healed_at=end,
        quiet_at=end + 10,
        stopped_at=end + 11,
        ended=end + 12,
    )
    folded = time.perf_counter()
    scenario = Scenario.model_validate({"version": 1, "system": {"app": "bench:app"}, "load": [{"send": "bench.pay", "count": 1}]})
    recorded = Recorded(scenario=scenario, history=history, semantics={"pop_before_unacked": True})
    parameters: dict[str, Any] = {
        "retry_policy": {"bench.*": {"max_retries": 3, "backoff": "exponential", "base": "1s", "cap": "60s", "jitter": "full"}},
        "thresholds": {"end_to_end_latency": ["p(95) < 60s"], "run_time": ["p(99) < 1s"], "throughput{phase:healthy}": ["mean > 1/s"]},
    }
    checks = {}
    for name, check in CHECKS.items():
        start = time.perf_counter()
        result = check(check.Parameters.model_validate(parameters.get(name, {}))).judge(recorded)
        checks[name] = {"seconds": round(time.perf_counter() - start, 3), "verdict": str(result.verdict), "summary": result.summary}
    start = time.perf_counter()
    samples = recorded.readings.samples
    rows, _ = measures(samples)
    assert rows and per_second(samples) is not None and recorded.readings.little is not None
    measured = time.perf_counter() - start
    total = time.perf_counter() - began
    return {
        "records": history.records,
        "seconds": round(total, 3),
        "fold_seconds": round(folded - began, 3),
        "measure_seconds": round(measured, 3),
        "records_per_second": round(history.records / total),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "torn": history.torn,
        "checks": checks,
    }


def figures(folder: Path) -> dict[str, Any]:
    """What `judge` finds in a fresh process: records, seconds, records_per_second, peak_rss_mib, and each check's part."""
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, __file__, "--judge", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True, env={**os.environ, "PYTHONPATH": root})
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rounds(records: int = RECORDS, runs: int = RUNS) -> list[dict[str, Any]]:
    """Generate once; read and judge ``runs`` times."""
    with tempfile.TemporaryDirectory(prefix="celery-harness-bench-") as name:
        folder = Path(name)
        (folder / "facts.json").write_text(json.dumps(generate(folder, records)))
        return [figures(folder) for _ in range(runs)]


def measure() -> list[Any]:
    """Seconds and memory against their goals. `idempotent` has no clean passes here and answers at once: it has no part in this."""
    from measurement import Measurement

    found = rounds()
    wanted = (("seconds", "<= 10", "s"), ("peak_rss_mib", "<= 1024", "MiB"))
    return [
        Measurement(
            f"1,000,000 events read and judged, {key.replace('_', ' ')}",
            statistics.median(one[key] for one in found),
            goal,
            unit,
            len(found),
            (min(one[key] for one in found), max(one[key] for one in found)),
        )
        for key, goal, unit in wanted
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--judge"]:
        place = Path(sys.argv[2])
        sys.stdout.write(json.dumps(judge(place, json.loads((place / "facts.json").read_text()))))
    else:
        sys.stdout.write(json.dumps(rounds(runs=1)[0], indent=2) + "\n")
