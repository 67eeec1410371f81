"""What is sampled once a second, and who is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from harness.errors import EnvironmentFault
from harness.model.history import Depth, Usage
from harness.ports.observer import NoObserver
from harness.ports.reporter import Progress
from harness.run.usage import UsageSampler
from harness.run.watching import Watch
from harness.runtimes.processes.use import family, use_of


class System:
    def use(self) -> Mapping[str, tuple[float, int]]:
        return {"pay-1": (1.5, 1000)}


class Broker:
    """Says what it uses, or is silent."""

    def __init__(self, answer: tuple[int | None, int | None] | Exception) -> None:
        self.answer = answer

    def use(self) -> tuple[int | None, int | None]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_once_a_second_whatever_can_say_something() -> None:
    system: Any = System()
    sampler, broker = UsageSampler(system), Broker((7, 3))
    inspector: Any = broker
    assert sampler.sample(0.1, inspector) == Usage(0.1, {"pay-1": 1.5}, {"pay-1": 1000}, 7, 3)
    assert sampler.sample(0.9, inspector) is None
    broker.answer = EnvironmentFault("silent")
    assert sampler.sample(1.2, inspector) == Usage(1.2, {"pay-1": 1.5}, {"pay-1": 1000})
    broker.answer = ConnectionResetError()
    assert sampler.sample(2.0, inspector) is not None
    nobody: Any = object()
    assert sampler.sample(3.1, None) is not None
    assert UsageSampler(nobody).sample(0.0, nobody) == Usage(0.0)


def test_after_a_stall_it_does_not_catch_up() -> None:
    system: Any = System()
    sampler = UsageSampler(system)
    assert [bool(sampler.sample(at, None)) for at in (0.0, 5.0, 5.1, 5.4, 5.6, 5.9, 6.6)] == [True, True, False, False, True, False, True]


def test_a_process_counts_with_its_children_and_what_they_have_used() -> None:
    program = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    while time.process_time() < 0.3: pass\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "if os.fork() == 0: time.sleep(60)\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            assert len(list(family(process.pid))) == 2
            used = use_of(process.pid)
            assert used is not None and used[0] >= 0.25  # the kernel counts in ticks
            assert used[1] > psutil.Process(process.pid).memory_info().rss
        finally:
            for pid in list(family(process.pid)):
                psutil.Process(pid).kill()
    assert use_of(process.pid) is None
    assert os.getpid() in family(os.getpid())


class Noting(NoObserver):
    """Notes all; raises at the n-th record if told to."""

    def __init__(self, bad: int = 0) -> None:
        self.seen: list[Any] = []
        self.bad = bad

    def begin(self, scenario: str, t0: float) -> str:
        self.seen.append((scenario, t0))
        return "look here"

    def see(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.seen += records
        if self.bad and len(self.seen) > self.bad:
            raise ValueError("too much")

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        self.seen.append((depth, usage))

    def end(self) -> None:
        self.seen.append("end")


def test_one_that_raises_is_noted_and_asked_no_more_but_told_of_the_end() -> None:
    said: list[Progress] = []
    good, bad = Noting(), Noting(bad=1)
    watch = Watch((bad, good), "s", said.append)
    watch.begin(5.0)
    watch.see([{"k": "ready"}])
    watch.see([{"k": "down"}])
    watch.see([])
    watch.sample(None, None)
    watch.sample(Depth(1.0, 2, 3), None)
    watch.end()
    watch.end()
    assert good.seen == [("s", 5.0), {"k": "ready"}, {"k": "down"}, (Depth(1.0, 2, 3), None), "end", "end"]
    assert bad.seen == [("s", 5.0), {"k": "ready"}, "end", "end"]
    assert [event.text for event in said] == ["look here", "look here", "Noting failed and is asked no more: ValueError: too much"]


def test_without_observers_nothing_is_said() -> None:
    watch = Watch()
    watch.begin(1.0)
    watch.see([{"k": "ready"}])
    watch.end()
    assert NoObserver().begin("s", 1.0) == ""
