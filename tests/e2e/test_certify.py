"""`celery-harness certify`: certificates that are the same in every run, that say when they are stale, and that are whole or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.gate_support import told
from tests.e2e.support import Project, end, processes_of, wait_until

SHOP = '''"""A shop."""
import os
import uuid
from pathlib import Path

from celery import Celery

app = Celery("shop", broker="redis://nowhere.invalid")


@app.task(name="shop.bill", acks_late=True)
def bill(number):
    from prices import of  # only where a bill is made

    folder = Path(os.environ["BILLS"])
    (folder / f"{number}.new").write_text(f"bill {number}: {of(number)}, {uuid.uuid4()}")
    os.replace(folder / f"{number}.new", folder / f"{number}.txt")


@app.task(name="shop.note", acks_late=True)
def note(number):
    with open(Path(os.environ["BILLS"]) / "notes.txt", "a") as file:
        file.write(f"{number}\\n")
'''
PRICES = "def of(number):\n    return number * 100\n"
FIRST = """import os
from pathlib import Path


def first():
    (Path(os.environ["BILLS"]) / "7.txt").write_text("bill 7: 0")
"""
BILL, NOTE = {"task": "shop.bill", "args": [7]}, {"task": "shop.note", "args": [7]}
SYSTEM = {"app": "shop:app", "setup": "beginning:first", "services": {"bills": "files"}, "env": {"BILLS": "${{ bills.path }}"}}
#: A machine that is busy needs longer than any bound that is good for people.
TIME = ("--time", "5m")


def write(shop: Project, name: str = "bills.yaml", explore: tuple[Any, ...] = (BILL, NOTE), **changes: Any) -> None:
    """A key per line: an item of `explore` has a line of its own."""
    document = {"version": 1, "tags": ["ci"], "system": {**SYSTEM, **changes}}
    lines = [f"{key}: {json.dumps(value)}" for key, value in document.items()]
    lines += ["explore:", *(f"  - {json.dumps(item)}" for item in explore)]
    (shop.folder / "scenarios" / name).write_text("\n".join(lines) + "\n")


def new_shop(folder: Path) -> Project:
    for name, text in (("shop.py", SHOP), ("prices.py", PRICES), ("beginning.py", FIRST), ("uv.lock", "celery")):
        (folder / name).write_text(text)
    (folder / "pyproject.toml").write_text('[tool.celery-harness.gate]\nruntime = "processes"\n')
    (folder / "scenarios").mkdir()
    shop = Project(folder)
    write(shop)
    return shop


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    shop = new_shop(tmp_path_factory.mktemp("shop"))
    return shop, shop.run("certify", *TIME, timeout=280)


@pytest.fixture
def shop(certified: tuple[Project, object], tmp_path: Path) -> Iterator[Project]:
    """With a certificate; whatever a test does to the files is undone."""
    shop, _ = certified
    kept = {path: path.read_bytes() for path in shop.folder.rglob("*") if path.is_file() and "reports" not in path.parts}
    yield shop
    for path in shop.folder.rglob("*"):
        if path.is_file() and path not in kept and "reports" not in path.parts:
            path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)


def certificates(shop: Project, folder: str = "certificates") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((shop.folder / folder).iterdir())}


def checked(shop: Project, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = shop.run("certify", "--check", "--json", *arguments)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode in (0, 1), told(done)
    return done.returncode, {(one["subject"] or {"task": one["certificate"]})["task"]: one for one in found}


def test_a_right_task_gets_one_and_a_broken_one_gets_none(certified: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    shop, done = certified
    assert done.returncode == 1, told(done)
    text = " ".join(done.stdout.split())
    assert "✓ certified shop.bill(7)" in text and "✕ fails shop.note(7)" in text
    assert "Story celery-harness explore scenarios/bills.yaml --task shop.note" in text
    ((name, content),) = certificates(shop).items()
    document = json.loads(content)
    assert name.startswith("bills-shop.bill-7-")
    assert sorted(document["grounds"]["modules"]) == ["beginning.py", "prices.py", "shop.py"], "also what only a delivery imports"
    assert document["grounds"]["first_world"].keys() == {"bills.files", "bills.~permissions"}
    assert document["worlds"]["number"] > 2 and "power loss" in " ".join(document["excludes"])
    assert str(shop.folder) not in content.decode() and list((shop.folder / "reports").iterdir()) == []


#: `make certificates` has two at once too, again and again.
@pytest.mark.exhaustive
def test_two_at_once_write_the_same_bytes_and_a_broken_task_loses_its_own_alone(shop: Project) -> None:
    both = [shop.command("certify", "scenarios/bills.yaml", *TIME, "--task", "shop.bill", "--folder", f) for f in ("one", "two")]
    if not (shop.folder / "certificates").is_dir():  # by the first test, where that was asked for too
        shop.run("certify", "scenarios/bills.yaml", *TIME, "--task", "shop.bill", timeout=280)
    (note,) = (shop.folder / "certificates").iterdir()
    made_up = json.loads(note.read_bytes())
    made_up["subject"]["task"] = "shop.note"
    done = shop.run("certify", "--check", "--json", "scenarios/bills.yaml", "--task", "shop.note")
    stale = Path(json.loads(done.stdout)["certificate"])
    stale.write_text(json.dumps(made_up))
    done = shop.run("certify", "scenarios/bills.yaml", *TIME, "--task", "shop.note", timeout=280)
    assert done.returncode == 1 and "removed, since it does not hold" in " ".join(done.stdout.split()), told(done)
    for process in both:
        out, err = process.communicate(timeout=280)
        assert process.returncode == 0, out + err
    assert certificates(shop) == certificates(shop, "one") == certificates(shop, "two")


def edited(name: str, old: str, new: str) -> Callable[[Project], None]:
    def edit(shop: Project) -> None:
        path = shop.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def test_a_check_explores_nothing_and_names_all_that_changed(shop: Project) -> None:
    status, found = checked(shop)
    assert (status, found["shop.bill"]["state"], found["shop.note"]["state"]) == (1, "holds", "missing")
    assert found["shop.note"]["where"] == "scenarios/bills.yaml:6:14"
    before = certificates(shop)
    for change in (
        edited("prices.py", "100", "99"),
        edited("shop.py", 'nowhere.invalid")', 'nowhere.invalid", task_compression="gzip")'),
        edited("beginning.py", "bill 7: 0", "bill 7: 1"),
        edited("uv.lock", "celery", "celery, redis"),
    ):
        change(shop)
    write(shop, explore=(BILL,), services={"bills": "files", "cache": "redis"})
    status, found = checked(shop)
    assert (status, found["shop.bill"]["state"]) == (1, "stale")
    assert found["shop.bill"]["why"] == [
        "module beginning.py changed",
        "module prices.py changed",
        "module shop.py changed",
        "setting task_compression is new",
        "system.services changed",
        "first world: bills.files changed",
        "first world: cache.keys is new",
        "lock file uv.lock changed",
    ]
    assert found["shop.bill"]["renew"] == "celery-harness certify scenarios/bills.yaml --task shop.bill"
    assert certificates(shop) == before


def test_one_that_belongs_to_nothing_is_told(shop: Project) -> None:
    (path,) = (shop.folder / "certificates").iterdir()
    (path.parent / "half.json").write_text("{")
    write(shop, explore=(NOTE,))
    status, found = checked(shop)
    assert (status, found["shop.bill"]["state"]) == (1, "astray")
    assert found["shop.bill"]["renew"] == f"rm certificates/{path.name}"
    assert found[str(path.parent / "half.json")]["state"] == "damaged"
    (shop.folder / "scenarios" / "bills.yaml").unlink()
    (path.parent / "half.json").unlink()
    status, found = checked(shop)
    assert (status, found["shop.bill"]["why"]) == (1, ["there is no scenarios/bills.yaml"])


def test_a_gate_passes_fails_and_leaves_undecided_by_certificates(shop: Project) -> None:
    shop.env = {"GITHUB_ACTIONS": "true"}
    failed = shop.run("gate", "--shard", "1/2", "--reports", "a"), shop.run("gate", "--shard", "2/2", "--reports", "b")
    assert sorted(done.returncode for done in failed) == [0, 1], told(failed[0]) + told(failed[1])
    merged = shop.run("merge", "a/gate", "b/gate")
    whole = json.loads((shop.folder / "reports" / "gate" / "gate.json").read_text())
    assert (merged.returncode, [cell["kind"] for cell in whole["cells"]]) == (1, ["certificate"] * 2), told(merged)
    assert "::error file=scenarios/bills.yaml,line=6,title=CERTIFICATE%3A" in merged.stdout
    sarif = json.loads((shop.folder / "reports" / "gate" / "gate.sarif").read_text())
    (result,) = sarif["runs"][0]["results"]
    assert result["ruleId"] == "CERTIFICATE" and "celery-harness certify scenarios/bills.yaml --task shop.note" in result["message"]["text"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 6
    junit = (shop.folder / "reports" / "gate" / "junit.xml").read_text()
    assert 'file="scenarios/bills.yaml" line="6"' in junit and 'type="CERTIFICATE"' in junit
    shop.env = {}
    refused = shop.run("baseline", "accept", "--dry-run")
    assert refused.returncode == 2 and "nothing ran in this gate" in refused.stderr, "certificates are no baseline's affair"
    write(shop, explore=(BILL,))
    passed = shop.run("gate")
    assert passed.returncode == 0, told(passed)
    left = shop.run("gate", "--budget", "1s")
    assert left.returncode == 4 and "Left out" in left.stdout, told(left)


def exploring(shop: Project) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """In the middle of it: the app's process has children that run the task."""
    process = shop.command("certify", "scenarios/bills.yaml", *TIME, "--task", "shop.bill", "--folder", "half")

    def zygote() -> list[psutil.Process]:
        assert process.poll() is None, process.communicate()
        found = [one for one in processes_of(shop.folder) if one.cmdline()[-1:] == ["zygote"] and one.children()]
        return [min(found, key=lambda one: one.create_time())] if found else []

    return process, wait_until(zygote, "a task runs under the explorer", 60)


@pytest.mark.usefixtures("alone_with_leftovers")
def test_after_a_sigkill_there_is_neither_a_child_nor_half_a_certificate(shop: Project) -> None:
    process, (zygote,) = exploring(shop)
    children = zygote.children(recursive=True)
    try:
        end(process, signal.SIGKILL)
        wait_until(lambda: not processes_of(shop.folder), "all ends with the harness", 30)
        wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children), "tasks too", 30)
        assert not (shop.folder / "half").exists() or certificates(shop, "half") == {}
    finally:
        cleaned = shop.run("clean")
    assert cleaned.returncode == 0


def test_where_the_apps_process_dies_nothing_is_certified(shop: Project) -> None:
    process, (zygote,) = exploring(shop)
    os.kill(zygote.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 3, out + err
    wait_until(lambda: not processes_of(shop.folder), "all ends", 30)
    assert not (shop.folder / "half").exists() or certificates(shop, "half") == {}
