"""`celery-harness explore` on pairs of tasks: each broken one is named at its line, each right one is certified."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.scenario.loader import load_scenarios

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "sample_tasks" / "crashes" / "explore.yaml"

#: Task -> '' where it is right, else (the word, what stands on the line that is named).
EXPECTED: dict[str, tuple[str, str]] = {
    "payments.settle": ("", ""),
    "payments.settle_without_key": ("EFFECT", 'urlopen(request("/charges", None if wrong == "key"'),
    "payments.settle_appending": ("EFFECT", '(folder() / f"invoice-{order}.txt").open("a")'),
    "payments.settle_with_lock": ("EFFECT", 'keys.set(f"lock:{order}", 1, nx=True)'),
    "payments.settle_marked_early": ("EFFECT", 'keys.set(f"done:{order}", 1)'),
    "payments.settle_inserting": ("PARTIAL", 'db.execute("INSERT INTO payments'),
    "payments.settle_subtracting": ("EFFECT", "with db:"),
    "payments.settle_counting": ("EFFECT", 'keys.incr("paying")'),
    "charge.keyed": ("", ""),
    "charge.checked": ("EFFECT", 'urlopen(request("/charges", order=order))'),
    "charge.random_key": ("EFFECT", "str(uuid.uuid4())"),
    "charge.dated_key": ("EFFECT", "datetime.now()"),
    "balance.guarded": ("", ""),
    "balance.unguarded": ("EFFECT", 'db.execute("UPDATE accounts SET balance = balance - 10")'),
    "lines.together": ("", ""),
    "lines.one_by_one": ("EFFECT", "(?, 'book')"),
    "payment.upserted": ("", ""),
    "payment.inserted": ("PARTIAL", 'db.execute("INSERT INTO payments'),
    "invoice.replaced": ("", ""),
    "invoice.half": ("EFFECT", 'target.open("w")'),
    "invoice.temporary": ("LEAK", "NamedTemporaryFile("),
    "journal.rewritten": ("", ""),
    "journal.appended": ("EFFECT", '(folder() / "journal.txt").open("a")'),
    "visitors.collected": ("", ""),
    "visitors.counted": ("EFFECT", 'cache().incr("visitors")'),
    "visitors.counted_for_good": ("", ""),
    "visitors.counted_for_a_minute": ("EFFECT", "pipe.execute()"),
    "report.leased": ("", ""),
    "report.locked": ("STORM", 'keys.set(f"lock:{number}", 1, nx=True)'),
    "report.locked_quietly": ("EFFECT", 'keys.set(f"lock:{number}", 1, nx=True)'),
    "welcome.marked_after": ("", ""),
    "welcome.marked_before": ("EFFECT", 'keys.set(f"welcomed:{customer}", 1)'),
    "memo.of_what_never_changes": ("", ""),
    "memo.of_what_is_done": ("EFFECT", 'urlopen(request("/charges", order=order))'),
    "memo.of_what_was_read": ("EFFECT", "with database() as db, db:"),
    "order.goes_on": ("", ""),
    "order.gives_up": ("EFFECT", 'db.execute("INSERT INTO payments'),
    "mail.queued": ("", ""),
    "mail.sent_before_commit": ("EFFECT", "server.send_message(mail(order))"),
    "early.allowed": ("", ""),
    "early.lost": ("LOST", 'urlopen(request("/charges", f"order-{order}"'),
    "right.upsert_with_time": ("", ""),
    "right.random_id_in_log": ("", ""),
    "right.outbox": ("", ""),
    "right.at_most_once": ("", ""),
    "right.delete_and_insert": ("", ""),
    "right.same_temporary_file": ("", ""),
    "right.absolute_value": ("", ""),
    "right.compare_and_set": ("", ""),
    "fee.keyed_by_order": ("", ""),
    "fee.keyed_by_attempt": ("EFFECT", 'f"fee-{order}-{self.request.retries}"'),
    "rent.keyed_by_month_told": ("", ""),
    "rent.keyed_by_this_month": ("EFFECT", "{date.today():%Y-%m}"),
    "deposit.keyed_alike": ("", ""),
    "deposit.keyed_by_what_was_noted": ("EFFECT", "keys.exists(f'noted:{order}')"),
    "visitors.counted_for_a_week": ("", ""),
    "sold.by_message": ("", ""),
    "sold.by_delivery": ("EFFECT", 'cache().hincrby("sold"'),
    "catalogue.locked_for_a_while": ("", ""),
    "catalogue.locked_for_good": ("LEAK", "timeout=None"),
    "export.whole": ("", ""),
    "export.half": ("EFFECT", 'target.open("w"'),
    "feed.asked_for_once": ("", ""),
    "feed.asked_by_count": ("EFFECT", 'cache().incr("asked")'),
    "poison.taken_on": ("", ""),
    "poison.thrown_away": ("PARTIAL", "SET status = 'paying'"),
    "packing.called_each_time": ("", ""),
    "packing.called_once": ("EFFECT", "INSERT OR IGNORE INTO payments"),
}


#: What `make test` tries: a right and a broken one of each kind of store, time, memory, and an early ack. `make exhaustive` tries all.
QUICK = (
    "charge.keyed",
    "charge.random_key",
    "balance.unguarded",
    "invoice.replaced",
    "invoice.half",
    "visitors.collected",
    "visitors.counted_for_a_minute",
    "mail.sent_before_commit",
    "memo.of_what_was_read",
    "early.lost",
)


def explored(task: str, reports: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what standard output says of it. The bound of time is wide: this machine may be busy."""
    command = [sys.executable, "-m", "harness.cli", "explore", str(SCENARIO), "--task", task, "--json", "--time", "10m"]
    done = subprocess.run(
        [*command, "--reports", str(reports), *options], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_table_has_all_of_them() -> None:
    from harness.assembly import registry

    (loaded,) = load_scenarios(SCENARIO, registry())
    assert {item.task for item in loaded.scenario.explore} == set(EXPECTED)


@pytest.mark.parametrize("task", [pytest.param(task, marks=() if task in QUICK else pytest.mark.exhaustive) for task in EXPECTED])
def test_each_sample_gets_its_verdict_at_its_line(task: str, tmp_path: Path) -> None:
    word, code = EXPECTED[task]
    status, found = explored(task, tmp_path)
    if not word:
        assert (status, found["verdict"], found["flaws"], found["doubts"]) == (0, "certified", [], [])
        assert found["coverage"]["replayed"] > 0
        return
    flaw = found["flaws"][0]
    assert (status, found["verdict"], flaw["word"], flaw["confirmed"]) == (1, "fails", word, True)
    place = flaw["place"]
    line = (ROOT / place["file"]).read_text().splitlines()[place["line"] - 1]
    assert code in line, f"{place['file']}:{place['line']}: {line.strip()}"
    assert flaw["story"] and flaw["fix"]
    folder = tmp_path / "latest"
    assert json.loads((folder / "exploration.json").read_text())[0]["headline"] == found["headline"]
