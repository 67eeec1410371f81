"""`make leaks`: what the engine has after N runs in a row, N in one command and N at four at a time is what it had before."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "scenarios/payments/charge-survives-worker-kill.yaml"
N = int(os.environ.get("N", "20"))


def main() -> int:
    """0: nothing was left, and every run passed."""
    before = seen()
    left: list[str] = []
    with tempfile.TemporaryDirectory(prefix="leaks-") as reports:
        ways = {
            f"{N} commands in a row": [["run", SCENARIO] for _ in range(N)],
            f"{N} runs in one command": [["run", SCENARIO, "--repeat", str(N)]],
            f"{N} runs, four at a time": [["run", SCENARIO, "--repeat", str(N), "-j", "4"]],
        }
        for name, commands in ways.items():
            begun = time.monotonic()
            codes = [command(words, reports) for words in commands]
            more = seen() - before
            left += sorted(more)
            said = "nothing left" if not more else "LEFT: " + ", ".join(sorted(more))
            print(f"{name}: exit codes {sorted(set(codes))}, {time.monotonic() - begun:.0f} s, {said}", flush=True)
            if any(codes):
                left.append(name)
    return 1 if left else 0


def command(words: list[str], reports: str) -> int:
    """Its exit code."""
    line = [sys.executable, "-m", "harness.cli", *words, "--runtime", "containers", "--reports", reports, "--json"]
    return subprocess.run(line, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def seen() -> set[str]:
    """What the engine has, stopped containers too."""
    found = set()
    for kind, listing in (("container", ["ps", "-a"]), ("network", ["network", "ls"]), ("volume", ["volume", "ls"])):
        names = "{{.Names}}" if kind == "container" else "{{.Name}}"
        done = subprocess.run(["docker", *listing, "--format", names], capture_output=True, text=True, check=True)
        found |= {f"{kind} {name}" for name in done.stdout.split()}
    return found


if __name__ == "__main__":
    sys.exit(main())
