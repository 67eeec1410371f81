"""Five capacity searches of one system: do they agree within their stated intervals? About twelve minutes on a quiet machine.

`python tests/bench/bench_capacity.py`, from the project's folder; not part of `make bench` for its time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from measurement import Measurement

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "scenarios/payments/charge-survives-worker-kill.yaml"
SEARCHES = 5
COMMAND = (
    "load",
    SCENARIO,
    "--runtime",
    "processes",
    "--find-capacity",
    "--p95",
    "500ms",
    "--trial",
    "4s",
    "--precision",
    "20%",
    "--budget",
    "140s",
)


def search(seed: int, folder: Path) -> dict[str, Any]:
    """`capacity.json` of one."""
    reports = folder / str(seed)
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *COMMAND, "--seed", str(seed), "--reports", str(reports)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=260,
    )
    files = [*reports.glob("capacity/*/capacity.json")]
    if not files:
        raise RuntimeError(f"search {seed} ended with {done.returncode}: {done.stdout}{done.stderr}")
    document: dict[str, Any] = json.loads(files[0].read_text())
    return document


def measure() -> list[Measurement]:
    """The highest lower end by the lowest upper end: at most 1 where all intervals have a rate in common."""
    with tempfile.TemporaryDirectory() as name:
        found, verdicts = [], []
        for seed in range(1, SEARCHES + 1):
            made = search(seed, Path(name))
            one = made["capacity"]
            verdicts.append((made["verdict"], made["headline"]))
            found.append((one["low"] or 0.0, one["high"] or float("inf")))
            print(f"  {made['headline']}  {len(made['trials'])} trials in {made['took']:.0f} s", flush=True)
    if vague := [headline for verdict, headline in verdicts if verdict != "pass"]:
        raise RuntimeError(f"a search that found nothing agrees with everything: {vague[0]}")
    highest, lowest = max(low for low, _ in found), min(high for _, high in found)
    unit = f"intervals in common: {highest:.3g} to {lowest:.3g} calls per second"
    return [
        Measurement(
            "capacity searches: highest lower end / lowest upper end", highest / lowest, "<= 1.0", unit, SEARCHES, (highest, lowest)
        )
    ]


if __name__ == "__main__":
    (result,) = measure()
    print(f"{'agree' if result.ok else 'DO NOT AGREE'}: {result.ratio:.3f}, {result.unit}")
    raise SystemExit(0 if result.ok else 1)
