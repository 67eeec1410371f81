"""`make bench`: every ratio, as a table and in reports/bench/latest.json. Exits 1 only when something could not be measured."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measurement import Measurement

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("bench_startup", "bench_scenario", "bench_agent", "bench_judge", "bench_load", "bench_proxy", "bench_locust", "bench_explore")


def main() -> int:
    """All parts; a part that cannot be measured is said and does not stop the others."""
    sys.path.insert(0, str(ROOT))
    found: list[Measurement] = []
    failed = []
    for part in PARTS:
        print(f"{part} …", flush=True)
        try:
            found += importlib.import_module(part).measure()
        except Exception:
            traceback.print_exc()
            failed.append(part)
    target = ROOT / "reports" / "bench" / "latest.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([m.row() for m in found], indent=2) + "\n")
    print()
    for m in found:
        low, high = m.spread
        print(
            f"{'ok  ' if m.ok else 'MISS'} {m.ratio:9.3f}  goal {m.goal:<9} {m.runs:3} runs, {low:.3f} to {high:.3f}  {m.name} ({m.unit})"
        )
    for part in failed:
        print(f"could not be measured: {part}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
