"""What stopping a task before each of its effects costs: per stop, per delivery, and for all that crashes lead to."""

from __future__ import annotations

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

from measurement import Measurement, pairs, ratio_of_medians

from harness.explore.zygote_client import Child
from harness.model.exploration import Message, Outcome
from harness.ports.exploring import Decision, Job
from tests.conformance.explore_support import Mill, mill

PAIRS, IN_A_ROW, STOPS, GRAPHS = 15, 5, 1000, 3
#: The goal of the graph is for so many.
WORLDS = 52
#: Told to, an interpreter without any import forks, ends and waits some times, and says how long one took.
BARE = """
import os, sys, time
for _ in sys.stdin:
    begun = time.perf_counter()
    for _ in range(20):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    print((time.perf_counter() - begun) / 20, flush=True)
"""
APP = """
import os, sqlite3
import redis
from celery import Celery
app = Celery("mill", broker=os.environ["MILL_BROKER"])
app.conf.update(task_acks_late=True, task_ignore_result=True, task_default_queue="mill")
here = os.environ["MILL_FOLDER"]
@app.task
def empty():
    pass
@app.task
def opens(number):
    for _ in range(number):
        os.close(os.open(here + "/o", os.O_CREAT | os.O_WRONLY))
@app.task
def ten_effects(order):
    with sqlite3.connect(here + "/shop.db") as db:
        db.execute("create table if not exists orders (id integer primary key, state text)")
    for state in ("new", "paid", "sent"):
        with db:
            db.execute("insert or replace into orders values (?, ?)", (order, state))
    db.close()
    store = redis.Redis.from_url(os.environ["MILL_STORE"])
    for key in ("a", "b", "c"):
        store.set(key, order)
    store.close()
    for name in ("x", "y", "z"):
        with open(here + "/" + name, "w") as stream:
            stream.write(str(order))
"""


def deliver(one: Mill, message: Message) -> int:
    """In a fresh process; the number of its stops."""
    ending = one.stops.deliver(Job(message), lambda stop: Decision.GO_ON)
    if ending.outcome is not Outcome.SUCCESS:
        raise RuntimeError(f"{ending.outcome}: {ending.error}")
    return len(ending.stops)


def seconds(work: Callable[[], object], times: int = IN_A_ROW) -> float:
    """Of one, when several follow one another: what one leaves to be done (its end, the next fork) is in it."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def fork_exit_wait(one: Mill) -> None:
    """Of the same zygote: a child that ends as soon as it is there."""
    child = one.stops._zygote.plain()
    child.channel.close()
    select.select([child.handle], [], [])
    os.close(child.handle)


def in_process(child: Child, message: Message) -> None:
    """One more delivery in a process that is not stopped, and has run the task before."""
    child.jobs += 1
    child.channel.send({"raw": dict(message.raw), "redelivered": False, "lines": False, "first": child.jobs == 1})
    answer = child.channel.receive(30)[0]["answer"]
    if answer["outcome"] != "SUCCESS":
        raise RuntimeError(answer["error"])


def bare_fork_exit_wait(program: subprocess.Popen[str]) -> float:
    """Seconds that an interpreter without any import needs for one, as it says."""
    assert program.stdin is not None and program.stdout is not None
    program.stdin.write("\n")
    program.stdin.flush()
    return float(program.stdout.readline())


def per_stop(one: Mill, plain: Child) -> Measurement:
    """Microseconds that a stop adds to a call, with the policy, and nobody who looks at the world: less the same calls unsupervised."""
    none, many = one.publish("opens", 0), one.publish("opens", STOPS)

    def run(message: Message, expected: int) -> float:
        begun = time.perf_counter()
        if deliver(one, message) != expected:
            raise RuntimeError("stops were missed")
        return time.perf_counter() - begun

    def supervised() -> float:
        return run(many, STOPS) - run(none, 0)

    def unsupervised() -> float:
        return seconds(lambda: in_process(plain, many), 1) - seconds(lambda: in_process(plain, none), 1)

    each = sorted((a - b) / STOPS * 1e6 for a, b in pairs(supervised, unsupervised, PAIRS))
    return Measurement("explorer: a stop without observation", statistics.median(each), "<= 15", "µs", len(each), (each[0], each[-1]))


class Explorer:
    """See explore_program.py."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        program = Path(__file__).with_name("explore_program.py")
        environment = {**os.environ, "PYTHONPATH": str(program.parents[2])}
        self._process = subprocess.Popen([sys.executable, str(program), str(folder)], stdin=PIPE, stdout=PIPE, text=True, env=environment)

    def tell(self, what: str) -> None:
        """To do this."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def heard(self) -> dict[str, float]:
        """What it found."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that explores has ended")
        found: dict[str, float] = json.loads(line)
        return found

    def ask(self, what: str) -> dict[str, float]:
        """Both."""
        self.tell(what)
        return self.heard()

    def close(self) -> None:
        """It ends by itself when it hears no more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def of_graphs(one: Explorer) -> list[Measurement]:
    """Of the task of ten effects: all single crashes, and all sequences of crashes, against a clean delivery at the same moment."""
    ratios: dict[str, list[float]] = {"single": [], "graph": []}
    one.ask("clean")
    for _ in range(GRAPHS):
        for what, found in ratios.items():
            before = statistics.median(one.ask("clean")["seconds"] for _ in range(IN_A_ROW))
            told = one.ask(what)
            after = statistics.median(one.ask("clean")["seconds"] for _ in range(IN_A_ROW))
            worlds = told["worlds"] if what == "single" else told["worlds"] / WORLDS
            found.append(told["seconds"] / worlds / ((before + after) / 2))
    names = {
        "single": ("explorer: all single crashes / (worlds x clean delivery)", "<= 0.9"),
        "graph": (f"explorer: graph of any depth / clean delivery, for {WORLDS} worlds", "<= 65"),
    }
    return [
        Measurement(names[what][0], statistics.median(found), names[what][1], "s / s", len(found), (min(found), max(found)))
        for what, found in ratios.items()
    ]


def of_two(first: Explorer, second: Explorer) -> Measurement:
    """Two processes that explore on two processors: how much more they get done than one."""
    found = []
    for _ in range(GRAPHS):
        alone = [first.ask("single")["seconds"], second.ask("single")["seconds"]]
        begun = time.perf_counter()
        first.tell("single")
        second.tell("single")
        first.heard(), second.heard()
        found.append(sum(alone) / (time.perf_counter() - begun))
    found.sort()
    name = "explorer: two processes / one, in explorations per second"
    return Measurement(name, statistics.median(found), ">= 1.7", "1/s / 1/s", len(found), (found[0], found[-1]))


def measure() -> list[Measurement]:
    """Seven figures. That of a bare interpreter has no goal: it is stated."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        found = of_deliveries(folder / "mill", stack)
        first, second = (stack.enter_context(contextlib.closing(Explorer(folder / each))) for each in ("first", "second"))
        first.heard(), second.heard()  # that it is ready
        return [*found, *of_graphs(first), of_two(first, second)]


def of_deliveries(folder: Path, stack: contextlib.ExitStack) -> list[Measurement]:
    """Of single deliveries, each against what it cannot do without."""
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "mill.py").write_text(APP)
    bare = stack.enter_context(subprocess.Popen([sys.executable, "-I", "-S", "-c", BARE], stdin=PIPE, stdout=PIPE, text=True))
    with mill(folder, project=project) as one:
        empty, ten = one.publish("empty"), one.publish("ten_effects", 7)
        for message in (empty, empty, empty):  # its imports and its memory are known then, as in an exploration
            deliver(one, message)
        supervised = lambda: seconds(lambda: deliver(one, empty))  # noqa: E731
        against_fork = pairs(supervised, lambda: seconds(lambda: fork_exit_wait(one)), PAIRS)
        against_bare = pairs(supervised, lambda: bare_fork_exit_wait(bare), PAIRS)
        for message in (ten, ten, ten):
            deliver(one, message)
        child = one.stops._zygote.plain()
        against_warm = pairs(lambda: seconds(lambda: deliver(one, ten), 1), lambda: seconds(lambda: in_process(child, ten), 1), PAIRS)
        stop = per_stop(one, child)
        child.end()
        assert bare.stdin is not None
        bare.stdin.close()
        return [
            stop,
            ratio_of_medians("explorer: empty supervised delivery / fork+exit+wait of its zygote", against_fork, "<= 1.5", "s / s"),
            ratio_of_medians("explorer: the same / fork+exit+wait of a bare interpreter (stated)", against_bare, ">= 0", "s / s"),
            ratio_of_medians("explorer: clean delivery of ten effects / the same in a warm process", against_warm, "<= 1.6", "s / s"),
        ]
