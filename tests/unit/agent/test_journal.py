from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from celery_harness_agent import journal as journal_module
from celery_harness_agent.journal import Journal, optional, quoted
from celery_harness_agent.settings import Settings
from tests.conformance.agent_support import AGENT, read


def make(folder: Path) -> Journal:
    return Journal(Settings({"journal": str(folder), "name": "w-1", "role": "worker", "run": "r", "pass": "clean1"}), "5.7.0", "5.7.0")


def test_first_record_is_the_header(tmp_path: Path) -> None:
    make(tmp_path)
    header = read(tmp_path)[0]
    assert {k: header[k] for k in ("k", "v", "pid", "ppid", "name", "role", "run", "pass", "celery")} == {
        "k": "open",
        "v": 1,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "name": "w-1",
        "role": "worker",
        "run": "r",
        "pass": "clean1",
        "celery": "5.7.0",
    }


def test_records_cross_chunks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_CHUNK", 4096)
    journal = make(tmp_path)
    sizes = [10, 4000, 90, 5000, 4096, 1]
    for number, size in enumerate(sizes):
        journal.emit(json.dumps({"k": "x", "m": 2**62, "no": number, "text": "y" * size}) + "\n")
    assert [(r["no"], len(r["text"])) for r in read(tmp_path) if r["k"] == "x"] == list(enumerate(sizes))


def test_threads_and_a_signal_handler_fill_chunks_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is lost or mixed with another, and each writer's own keep their order."""
    monkeypatch.setattr(journal_module, "_CHUNK", 4096)
    journal = make(tmp_path)
    handled = count()
    strikes: list[int] = []

    def write(who: str, number: int) -> None:
        journal.emit(json.dumps({"k": "x", "m": 2**62, "who": who, "no": number, "text": who * (number % 97)}) + "\n")

    def write_all(who: str) -> None:
        for number in range(1500):
            write(who, number)

    before = signal.signal(signal.SIGVTALRM, lambda *_: (strikes.append(1), write("s", next(handled))))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    threads = [threading.Thread(target=write_all, args=(who,)) for who in "abc"]
    try:
        for thread in threads:
            thread.start()
        write_all("m")
        for thread in threads:
            thread.join()
        deadline = time.process_time() + 10
        while not strikes and time.process_time() < deadline:  # the kernel counts this time in ticks
            pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    found: dict[str, list[int]] = {}
    for record in read(tmp_path):
        if record["k"] == "x":
            assert record["text"] == record["who"] * (record["no"] % 97)
            found.setdefault(record["who"], []).append(record["no"])
    assert sorted(found.pop("s")) == list(range(next(handled)))
    assert found == {who: list(range(1500)) for who in "mabc"}


def test_ids_differ_between_processes_and_threads(tmp_path: Path) -> None:
    journal = make(tmp_path)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(journal.new_id() for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2000
    assert all(i.startswith(journal.stem + ":") for i in found)


def test_a_fork_writes_its_own_file(tmp_path: Path) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(AGENT)!r})
from celery_harness_agent.journal import Journal, mono
from celery_harness_agent.settings import Settings
journal = Journal(Settings({{"journal": {str(tmp_path)!r}, "role": "worker"}}))
child = os.fork()
journal.emit('{{"k":"x","m":%d,"id":"%s"}}\\n' % (mono(), journal.new_id()))
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
    records = read(tmp_path)
    opened = {r["pid"]: r["ppid"] for r in records if r["k"] == "open"}
    assert len(opened) == 2
    assert {r["pid"] for r in records if r["k"] == "x"} == set(opened)
    assert len({r["id"] for r in records if r["k"] == "x"}) == 2
    child = next(pid for pid, parent in opened.items() if parent in opened)
    assert opened[child] != child


def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(AGENT)!r})
from celery_harness_agent.journal import Journal, mono
from celery_harness_agent.settings import Settings
journal = Journal(Settings({{"journal": {str(tmp_path)!r}, "role": "worker"}}))
print("up", flush=True)
number = 0
while True:
    number += 1
    journal.emit('{{"k":"x","m":%d,"no":%d}}\\n' % (mono(), number))
"""
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        threading.Event().wait(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
    by_process: dict[int, list[int]] = {}
    for record in read(tmp_path, torn_at_the_end=True):
        if record["k"] == "x":
            by_process.setdefault(record["pid"], []).append(record["no"])
    assert len(by_process) == 5
    for numbers in by_process.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_full_disk_ends_the_process_with_74_and_keeps_what_was_written(tmp_path: Path) -> None:
    """A limit on the file's size stands for the full disk: posix_fallocate fails in the same place."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(AGENT)!r})
from celery_harness_agent.journal import Journal, mono
from celery_harness_agent.settings import Settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
journal = Journal(Settings({{"journal": {str(tmp_path)!r}, "role": "worker"}}))
number = 0
while True:
    number += 1
    journal.emit('{{"k":"x","m":%d,"no":%d,"pad":"%s"}}\\n' % (mono(), number, "p" * 1000))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 74
    assert "cannot write the journal" in done.stderr
    numbers = [r["no"] for r in read(tmp_path) if r["k"] == "x"]
    assert len(numbers) > 900
    assert numbers == list(range(1, len(numbers) + 1))


def test_strings_of_any_kind_are_json() -> None:
    nasty = 'a"b\\c\n\0é\ud800'
    assert json.loads(quoted(nasty)) == nasty
    assert optional(None) == "null"
    assert json.loads(optional(7)) == "7"
