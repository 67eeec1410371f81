"""Same seed, same plan, same place: the fault lands at the same (call, point) in 10 of 10 runs, alone or after another one.

`make test` has two of them.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.support import APP, project
from tests.parts import parts

MIDDLE = next(n for n, line in reversed(list(enumerate(APP.splitlines(), 1))) if "time.sleep" in line)


@pytest.mark.parametrize(("commands", "runs"), parts([(1, 2), (2, 5)], quick=[(1, 2)]))
def test_the_fault_lands_at_the_same_call_and_line_in_all_runs(tmp_path: Path, commands: int, runs: int) -> None:
    shop = project(tmp_path)
    file = shop.scenario(
        system={"redelivery": "1s", "workers": {"pay": {"replicas": 2, "concurrency": 1}}},
        load=[{"send": "shop.work", "args": [1], "count": 12}],
        timeline=[
            {"when": {"task": "shop.work", "reaches": f"shop.py:{MIDDLE}", "call": 5}, "fault": "task.crash", "restart_after": "100ms"}
        ],
    )

    def once(number: int) -> list[tuple[object, ...]]:
        done = shop.run("run", *[str(file)] * runs, "--reports", f"reports-{number}", "--json", timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        results = [json.loads(line)["result"] for line in done.stdout.splitlines() if '"event":"result"' in line]
        return [(fault["call"], fault["file"], fault["line"], fault["bit"]) for result in results for fault in result["faults"]]

    with ThreadPoolExecutor(2) as pool:
        landed = [place for places in pool.map(once, range(commands)) for place in places]
    assert landed == [(5, "shop.py", MIDDLE, True)] * commands * runs
