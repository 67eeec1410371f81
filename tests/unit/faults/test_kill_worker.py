"""worker.kill and task.crash: a worker that was struck is back when another process runs under its name."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from harness.faults.crash_task import CrashTask
from harness.faults.kill_worker import KillWorker


@dataclass
class _Worker:
    name: str
    pid: int
    group: str = "pay"


@dataclass
class _System:
    """One worker, which the test lets die and come back."""

    running: list[_Worker] = field(default_factory=lambda: [_Worker("pay-1", 100)])
    asked: int = 0

    def workers(self, target: str = "") -> list[_Worker]:
        return self.running

    def started_workers(self) -> list[_Worker]:
        return [_Worker("pay-1", 100)]

    def start_worker(self, worker: Any) -> None:
        """As the real one: nothing while it runs."""
        self.asked += 1
        if not self.running:
            self.running = [_Worker("pay-1", 200)]


def test_one_that_has_not_died_yet_is_not_back() -> None:
    system: Any = _System()
    crash: Any = CrashTask(CrashTask.Parameters.model_validate({"restart_after": "100ms"}), random.Random(1))
    crash.adopt(system, "pay-1")
    crash.end(system)
    assert not crash.healed(system), "the process that runs is the one that is dying"
    system.running = []
    assert not crash.healed(system)
    crash.end(system)
    assert crash.healed(system)
    assert system.asked == 2


def test_one_that_nobody_struck_is_no_hindrance() -> None:
    system: Any = _System()
    assert KillWorker(KillWorker.Parameters.model_validate({}), random.Random(1)).healed(system)
