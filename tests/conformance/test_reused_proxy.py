"""The network proxy of the processes runtime between two systems of one command: handed on while it says itself that it is empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.assembly import build_cell, registry
from harness.netproxy.client import Proxies
from harness.ports.clock import MonotonicClock
from harness.ports.runtime import PassPlan
from harness.runtimes.processes import proxy as proxy_module
from harness.runtimes.processes.runtime import ProcessRuntime
from harness.scenario import load_scenarios

APP = "from celery import Celery\n\napp = Celery('plain')\n\n\n@app.task(name='plain.noop')\ndef noop():\n    pass\n"


class Command:
    """Systems that share what they can, as those of one command do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number, self.runtime = folder, 0, ProcessRuntime()
        (folder / "plain.py").write_text(APP)
        self.runtime.keep()

    def run(self, *, seed: int = 7, proxied: bool = True, sound: bool = True) -> tuple[psutil.Process | None, tuple[str, int], Path]:
        """One system to its end: the process of its proxy (None: it had none), where its API is, the run's log of it."""
        self.number += 1
        file, report = self.folder / f"s{self.number}.yaml", self.folder / "reports" / str(self.number)
        report.mkdir(parents=True)
        system: Any = {"app": "plain:app", "broker": {"kind": "redis", "proxy": proxied}}
        file.write_text(json.dumps({"version": 1, "seed": seed, "system": system, "load": [{"send": "plain.noop", "count": 1}]}))
        (loaded,) = load_scenarios(file, registry())
        plan = build_cell(loaded, self.folder, MonotonicClock()).system(f"0107-000000-{self.number:04x}", report)
        made: Any = self.runtime.system(plan)
        try:
            made.open()
            made.begin_pass(PassPlan("faults", [], "live"))
            found = next((psutil.Process(process.pid) for process in made.every_process if process.kind == "proxy"), None)
            api = made.proxy_host().api() if found else ("", 0)
            made.stop_workers(0)
            if sound:
                made.came_to_its_end()
        finally:
            made.close()
        return found, api, report / "logs" / "toxiproxy.log"


@pytest.fixture
def command(tmp_path: Path, redis_server_program: str) -> Iterator[Command]:
    made = Command(tmp_path)
    yield made
    made.runtime.close()


def _runs(process: psutil.Process | None) -> bool:
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ends while it is looked at
        return False


def test_the_next_system_gets_it_without_a_link_and_with_a_log_of_its_own(command: Command) -> None:
    first, api, log = command.run()
    assert _runs(first), "it waits"
    assert not Proxies(*api).links()
    before = log.read_text()
    second, again, own_log = command.run()
    assert (second, again) == (first, api)
    assert log.read_text() == before, "what it writes for the next run is not the first one's"
    assert "seed 7" in before
    assert "seed 7" not in own_log.read_text(), "it was not started for this run"
    command.runtime.close()
    assert not _runs(first)


def test_another_seed_or_a_run_cut_short_gets_a_new_one(command: Command) -> None:
    first, _, _ = command.run()
    second, _, _ = command.run(seed=8)
    assert second != first
    assert not _runs(first)
    third, _, _ = command.run(seed=8, sound=False)
    assert third == second
    assert not _runs(third), "nobody knows what state it is in"


def test_who_wants_none_finds_none(command: Command) -> None:
    first, _, _ = command.run()
    assert command.run(proxied=False)[0] is None
    assert not _runs(first)


def test_one_that_was_touched_while_it_waited_is_not_handed_on(command: Command) -> None:
    first, api, _ = command.run()
    Proxies(*api).create("somebody", "else", listen="127.0.0.1:0", upstream="127.0.0.1:9")
    second, api, _ = command.run()
    assert second != first
    assert not _runs(first)
    assert second is not None
    second.kill()
    second.wait(60)
    third, _, _ = command.run()
    assert third != second
    assert _runs(third)


def test_toxiproxy_itself_is_started_for_each_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts a connection's bytes some time after its end: perhaps for a link of the next run that has the same name."""
    import sys

    run = "import runpy, sys; sys.argv[0] = 'toxiproxy-server'; runpy.run_module('harness.' + 'netproxy', run_name='__main__')"
    monkeypatch.setattr(proxy_module, "find", lambda: ([sys.executable, "-c", run], "toxiproxy-server at /elsewhere"))
    first, _, _ = command.run()
    assert first is not None
    assert not _runs(first)
