"""`explore` with several tasks at a time: whatever ends it, no process and no folder is left."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.support import Project, end, processes_of, project, wait_until
from tests.parts import parts

SHOP = """
import os
from pathlib import Path
from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))

@app.task(name="shop.quick", acks_late=True)
def quick(n):
    Path(os.environ["PAPERS"], "quick").mkdir(exist_ok=True)

@app.task(name="shop.long", acks_late=True)
def long(n):
    for number in range(400):
        (Path(os.environ["PAPERS"]) / f"{number}").mkdir(exist_ok=True)
"""
SYSTEM = {"app": "shop:app", "broker": "redis", "services": {"papers": "files"}, "env": {"PAPERS": "${{ papers.path }}"}}
QUICK: dict[str, object] = {"task": "shop.quick", "args": [1]}
LONG: list[dict[str, object]] = [{"task": "shop.long", "args": [n], "limit": {"time": "10m"}} for n in (1, 2, 3)]


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    (tmp_path / "tmp").mkdir()
    made = project(tmp_path, shop=SHOP)
    made.env["TMPDIR"] = str(tmp_path / "tmp")
    return made


def explore(shop: Project, *items: dict[str, object]) -> tuple[str, ...]:
    file = shop.folder / "s.yaml"
    file.write_text(json.dumps({"version": 1, "system": SYSTEM, "explore": items}))
    return ("explore", str(file), "--json", "-j", "2")


def busy(shop: Project) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Two lanes, each with a task that takes minutes; and the lanes."""
    process = shop.command(*explore(shop, QUICK, *LONG))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["task"] == "shop.quick"
    lanes = psutil.Process(process.pid).children()
    assert len(lanes) == 2
    wait_until(lambda: sum("zygote" in " ".join(one.cmdline()) for one in processes_of(shop.folder)) >= 2, "both explore")
    return process, lanes


def nothing_is_left(shop: Project, lanes: list[psutil.Process]) -> None:
    wait_until(lambda: not any(lane.is_running() and lane.status() != psutil.STATUS_ZOMBIE for lane in lanes), "no lane is left")
    wait_until(lambda: not processes_of(shop.folder), "no process of a system is left")
    wait_until(lambda: not list((shop.folder / "tmp").iterdir()), "no folder is left")


@pytest.mark.parametrize("number", parts([signal.SIGINT, signal.SIGTERM], quick=[signal.SIGTERM]))
def test_a_signal_ends_all_and_what_is_known_is_reported(shop: Project, number: signal.Signals) -> None:
    process, lanes = busy(shop)
    out, err = end(process, number)
    assert (process.returncode, out) == (128 + number, "")
    assert "interrupted: everything was stopped; the report is partial" in err
    nothing_is_left(shop, lanes)
    (told,) = json.loads((shop.folder / "reports" / "latest" / "exploration.json").read_text())
    assert (told["task"], told["verdict"]) == ("shop.quick", "certified")


def test_after_a_sigkill_of_the_command_the_lanes_end_by_themselves_and_tidy_up(shop: Project) -> None:
    process, lanes = busy(shop)
    end(process, signal.SIGKILL)
    nothing_is_left(shop, lanes)


def test_a_lane_that_is_killed_ends_the_command_and_is_no_verdict(shop: Project) -> None:
    process, lanes = busy(shop)
    lanes[0].kill()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert "a process that explored ended by itself with status -9" in err
    wait_until(lambda: not processes_of(shop.folder), "no process of a system is left")


def test_a_task_that_is_refused_keeps_no_other_from_being_explored(shop: Project) -> None:
    done = shop.run(*explore(shop, QUICK, {"task": "shop.quik", "args": [1]}, {"task": "shop.quick", "args": []}, {**QUICK, "args": [2]}))
    assert [(told["args"], told["verdict"]) for told in map(json.loads, done.stdout.splitlines())] == [
        ([1], "certified"),
        ([2], "certified"),
    ]
    assert done.returncode == 2
    assert "s.yaml:" in done.stderr and "the app has no task shop.quik" in done.stderr and "shop.quick" in done.stderr
    assert "shop.quick cannot be called with these arguments" in done.stderr
    assert list((shop.folder / "tmp").iterdir()) == []
