"""`celery-harness explore` on pairs of tasks: each broken one is named at its line, each right one is certified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.scenario.loader import load_scenarios
from tests.parts import chosen, parts

#: The first test of a file explores all of its tasks at once, at most two at a time.
pytestmark = pytest.mark.timeout(1200)

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "sample_tasks" / "crashes" / "explore.yaml"
RESULTS = SCENARIO.with_name("results.yaml")

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
    "mail.sent_after_commit": ("EFFECT", "UPDATE orders SET status = 'paid'"),
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
    "right.fenced_lease": ("", ""),
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
    "parcel.keyed_by_item": ("", ""),
    "parcel.keyed_by_order": ("EFFECT", 'f"order-{order}", order=order, item=item'),
    "letter.swept": ("", ""),
    "letter.unswept": ("LEAK", "tempfile.mkstemp("),
}

#: The same of tasks whose result is kept.
KEPT: dict[str, tuple[str, str]] = {
    "receipt.told_as_a_list": ("", ""),
    "receipt.told_as_a_set": ("STATE", "return {cents for"),
    "receipt.told_again_as_a_set": ("STATE", "return {order}"),
}


#: What `make test` tries: one or two of each kind of store, and an early ack. `make exhaustive` tries all.
QUICK = (
    "charge.keyed",
    "charge.random_key",
    "invoice.half",
    "visitors.collected",
    "mail.sent_before_commit",
    "early.lost",
)


@dataclass(frozen=True)
class Told:
    """What one command says: by task, and in its report."""

    status: int
    found: dict[str, dict[str, Any]]
    report: list[dict[str, Any]]


def explored(scenario: Path, tasks: list[str], folder: Path, *options: str) -> Told:
    """All of these by one command. The bound of time is wide: this machine may be busy."""
    head, _, items = scenario.read_text().partition("\nexplore:\n")
    lines = [line for line in items.splitlines() if any(f"task: {task}," in line for task in tasks)]
    copy = folder / scenario.name
    copy.write_text("\n".join([head, "explore:", *lines, ""]))
    command = [sys.executable, "-m", "harness.cli", "explore", str(copy), "--json", "--time", "10m", "--reports", str(folder / "reports")]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=120 + 15 * len(tasks), check=False)
    assert done.stdout, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["task"] for one in found] == [line.partition("task: ")[2].partition(",")[0] for line in lines], done.stderr
    report = json.loads((folder / "reports" / "latest" / "exploration.json").read_text())
    return Told(done.returncode, {one["task"]: one for one in found}, report)


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """By task: all that the tests of this run ask for, as many at a time as there are processors."""
    found: dict[str, Told] = {}
    wanted = [task for task in chosen(request, "task") if task in EXPECTED or task in KEPT]
    for scenario, known in ((SCENARIO, EXPECTED), (RESULTS, KEPT)):
        if tasks := [task for task in wanted if task in known]:
            found |= dict.fromkeys(tasks, explored(scenario, tasks, tmp_path_factory.mktemp("explored")))
    return found


def test_the_table_has_all_of_them() -> None:
    from harness.assembly import registry

    for scenario, expected in ((SCENARIO, EXPECTED), (RESULTS, KEPT)):
        (loaded,) = load_scenarios(scenario, registry())
        assert {item.task for item in loaded.scenario.explore} == set(expected)


@pytest.mark.parametrize("task", parts([*EXPECTED, *KEPT], quick=QUICK))
def test_each_sample_gets_its_verdict_at_its_line(task: str, told: dict[str, Told]) -> None:
    word, code = {**EXPECTED, **KEPT}[task]
    found = told[task].found[task]
    if not word:
        assert (found["verdict"], found["flaws"], found["doubts"]) == ("certified", [], [])
        assert found["coverage"]["replayed"] > 0
        return
    flaw = found["flaws"][0]
    assert (found["verdict"], flaw["word"], flaw["confirmed"]) == ("fails", word, True)
    place = flaw["place"]
    line = (ROOT / place["file"]).read_text().splitlines()[place["line"] - 1]
    assert code in line, f"{place['file']}:{place['line']}: {line.strip()}"
    assert flaw["story"] and flaw["fix"]
    assert found["headline"] in [one["headline"] for one in told[task].report if one["task"] == task]


def test_one_that_fails_makes_the_command_fail(told: dict[str, Told]) -> None:
    for one in told.values():
        verdicts = {found["verdict"] for found in one.found.values()}
        assert one.status == (1 if "fails" in verdicts else 0)


@pytest.mark.exhaustive
def test_alone_or_beside_others_the_verdict_is_the_same_to_the_byte(tmp_path: Path) -> None:
    tasks = ["charge.keyed", "charge.checked", "journal.rewritten", "right.outbox", "fee.keyed_by_order", "early.lost"]
    found = []
    for number, options in enumerate((("-j", "1"), ("-j", "2"), ("-j", "6"))):
        (folder := tmp_path / str(number)).mkdir()
        one = explored(SCENARIO, tasks, folder, *options)
        found.append({task: _timeless(one.found[task]) for task in tasks})
    assert found[0] == found[1] == found[2]


def _timeless(found: dict[str, Any]) -> str:
    """Without how long it took, and where it was saved."""
    told = {key: value for key, value in found.items() if key not in ("seconds", "command", "target")}
    text = json.dumps(told, sort_keys=True)
    return re.sub(r'"(slept|redelivery|seconds)": [\d.e-]+|"saved": "[^"]*"', "", text)
