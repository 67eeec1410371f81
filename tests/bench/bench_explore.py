"""What stopping a task before each of its effects costs: per stop, for an empty task, and for one of ten effects."""

from __future__ import annotations

import os
import select
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measurement import Measurement, pairs, ratio_of_medians

from harness.explore.zygote_client import Child
from harness.model.exploration import Message, Outcome
from harness.ports.exploring import Decision, Job
from tests.conformance.explore_support import Mill, mill

PAIRS, IN_A_ROW, STOPS = 15, 5, 1000
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


def per_stop(one: Mill) -> Measurement:
    """Microseconds from one stop to the next, with the policy, and nobody who looks at the world."""
    none, many = one.publish("opens", 0), one.publish("opens", STOPS)

    def run(message: Message, expected: int) -> float:
        begun = time.perf_counter()
        if deliver(one, message) != expected:
            raise RuntimeError("stops were missed")
        return time.perf_counter() - begun

    found = pairs(lambda: run(many, STOPS), lambda: run(none, 0), PAIRS)
    each = sorted((a - b) / STOPS * 1e6 for a, b in found)
    return Measurement("explorer: a stop without observation", statistics.median(each), "<= 15", "µs", len(each), (each[0], each[-1]))


def measure() -> list[Measurement]:
    """Three figures."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        project.mkdir()
        (project / "mill.py").write_text(APP)
        with mill(Path(name), project=project) as one:
            empty, ten = one.publish("empty"), one.publish("ten_effects", 7)
            against_fork = pairs(lambda: seconds(lambda: deliver(one, empty)), lambda: seconds(lambda: fork_exit_wait(one)), PAIRS)
            child = one.stops._zygote.plain()
            against_warm = pairs(lambda: seconds(lambda: deliver(one, ten), 1), lambda: seconds(lambda: in_process(child, ten), 1), PAIRS)
            child.end()
            return [
                per_stop(one),
                ratio_of_medians("explorer: empty supervised delivery / fork+exit+wait of its zygote", against_fork, "<= 1.5", "s / s"),
                ratio_of_medians("explorer: clean delivery of ten effects / the same in a warm process", against_warm, "<= 1.6", "s / s"),
            ]
