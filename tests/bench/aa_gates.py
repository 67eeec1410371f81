"""A/A: many gates of one commit against its own baseline. Whatever is called a regression here is a false alarm.

    python tests/bench/aa_gates.py [GATES]        default 50; BUDGET=2m and CELLS=2 in the environment

Writes `reports/bench/aa-gates.json`. Exits 1 if any gate named a regression, or ended other than with a pass or a suspicion.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.gate_support import commit, gate_of, gate_project, told, write_scenario  # noqa: E402 (not a package of ours)
from tests.e2e.support import Project  # noqa: E402

BUDGET = os.environ.get("BUDGET", "2m")
CELLS = int(os.environ.get("CELLS", "2"))
SAMPLES = 3
LIMIT_SECONDS = 1200


def main(gates: int) -> int:
    """Prints a line per gate, then the counts."""
    with tempfile.TemporaryDirectory(prefix="aa-gates-") as name:
        shop = _shop(Path(name))
        rows = [_gate(shop, number) for number in range(1, gates + 1)]
    outcomes = Counter(outcome for row in rows for outcome in row["outcomes"])
    exits = Counter(row["exit"] for row in rows)
    alarms = sum("regression" in row["outcomes"] for row in rows)
    print(f"\n{gates} gates: {alarms} with a regression; exit codes {dict(sorted(exits.items()))}; comparisons {dict(outcomes)}")
    target = ROOT / "reports" / "bench" / "aa-gates.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    summary = {"gates": gates, "regressions": alarms, "exits": dict(exits), "comparisons": dict(outcomes), "rows": rows}
    target.write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if alarms or set(exits) - {0, 4} else 0


def _shop(folder: Path) -> Project:
    """A committed shop with its baseline: everything at once, and an open loop."""
    shop = gate_project(folder)
    (folder / ".gitignore").write_text("reports/\n__pycache__/\n")
    loads: list[list[dict[str, Any]]] = [
        [{"send": "shop.work", "args": [1], "count": 100}],
        [{"send": "shop.work", "args": [1], "rate": "50/s", "for": "2s"}],
    ]
    for number in range(CELLS):
        write_scenario(shop, f"cell-{number}", load=loads[number % len(loads)], seed=number)
    commit(shop)
    for command in (("gate",), ("baseline", "accept", "--runs", str(SAMPLES))):
        done = shop.run(*command, timeout=LIMIT_SECONDS)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {told(done)}")
    return shop


def _gate(shop: Project, number: int) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        done = shop.run("gate", "--budget", BUDGET, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"gate {number} did not end within {LIMIT_SECONDS} s") from None
    took = round(time.monotonic() - begun, 1)
    if done.returncode not in (0, 1, 4):
        raise RuntimeError(told(done))
    found = [(cell["title"], one) for cell in gate_of(shop)["cells"] for one in cell["comparisons"]]
    outcomes = [one["outcome"] for _, one in found]
    decided = [
        f"{title} {one['measure']} {one['outcome']}: {one['why']}" for title, one in found if one["pairs"] or one["outcome"] == "suspected"
    ]
    print(f"{number:3}  exit {done.returncode}  {took:6.1f} s  load {os.getloadavg()[0]:4.1f}  {'; '.join(decided)}", flush=True)
    return {"exit": done.returncode, "seconds": took, "outcomes": outcomes, "decided": decided}


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
