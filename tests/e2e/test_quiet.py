"""A run is not over while the app could still act: work that a task leaves to a thread or a process is waited for and judged."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Project, project
from tests.parts import chosen, parts

APP = """
import os, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

app = Celery("shop")
executor = ThreadPoolExecutor(1)
threading.Thread(target=lambda: [time.sleep(0.2) for _ in iter(int, 1)], daemon=True).start()  # a metrics library's


@app.task(name="shop.later")
def later():
    os.killpg(0, signal.SIGKILL)  # acknowledged early: whatever happens to it is lost


@app.task(name="shop.first", acks_late=True)
def first():
    threading.Timer(0.8, later.delay).start()  # a publisher that buffers, and flushes now and then


@app.task(name="shop.slowly", acks_late=True)
def slowly():
    executor.submit(lambda: (time.sleep(0.8), later.delay()))


@app.task(name="shop.pooled")
def pooled():
    executor.submit(int).result()


@app.task(name="shop.calls")
def calls():
    subprocess.run([sys.executable, "-c", ""])


@app.task(name="shop.stays")
def stays():
    threading.Thread(target=lambda: [time.sleep(0.2) for _ in iter(int, 1)], daemon=True).start()
"""
#: Task, pool -> what the run must say. The drain's limit is far longer than any of these should take, but for `stays`.
LOSES = [("first", "solo"), ("first", "prefork"), ("first", "threads"), ("slowly", "solo")]
WAITS = [("pooled", "prefork"), ("pooled", "threads")]


def begun(folder: Path, task: str, pool: str) -> tuple[Project, subprocess.Popen[str]]:
    """The run of one task."""
    folder.mkdir()
    shop = project(folder, shop=APP)
    file = shop.scenario(
        system={"workers": {"pay": {"replicas": 1, "concurrency": 1, "pool": pool}}, "redelivery": None},
        load=[{"send": f"shop.{task}", "count": 1}],
        drain={"timeout": "4s" if task == "stays" else "25s"},
        runtime="processes",
    )
    return shop, shop.command("run", str(file))


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], dict[str, Any]]]:
    """Two by two: they wait much of the time."""
    folder, found = tmp_path_factory.mktemp("quiet"), {}
    wanted = chosen(request, "task", "pool")
    for pair in (wanted[n : n + 2] for n in range(0, len(wanted), 2)):
        running = {(task, pool): begun(folder / f"{task}-{pool}", task, pool) for task, pool in pair}
        try:
            for which, (shop, process) in running.items():
                out, err = process.communicate(timeout=90)
                assert process.returncode in (0, 1), out + err
                found[which] = shop.result()
        finally:
            for _, process in running.values():
                if process.poll() is None:
                    process.terminate()
                    process.communicate(timeout=60)
    yield found


def drained(result: dict[str, Any]) -> tuple[float, str]:
    """How long the drain took, and what is said of it."""
    (one,) = [timing for timing in result["timings"] if timing["name"] == "drain"]
    return one["seconds"], one["text"]


@pytest.mark.parametrize(("task", "pool"), parts(LOSES, quick=[("first", "prefork")]))
def test_what_a_thread_publishes_later_is_part_of_the_run(results: dict[tuple[str, str], dict[str, Any]], task: str, pool: str) -> None:
    result = results[task, pool]
    assert result["verdict"] == "fail"
    assert {finding["word"] for check in result["checks"] for finding in check["findings"]} <= {"LOST", "STRANDED"}
    assert result["fates"]["succeeded"] == 1


@pytest.mark.parametrize(("task", "pool"), parts(WAITS, quick=[("pooled", "prefork")]))
def test_threads_that_only_wait_keep_nobody_waiting(results: dict[tuple[str, str], dict[str, Any]], task: str, pool: str) -> None:
    assert results[task, pool]["verdict"] == "pass"
    assert drained(results[task, pool])[0] < 15


@pytest.mark.parametrize(("task", "pool"), [("calls", "solo")])
def test_with_processes_of_the_apps_the_longer_wait_holds(results: dict[tuple[str, str], dict[str, Any]], task: str, pool: str) -> None:
    assert results[task, pool]["verdict"] == "pass"
    assert 0.4 < drained(results[task, pool])[0] < 15


@pytest.mark.parametrize(("task", "pool"), [("stays", "solo")])
def test_a_thread_that_stays_is_waited_for_until_the_drains_end_and_the_run_says_so(
    results: dict[tuple[str, str], dict[str, Any]], task: str, pool: str
) -> None:
    result = results[task, pool]
    assert result["verdict"] == "pass"
    assert drained(result)[1] == "quiet, but for threads of the app's own in pay-1, waited for until the drain's end"
