"""`python tests/bench/hypothesis_hunt.py --examples 200`: six planted bugs hunted by the state machine, and their right twins.

Per bug: the examples and runs until it was found and until it was small, what is left of it, and whether the saved plan fails
again. Per right twin: the examples, and the findings, of which there must be none. Exits 1 where one differs. The figures are
written to reports/bench/hypothesis_hunt.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hypothesis import seed, settings  # noqa: E402

from harness.testing.machine import HarnessMachine  # noqa: E402
from harness.testing.outcomes import Failed  # noqa: E402
from harness.testing.plan_runner import shared_workshop  # noqa: E402
from tests.e2e.hunts import HUNTS, Hunt, with_budget  # noqa: E402

REPORTS = ROOT / "reports" / "hunt"
REPLAY_SECONDS = 300


@dataclass(frozen=True)
class Row:
    """``runs``: of plans, clean passes not counted. ``outcome``: of a broken twin the finding, of a right one `clean`, or what else."""

    app: str
    outcome: str
    expected: str
    passed: int
    silent: int
    unstable: int
    runs: int
    seconds: float
    plan: str = ""
    replayed: bool | None = None

    @property
    def ok(self) -> bool:
        return self.outcome == self.expected and self.replayed is not False


def main() -> int:
    """All hunts, as a table."""
    parser = argparse.ArgumentParser(description="six planted bugs and their right twins")
    parser.add_argument("--examples", type=int, default=200, help="plans per machine (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="apps with this in their name")
    parser.add_argument("--right", action="store_true", help="the right twins alone")
    asked = parser.parse_args()
    rows = []
    for app, expected, hunt in _wanted(asked.only, right_alone=asked.right):
        rows.append(_hunted(hunt, app, expected, asked.examples, asked.seed))
        print(_line(rows[-1]), flush=True)
    shared_workshop().close()
    target = ROOT / "reports" / "bench" / "hypothesis_hunt.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.ok for row in rows) else 1


def _wanted(only: str, *, right_alone: bool) -> list[tuple[str, str, Hunt]]:
    """Broken twins first. A right twin is hunted once for each bug: its checks and its faults differ."""
    broken = [(hunt.broken, hunt.word, hunt) for hunt in HUNTS]
    right = [(hunt.right, "clean", hunt) for hunt in HUNTS]
    return [wanted for wanted in [*(() if right_alone else broken), *right] if only in wanted[0]]


def _hunted(hunt: Hunt, app: str, expected: str, examples: int, number: int) -> Row:
    machine = seed(number)(hunt.machine(app, REPORTS, with_budget(examples)))
    machine.TestCase.settings = settings(machine.TestCase.settings, database=None)  # type: ignore[attr-defined]
    case: Any = machine.TestCase("runTest")
    begun = time.monotonic()
    plan, replayed = "", None
    try:
        case.runTest()
        outcome = "clean"
    except Failed as exc:
        outcome = str(exc.result.findings[0].word)
        told = re.search(r"Plan\((.*)\) failed twice", str(exc))
        plan = told[1] if told else ""
        replayed = _replayed(exc)
    except AssertionError as exc:
        outcome = str(exc).splitlines()[0]
    return _row(machine, app, expected, outcome, time.monotonic() - begun, plan, replayed)


def _row(machine: type[HarnessMachine], app: str, expected: str, outcome: str, seconds: float, plan: str, replayed: bool | None) -> Row:
    trials = machine.trials
    assert trials is not None
    silent = sum(trials.reasons.values())
    return Row(app, outcome, expected, trials.passed, silent, len(trials.unstable), trials.ran, round(seconds, 1), plan, replayed)


def _replayed(found: Failed) -> bool:
    """Does the saved plan fail again?"""
    command = re.search(r"celery-harness run (\S+)", str(found))
    if command is None:
        return False
    asked = [sys.executable, "-m", "harness.cli", "run", command[1], "--reports", str(REPORTS)]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, timeout=REPLAY_SECONDS, check=False).returncode == 1


def _line(row: Row) -> str:
    left = f"  {row.plan}" if row.plan else ""
    replayed = "" if row.replayed is None else f"  replayed {'yes' if row.replayed else 'NO'}"
    figures = f"{row.passed:4} passed {row.silent:4} silent {row.unstable:2} unstable {row.runs:4} runs {row.seconds:8.1f} s"
    return f"{'ok  ' if row.ok else 'MISS'} {row.app:24} {row.outcome:24} {figures}{replayed}{left}"


if __name__ == "__main__":
    sys.exit(main())
