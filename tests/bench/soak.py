"""`make soak N=200 SEED=1`: kill the demo pair and four more, N times, each at a random call and point whose outcome is known.

Every run is one kill of a real worker on a real broker. The seed chooses the subject, the call and the point; what must
come out follows from the subject's code, not from the harness: a right twin passes wherever it dies, a broken one
fails, with one word, where it dies inside its window. A run counts as decided when its verdict is pass or fail, and as
wrong when it is decided and is not the expected one (with the expected word). Written to reports/soak/latest.json.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 180
CALLS = 8


@dataclass(frozen=True)
class Subject:
    """A sample task, where it may be killed, and what must come out there.

    ``points``: 'start', 'before_ack', 'after_ack', or the text of the line before which it is killed.
    """

    name: str
    base: str  # scenario that brings the system
    module: str
    task: str
    points: tuple[str, ...]
    verdict: str
    word: str = ""


SUBJECTS = (
    Subject("orders", "payments/charge-survives-worker-kill.yaml", "orders", "orders.charge",
            ("start", "before_ack", "after_ack", "assess_risk(order_id)", "charge_card(order_id, cents", "with db:", "INSERT OR"), "pass"),
    Subject("orders broken", "payments/charge-twice-broken.yaml", "orders_broken", "orders.charge",
            ("with db:", "UPDATE orders SET", "INSERT OR IGNORE"), "fail", "EFFECT"),
    Subject("orders early acks", "acks/early-ack-loses-the-order-broken.yaml", "orders_early", "orders.charge",
            # Not at the start: the child runs before the main process has sent the early ack, so a kill there loses nothing.
            ("charge_card(order_id, cents", "with db:", "INSERT OR IGNORE"), "fail", "LOST"),
    Subject("reports", "reports/report-is-written-although-its-writer-dies.yaml", "reports", "reports.generate",
            ("start", "before_ack", "time.sleep(0.1)", 'write(number, f"report'), "pass"),
    Subject("reports broken", "reports/report-stays-generating-broken.yaml", "reports_broken", "reports.generate",
            ("time.sleep(0.1)", 'write(number, f"report'), "fail", "EFFECT"),
    Subject("orders, late acks, killed by a signal", "acks/late-ack-keeps-the-order.yaml", "orders", "orders.charge",
            ("start", "assess_risk(order_id)", "before_ack"), "pass"),
)  # fmt: skip


@dataclass
class Outcome:
    """One kill."""

    number: int
    subject: str
    point: str
    call: int
    seed: int
    expected: str
    verdict: str
    words: list[str]
    decided: bool
    wrong: bool
    took: float
    run: str


def point_of(subject: Subject, text: str) -> str:
    """A point as a scenario writes it: the file's name and the number of the one line that holds the text, within its task."""
    if text in ("start", "before_ack", "after_ack"):
        return text
    lines = (ROOT / "sample_tasks" / f"{subject.module}.py").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("@app.task"))
    number = next(n for n, line in enumerate(lines[begin:], begin + 1) if text in line)
    return f"{subject.module}.py:{number}"


def scenario(subject: Subject, point: str, call: int, seed: int) -> str:
    """The base with its load and timeline replaced."""
    text = (ROOT / "scenarios" / subject.base).read_text()
    text = re.sub(r"^seed: .*$", f"seed: {seed}", text, flags=re.M)
    text = re.sub(r"^timeline:\n(?:  .*\n)+", "", text, flags=re.M)
    text = re.sub(r"^( +)count: \d+$", rf"\g<1>count: {CALLS}", text, flags=re.M)
    trigger = f'{{when: {{task: {subject.task}, reaches: "{point}", call: {call}}}, fault: task.crash, restart_after: 300ms}}'
    return text + f"timeline:\n  - {trigger}\n"


def one(number: int, seed: int, folder: Path) -> Outcome:
    """Plan, run, compare."""
    rng = random.Random(f"{seed}/{number}")
    subject = SUBJECTS[number % len(SUBJECTS)]
    point = point_of(subject, rng.choice(subject.points))
    call, run_seed = rng.randint(1, CALLS), rng.randrange(2**31)
    file = folder / f"soak-{number}.yaml"
    file.write_text(scenario(subject, point, call, run_seed))
    begun = time.monotonic()
    reports = folder / f"reports-{number}"
    command = [sys.executable, "-m", "harness.cli", "run", str(file), "--json", "--reports", str(reports)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        result = _result(done.stdout)
        error = done.stderr.strip()[-400:]
    except subprocess.TimeoutExpired:
        result, error = {}, f"no verdict within {LIMIT_SECONDS} s"
    verdict = str(result.get("verdict", "error: " + error))
    words = sorted({f["word"] for c in result.get("checks", []) for f in c["findings"] if c["verdict"] == "fail"})
    decided = verdict in ("pass", "fail")
    wrong = decided and (verdict != subject.verdict or (bool(subject.word) and subject.word not in words))
    expected = f"{subject.verdict} {subject.word}".strip()
    return Outcome(
        number, subject.name, point, call, run_seed, expected, verdict, words, decided, wrong, time.monotonic() - begun, str(reports)
    )


def _result(out: str) -> dict[str, object]:
    for line in reversed(out.splitlines()):
        document = json.loads(line)
        if isinstance(document.get("result"), dict):
            return dict(document["result"])
    return {}


def main() -> int:
    """Exit 0 when at least 99 % are decided and none is wrong."""
    count, seed = int(os.environ.get("N", "200")), int(os.environ.get("SEED", "1"))
    jobs = int(os.environ.get("JOBS", str(os.cpu_count() or 1)))
    target = ROOT / "reports" / "soak"
    target.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda n: one(n, seed, Path(name)), range(count)):
            outcomes.append(outcome)
            mark = "WRONG" if outcome.wrong else "ok" if outcome.decided else "open"
            where = f"{outcome.subject}, call {outcome.call} at {outcome.point}"
            print(
                f"{mark:<5} {outcome.number + 1:4} of {count}  {outcome.took:5.1f} s  {where}: {outcome.verdict} {' '.join(outcome.words)}",
                flush=True,
            )
            if outcome.wrong or not outcome.decided:
                _keep(Path(outcome.run), target / f"run-{seed}-{outcome.number}")
    decided, wrong = sum(o.decided for o in outcomes), sum(o.wrong for o in outcomes)
    summary = {
        "runs": count, "seed": seed, "decided": decided, "wrong": wrong, "took": round(time.monotonic() - begun, 1),
        "by_subject": {s.name: Counter(o.verdict for o in outcomes if o.subject == s.name) for s in SUBJECTS},
        "outcomes": [asdict(o) for o in outcomes],
    }  # fmt: skip
    (target / "latest.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"\n{count} kills: {decided} decided, {wrong} wrong, {summary['took']} s; reports/soak/latest.json")
    return 0 if decided >= 0.99 * count and not wrong else 1


def _keep(run: Path, target: Path) -> None:
    import shutil

    if run.exists():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target, symlinks=True)


if __name__ == "__main__":
    raise SystemExit(main())
