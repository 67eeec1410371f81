"""`make certificates`: N runs, and two at once, leave certificates that are equal byte by byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "sample_tasks/crashes/explore.yaml"
#: One of each service, and what varies by itself: keys that expire, random ids, times, requests, mail.
TASKS = ("payment.upserted", "charge.keyed", "invoice.replaced", "visitors.collected", "welcome.marked_after", "right.random_id_in_log")
N = int(os.environ.get("N", "50"))


def main() -> int:
    """0: all equal."""
    with tempfile.TemporaryDirectory(prefix="certificates-") as name:
        project = Path(name)
        shutil.copytree(ROOT / "sample_tasks", project / "sample_tasks", ignore=shutil.ignore_patterns("__pycache__", "certificates"))
        items = [{"task": task, "args": [7]} for task in TASKS]
        (project / "some.yaml").write_text(json.dumps({"version": 1, "extends": SCENARIO, "explore": items}))
        seen: dict[str, dict[str, int]] = {task: {} for task in TASKS}
        for number in range(1, N + 1):
            begun = time.monotonic()
            at_once = [start(project, f"{number}-{n}", number) for n in range(2 if number % 5 == 0 else 1)]
            codes = [process.wait() for process in at_once]
            for n, code in enumerate(codes):
                if code:
                    print(f"run {number}-{n} ended with exit code {code}", flush=True)
                    return 1
                note(project / f"{number}-{n}", seen)
            kinds = max(map(len, seen.values()))
            print(f"run {number}: {len(at_once)} at once, {time.monotonic() - begun:.1f} s, {kinds} kinds at most", flush=True)
    for task, digests in seen.items():
        print(f"{task}: {digests}")
    return 0 if all(len(digests) == 1 for digests in seen.values()) else 1


def start(project: Path, folder: str, seed: int) -> subprocess.Popen[bytes]:
    """Its certificates go into a folder of their own."""
    command = [sys.executable, "-m", "harness.cli", "certify", "some.yaml", "--folder", folder, "--time", "5m", "--seed", str(seed)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"}
    return subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.DEVNULL)


def note(folder: Path, seen: dict[str, dict[str, int]]) -> None:
    """Count what is there, by content."""
    for task, digests in seen.items():
        (path,) = folder.glob(f"*{task}*.json")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        digests[digest] = digests.get(digest, 0) + 1


if __name__ == "__main__":
    sys.exit(main())
