"""Who else could still act in a process: threads of the app's own, and processes that it started."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from celery_harness_agent.company import Company
from tests.unit.agent.conftest import AGENT


class Journal:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def emit(self, line: str) -> None:
        assert line.endswith("}\n")
        self.records.append(json.loads(line))

    def kinds(self) -> list[str]:
        return [record["k"] for record in self.records]


END = '{"k":"end"}\n'


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def company(journal: Journal) -> Company:
    made = Company(journal)  # type: ignore[arg-type]
    made.apart = False  # whatever other tests of this process have started
    made.begin()
    return made


@pytest.fixture
def block() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def started(target: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def wait_for(journal: Journal, kind: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while kind not in journal.kinds():
        assert time.monotonic() < deadline, journal.records
        time.sleep(0.01)


def polling(event: threading.Event) -> Callable[[], None]:
    def until_set() -> None:
        while not event.is_set():
            time.sleep(0.01)

    return until_set


def test_an_end_with_nobody_else_says_nothing(company: Company, journal: Journal) -> None:
    company.end(END)
    assert journal.records == [{"k": "end"}]


def test_a_thread_that_a_task_left_behind_is_told_until_it_is_gone(company: Company, journal: Journal, block: threading.Event) -> None:
    thread = started(polling(block))
    company.end(END)
    company.end(END)
    assert [record.get("threads") for record in journal.records] == [1, 1]
    block.set()
    thread.join(60)
    wait_for(journal, "alone")
    company.end(END)
    assert journal.records[-1] == {"k": "end"}


def test_threads_from_before_the_first_task_do_not_count(journal: Journal, block: threading.Event) -> None:
    company = Company(journal)  # type: ignore[arg-type]
    company.apart = False
    started(polling(block))
    company.begin()
    started(polling(block))
    company.begin()  # it has begun long ago
    company.end(END)
    assert journal.records[-1]["threads"] == 1


def test_one_that_only_waits_for_others_can_do_nothing(company: Company, journal: Journal, block: threading.Event) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        started(block.wait)
        company.end(END)
        assert journal.records[-1]["threads"] == 2
        wait_for(journal, "alone")


def test_one_that_wakes_by_itself_or_has_a_job_can(company: Company, journal: Journal, block: threading.Event) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        executor.submit(block.wait, 30)
        company.end(END)
        time.sleep(0.3)  # six looks
        assert "alone" not in journal.kinds()
        block.set()
        wait_for(journal, "alone")


def test_threads_of_the_pool_are_nobodys_business(company: Company, journal: Journal, block: threading.Event) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        company.of_pool(SimpleNamespace(executor=executor))
        executor.submit(block.wait)
        company.end(END)
        assert journal.records[-1] == {"k": "end"}
        block.set()


def test_on_greenlets_nobody_can_tell(company: Company, journal: Journal) -> None:
    company.of_pool(type("TaskPool", (), {"__module__": "celery.concurrency.gevent"})())
    company.end(END)
    assert journal.records == [{"k": "end", "apart": 1}]


@pytest.mark.parametrize(
    ("code", "apart"),
    [
        ("pass", False),
        ("import platform; platform.platform()", False),
        ("import subprocess, sys; subprocess.run([sys.executable, '-c', ''])", True),
        ("import os; os.fork() or os._exit(0)", True),
        ("import os; os.system('true')", True),
        ("import os, sys; os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", True),
        ("import multiprocessing as m; p = m.get_context('spawn').Process(target=print); p.start(); p.join()", True),
        ("import multiprocessing as m; p = m.get_context('fork').Process(target=int); p.start(); p.join()", True),
        ("import billiard; p = billiard.Process(target=int); p.start(); p.join()", False),
        ("company.of_pool(company); import billiard; p = billiard.Process(target=int); p.start(); p.join()", True),
    ],
)
def test_a_process_that_the_app_started_is_known_and_the_pools_is_none(tmp_path: Path, code: str, apart: bool) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from celery_harness_agent.company import Company\n"
        "if __name__ == '__main__':\n"
        "    company = Company(SimpleNamespace(emit=None))\n"
        "    hooks = company.hooks()\n"
        "    sys.addaudithook(lambda event, arguments: hooks[event](event, arguments) if event in hooks else None)\n"
        f"    {code}\n"
        "    print('apart' if company.apart else 'alone')\n"
    )
    found = subprocess.run([sys.executable, str(script)], env={"PYTHONPATH": AGENT}, capture_output=True, text=True, timeout=60)
    assert found.stdout.split()[-1] == ("apart" if apart else "alone"), found.stderr
