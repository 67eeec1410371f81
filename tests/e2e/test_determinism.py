"""Same seed, same plan, same place: the fault lands at the same (call, point) in 10 of 10 runs, alone or after another one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.support import APP, project

COMMANDS, RUNS = 2, 5
MIDDLE = next(n for n, line in reversed(list(enumerate(APP.splitlines(), 1))) if "time.sleep" in line)


def test_the_fault_lands_at_the_same_call_and_line_in_all_runs(tmp_path: Path) -> None:
    shop = project(tmp_path)
    file = shop.scenario(
        system={"redelivery": "1s", "workers": {"pay": {"replicas": 2, "concurrency": 1}}},
        load=[{"send": "shop.work", "args": [1], "count": 12}],
        timeline=[
            {"when": {"task": "shop.work", "reaches": f"shop.py:{MIDDLE}", "call": 5}, "fault": "task.crash", "restart_after": "100ms"}
        ],
    )

    def once(number: int) -> list[tuple[object, ...]]:
        done = shop.run("run", *[str(file)] * RUNS, "--reports", f"reports-{number}", "--json", timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        results = [json.loads(line)["result"] for line in done.stdout.splitlines() if '"event":"result"' in line]
        return [(fault["call"], fault["file"], fault["line"], fault["bit"]) for result in results for fault in result["faults"]]

    with ThreadPoolExecutor(2) as pool:
        landed = [place for places in pool.map(once, range(COMMANDS)) for place in places]
    assert landed == [(5, "shop.py", MIDDLE, True)] * COMMANDS * RUNS
