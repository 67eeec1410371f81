"""Ten broken samples whose schedules, as `explore` saves them, a real worker on a real Redis comes to as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_explore_samples import EXPECTED, ROOT, SCENARIO, Told, explored
from tests.parts import chosen

#: `make test` has two small tasks in tests/e2e/test_replay.py.
pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(900)]

#: What the crash leaves wrong, and where.
SAMPLES = {
    "balance.unguarded": "SQLite: a column is changed twice",
    "payment.inserted": "SQLite: a second insert is refused",
    "visitors.counted": "Redis: a counter",
    "report.locked_quietly": "Redis: a lock that nobody gives back",
    "invoice.half": "files: half of one",
    "invoice.temporary": "files: one too many",
    "charge.random_key": "HTTP: a key for each attempt",
    "mail.sent_before_commit": "mail: sent twice",
    "sold.by_delivery": "Redis: a field named by the message",
    "early.lost": "acknowledged before it runs",
}


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """All of them, explored by one command."""
    return explored(SCENARIO, list(chosen(request, "task")), tmp_path_factory.mktemp("explored"))


@pytest.mark.parametrize("task", SAMPLES)
def test_real_workers_come_to_what_was_foreseen(task: str, told: Told, tmp_path: Path) -> None:
    flaw = told.found[task]["flaws"][0]
    word, _ = EXPECTED[task]
    assert (flaw["word"], flaw["confirmed"]) == (word, True)
    command = [sys.executable, "-m", "harness.cli", "replay", flaw["saved"], "--confirm", "--json", "--reports", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout, done.stderr
    said = {"confirm": "confirmed", "word": word, "why": [f"real workers come to the same {word}: the task fails"], "exit_code": 1}
    assert json.loads(done.stdout.splitlines()[-1]) == said, done.stdout[-3000:] + done.stderr
    assert done.returncode == 1
    environment = json.loads((tmp_path / "latest" / "result.json").read_text())["environment"]
    assert environment["Broker"].startswith("Redis ")
