"""Locustfiles that cannot be used, and Locusts that come to grief: clear words, the right exit code, nothing left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.locust_support import USERS, a_sending_process, scenario
from tests.e2e.support import processes_of, project, wait_until
from tests.parts import parts


@pytest.mark.exhaustive
def test_a_lost_worker_of_locust_is_said_and_makes_a_pass_inconclusive(tmp_path: Path) -> None:
    """It dies once it has sent, by its own hand: nobody has to look for it while the load goes on."""
    made = project(tmp_path, users=USERS + DIES_AT_WORK)
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "users": 4, "for": "5s", "processes": 2})))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Locust lost its worker" in made.result()["generator"]["bottleneck"]
    assert made.result()["calls"] > 0


@pytest.mark.exhaustive
def test_a_worker_of_locust_that_is_lost_as_the_load_ends_is_said(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS + KILLS_A_WORKER)
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "users": 4, "for": "3s", "processes": 2})))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Locust lost its worker" in made.result()["generator"]["bottleneck"]


KILLS_A_WORKER = """

import os
import signal

from locust import events
from locust.runners import WorkerRunner


@events.test_stop.add_listener
def die(environment, **_):
    if isinstance(environment.runner, WorkerRunner) and environment.runner.worker_index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""
#: As soon as it has published something.
DIES_AT_WORK = (
    KILLS_A_WORKER.partition("@events")[0]
    + """environments = []
events.init.add_listener(lambda environment, **_: environments.append(environment))


@events.request.add_listener
def die(request_type, **_):
    runner = environments[0].runner
    if request_type == "publish" and isinstance(runner, WorkerRunner) and runner.worker_index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""
)


VERDICT = """

from locust import events


@events.quitting.add_listener
def decide(environment, **_):
    environment.process_exit_code = 5
"""


@pytest.mark.exhaustive
def test_what_the_locustfile_decides_as_it_quits_undoes_a_pass(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS + VERDICT)
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "users": 2, "for": "2s"})))
    assert done.returncode == 4, done.stdout + done.stderr
    assert made.result()["generator"]["failed"].startswith("Locust ended with exit 5: 0 of ")


LISTENERS = {
    "raises StopUser": "raise StopUser",
    "raises StopTest": "raise StopTest",
    "raises InterruptTaskSet": "raise InterruptTaskSet",
    "ends the load": "environments[0].runner.quit()",
}


@pytest.mark.parametrize("name", parts(LISTENERS, quick=[]))
def test_a_listener_of_the_locustfiles_that_ends_something_does_not_deafen_locust(tmp_path: Path, name: str) -> None:
    users = USERS + LISTENER.replace("DO", LISTENERS[name])
    made = project(tmp_path, users=users)
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "users": 2, "for": "4s"})))
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.result()["calls"] >= 2
    assert "SIGTERM" not in (tmp_path / "reports/latest/logs/locust.log").read_text(), "it ended by itself, when it was told to stop"
    assert not processes_of(tmp_path)


LISTENER = """

from locust import events
from locust.exception import InterruptTaskSet, StopUser
try:
    from locust.exception import StopTest
except ImportError:
    StopTest = StopUser

environments = []
events.init.add_listener(lambda environment, **_: environments.append(environment))


@events.request.add_listener
def heed(request_type, **_):
    if request_type == "end to end":
        DO
"""


BAD = {
    "no such file": ({}, {"file": "nobody.py", "for": "2s"}, "no locustfile nobody.py"),
    "not python": ({}, {"file": "s.yaml", "for": "2s"}, "is not a Python file"),
    "fails to import": ({"users": "import celery\n\n1 / 0\n"}, {"file": "users.py", "for": "2s"}, "ZeroDivisionError"),
    "no user class": ({"users": "from locust import task\n"}, {"file": "users.py", "for": "2s"}, "holds no user class"),
    "unknown task": ({"users": USERS.replace("shop.work", "shop.wrk")}, {"file": "users.py", "for": "2s"}, "did you mean shop.work?"),
    "no end": ({"users": USERS}, {"file": "users.py"}, "`for` is missing"),
    "app that is none": ({"users": USERS.replace("shop:app", "shop:work")}, {"file": "users.py", "for": "2s"}, "Worker: "),
}


@pytest.mark.parametrize("name", parts(BAD, quick=["fails to import", "unknown task"]))
def test_a_locustfile_that_cannot_be_used_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    files, spec, said = BAD[name]
    made = project(tmp_path, **files)
    done = made.run("load", str(scenario(made, locust=spec)))
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "users.py:3" in done.stderr or name != "fails to import"


def test_a_task_whose_name_is_computed_is_refused_when_it_is_sent(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS.replace('send("shop.work"', 'send("shop." + "wrk"'))
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "for": "20s"})))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "did you mean shop.work?" in done.stderr and "users.py:11" in done.stderr
    assert not processes_of(tmp_path)


def test_a_locust_that_dies_is_the_environments_fault(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS.replace('self.celery.send("shop.work", 1)', "__import__('os')._exit(9)"))
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "for": "20s"})))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Locust ended with status 9" in done.stdout + done.stderr
    assert not processes_of(tmp_path)


@pytest.mark.parametrize("deaf", parts([False, True], quick=[False]), ids=["two processes", "a process that hears nothing"])
def test_ctrl_c_stops_all_and_leaves_a_partial_report(tmp_path: Path, deaf: bool) -> None:
    made = project(tmp_path, users=USERS)
    spec = {"users": 8} if deaf else {"users": 2, "processes": 2}
    harness = made.command("load", str(scenario(made, locust={"file": "users.py", "for": "60s", **spec})))
    try:
        sending = wait_until(lambda: a_sending_process(tmp_path, forked=not deaf), "Locust sends", 60)
        if deaf:
            os.kill(sending, signal.SIGSTOP)
        harness.send_signal(signal.SIGINT)
        out, err = harness.communicate(timeout=60)
    finally:
        harness.kill()
    assert harness.returncode == 130, out + err
    assert made.result()["interrupted"] and made.result()["calls"] > 0
    wait_until(lambda: not processes_of(tmp_path), "nothing is left", 20)
