"""What a kill at a stop leaves, what a task may not reach, and that nothing outlives the explorer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import ScenarioError
from harness.model.exploration import Outcome, Stop
from tests.conformance.agent_support import AGENT, wait_for
from tests.conformance.explore_points import points, pytest_generate_tests  # noqa: F401 (a fixture, and a hook)
from tests.conformance.explore_support import HERE, PROJECT, Mill, line_of, mill, words

PROGRAM = HERE / "explore_program.py"


@pytest.fixture(scope="module")
def shared(points: str, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str) -> Iterator[Mill]:  # noqa: F811
    with mill(tmp_path_factory.mktemp("mill"), points=points) as found:
        yield found


@pytest.fixture
def one(shared: Mill) -> Mill:
    shared.clean()
    return shared


def processes_of(one: Mill) -> list[psutil.Process]:
    """All that carry this system's id."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CELERY_HARNESS_RUN") == f"explore-{one.broker.port}" and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("task", ["write_and_rename", "in_a_shell", "copy"])
def test_a_kill_at_each_stop_leaves_what_was_seen_there(one: Mill, task: str) -> None:
    kill_at_each_stop(one, task)


def test_a_kill_at_each_stop_of_a_thread_does_too(one: Mill) -> None:
    kill_at_each_stop(one, "in_a_thread")


def kill_at_each_stop(one: Mill, task: str) -> None:
    arguments = ["flour"] if task == "write_and_rename" else []
    message = one.publish(task, *arguments)
    seen: list[dict[str, str]] = []
    clean = one.deliver(message, at_stop=lambda stop: seen.append(one.files()))
    assert len(seen) == len(clean.stops) >= (2 if one.points == "effects" else 1)
    for number, expected in enumerate(seen, 1):
        one.clean()
        ending = one.deliver(message, kill=number)
        assert ending.outcome is Outcome.KILLED and words(ending.stops) == words(clean.stops)[:number]
        assert one.files() == expected


def test_a_kill_before_a_request_means_that_it_never_comes(one: Mill) -> None:
    ending = one.run("post", kill=2)
    assert ending.outcome is Outcome.KILLED and one.api.requests == []


def test_a_kill_in_the_middle_of_a_commit_leaves_a_journal_that_rolls_it_back(one: Mill) -> None:
    import sqlite3

    one.run("insert", 1)
    last = len(one.run("insert", 2).stops)
    assert one.run("insert", 3, kill=last).outcome is Outcome.KILLED
    assert "mill.sqlite3-journal" in one.files()
    with contextlib.closing(sqlite3.connect(one.data / "mill.sqlite3")) as connection:
        assert connection.execute("select number from sacks order by 1").fetchall() == [(1,), (2,)]


def test_all_processes_of_a_delivery_are_gone_after_a_kill(one: Mill) -> None:
    before = {process.pid for process in processes_of(one)}
    message = one.publish("in_a_shell")
    one.deliver(message, kill=2)
    left = wait_for(lambda: len(processes_of(one)) <= max(2, len(before)), "the delivery's processes to be gone", 5)
    assert left and not any("sh" in process.name() for process in processes_of(one))


@pytest.mark.parametrize("in_a_fork", [False, True])
def test_no_lock_outlives_a_kill(one: Mill, in_a_fork: bool) -> None:
    """The kernel tells that a process has no filter any more before it takes its memory, and then its files and locks, from it."""
    message = one.publish("hold_a_lock", in_a_fork)
    last = len(one.deliver(message).stops)
    for _ in range(3):
        assert one.deliver(message, kill=last).outcome is Outcome.KILLED
        with (one.data / "lock.txt").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_looks_may_raise(one: Mill) -> None:
    def broken(_: Stop) -> None:
        raise RuntimeError("the observer is broken")

    with pytest.raises(RuntimeError, match="observer"):
        one.run("write_and_rename", "flour", at_stop=broken)
    assert one.files() == {} and one.run("nothing").outcome is Outcome.SUCCESS


def test_a_task_that_leaves_by_itself(one: Mill) -> None:
    ending = one.run("leave")
    assert ending.outcome is Outcome.DIED and "os._exit" in ending.error and one.files() == {"left.txt": "x"}


def test_a_task_that_never_ends_says_what_it_did_last(one: Mill) -> None:
    begun = time.monotonic()
    ending = one.run("turn_for_ever", limit=0.5)
    last = {"effects": "its last effect was: write to turning.txt", "lines": "it stood last at line "}[one.points]
    assert ending.outcome is Outcome.ENDLESS and "and no end for 0.5 s" in ending.error and last in ending.error
    assert time.monotonic() - begun < 20


def test_what_the_task_left_running_is_seen_and_said(one: Mill) -> None:
    ending = one.run("leave_behind")
    assert ending.outcome is Outcome.SUCCESS and ("write to behind.txt" in words(ending.stops)) == (one.points == "effects")
    assert any("after its end" in doubt for doubt in ending.doubts)


# --- egress ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """A server that no scenario declares."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def reached(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_an_undeclared_server_is_refused_and_named(one: Mill, stranger: socket.socket) -> None:
    port = stranger.getsockname()[1]
    ending = one.run("call_out", "127.0.0.1", port)
    (refused,) = ending.undeclared
    assert ending.result == "'refused'" and refused.partition(" ")[0] == f"127.0.0.1:{port}" and not reached(stranger)


def test_also_where_python_cannot_see_it(one: Mill, stranger: socket.socket) -> None:
    port = stranger.getsockname()[1]
    ending = one.run("call_out_unseen_by_python", port)
    assert ending.undeclared == (f"127.0.0.1:{port}",) and not reached(stranger)


@pytest.mark.parametrize("way", ["sendto", "connected", "sendmsg", "sendmmsg"])
def test_also_a_datagram(one: Mill, way: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        port = receiver.getsockname()[1]
        ending = one.run("datagram", port, way)
        assert ending.result == "[-1, 111]" and ending.undeclared == (f"127.0.0.1:{port}",)
        with pytest.raises(TimeoutError):
            receiver.recv(10)


# --- apps that cannot be explored, and calls that cannot be made -------------------------------------------------------------


def test_a_task_that_is_not_there(one: Mill) -> None:
    with pytest.raises(ScenarioError, match=r"no task mill\.nothin\b") as caught:
        one.stops.publish("mill.nothin", [], {})
    assert "mill.nothing" in caught.value.hint


def test_arguments_that_it_refuses(one: Mill) -> None:
    with pytest.raises(ScenarioError, match="missing 1 required positional argument"):
        one.stops.publish("mill.write_and_rename", [], {})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True, name='poller').start()", "threads.*poller"),
        ("import os, redis; kept = redis.Redis.from_url(os.environ['MILL_STORE']); kept.ping()", "connections.*127.0.0.1:"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "refuses the connection to 127.0.0.1:9"),
        ("raise LookupError('no such setting')", "importing mill failed: LookupError: no such setting"),
    ],
)
def test_an_app_that_cannot_be_forked(one: Mill, tmp_path: Path, line: str, message: str) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    source = project / "mill.py"
    source.write_text(source.read_text() + f"\n{line}\n")
    other = Mill(tmp_path, one.broker, one.store, one.api, project=project, points=one.points)
    with pytest.raises(ScenarioError, match=message) as caught:
        other.stops.start()
    other.stops.close()
    if "failed" in message:
        assert caught.value.where.endswith(f"mill.py:{len(source.read_text().splitlines())}")


def test_what_the_import_tried_to_reach_is_said(one: Mill, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    with (project / "mill.py").open("a") as source:
        source.write("\ntry:\n    socket.create_connection(('127.0.0.1', 9))\nexcept OSError:\n    pass\n")
    other = Mill(tmp_path, one.broker, one.store, one.api, project=project, points=one.points)
    with contextlib.closing(other.stops):
        assert other.stops.start()["undeclared"] == ["127.0.0.1:9"]


def test_it_says_what_the_app_is(one: Mill, tmp_path: Path) -> None:
    other = Mill(tmp_path, one.broker, one.store, one.api, points=one.points)
    try:
        told = other.stops.start()
    finally:
        other.stops.close()
        other.stops.close()
    task = told["tasks"]["mill.again"]
    assert task["acks_late"] is True and task["max_retries"] == 3 and task["file"].endswith("mill.py")
    assert told["modules"] == {"mill": str(PROJECT / "mill.py")} and told["config"]["task_default_queue"] == "mill"


# --- the end of the explorer itself -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def program(one: Mill, task: str, wait_at: int, prefix: Sequence[str] = (), **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The explorer in a process of its own."""
    launch = one.launch()
    told = {
        "command": list(launch.command),
        "environment": dict(launch.environment),
        "folder": str(launch.folder),
        "points": one.points,
        "services": [[*address, name] for address, name in launch.services.items()],
        "raw": one.publish(task, *(["flour"] if task == "write_and_rename" else [])).raw,
    }
    (one.folder / "launch.json").write_text(json.dumps(told))
    process = subprocess.Popen(
        [*prefix, sys.executable, str(PROGRAM), str(one.folder), str(wait_at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=one.folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        with contextlib.suppress(ValueError):  # the test has heard it to its end
            process.communicate()


def said_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(line.strip())
        if line.startswith(wanted):
            return found
    raise AssertionError(f"it ended without saying {wanted}: {found}")


@pytest.mark.parametrize("task", ["write_and_rename", "in_a_shell"])
def test_nothing_outlives_an_explorer_that_is_killed(one: Mill, task: str) -> None:
    """Neither a process, nor the call that waited."""
    before = {process.pid for process in processes_of(one)}
    number = 2 if (one.points, task) != ("lines", "in_a_shell") else 1
    with program(one, task, number) as process:
        said_until(process, f"stop {number}")
        at_the_stop = one.files()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        wait_for(lambda: {p.pid for p in processes_of(one)} <= before, "the explorer's processes to be gone", 20, every=0.05)
    assert one.files() == at_the_stop


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="the tests run as an ordinary user already")
def test_an_ordinary_user_may(one: Mill) -> None:
    """The one capability is for reading an interpreter that lies below root's home; it says nothing to seccomp or ptrace."""
    for path in (one.folder, one.data, *one.folder.glob("*.log"), *one.folder.glob("*.json")):
        os.chown(path, 65534, 65534)
    for path in list(one.folder.parents)[:2]:
        path.chmod(0o755)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_read_search"]
    with program(
        one, "write_and_rename", 0, [*drop, "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search"]
    ) as process:
        for path in one.folder.glob("*.json"):
            os.chown(path, 65534, 65534)
        told = said_until(process, "end")
    last = {"effects": "stop 3 rename sheet.tmp to sheet.txt", "lines": f"stop 6 line {line_of('rename')} of mill.write_and_rename"}
    assert told[-1] == "end SUCCESS" and last[one.points] in told and one.files() == {"sheet.txt": "flour"}


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ("", "Refused: the kernel refuses what the explorer rests on: seccomp("),
        ("sendmsg", "no process may hand a descriptor to another one here: sendmsg(SCM_RIGHTS): Operation not permitted"),
    ],
)
def test_where_the_kernel_refuses_it_says_so(one: Mill, refused: str, words: str) -> None:
    """A process that is watched in this way already cannot have a second listener; nor may it call what its filter names."""
    watched = (
        "import os, struct, sys; sys.path.insert(0, sys.argv.pop(1)); refused = sys.argv.pop(1)\n"
        "from celery_harness_agent import seccomp\n"
        "numbers = [number for number, name in seccomp.call_names().items() if name == refused]\n"
        "refuse = [(0x20, 0, 0, 0), (0x15, 0, 1, numbers[0]), (6, 0, 0, 0x00050001)] if numbers else []\n"
        "program = b''.join(struct.pack('HBBI', *one) for one in [*refuse, (6, 0, 0, 0x7FFF0000)])\n"
        "os.set_inheritable(seccomp.install(program), True); os.execv(sys.argv[1], sys.argv[1:])"
    )
    with program(one, "nothing", 0, [sys.executable, "-c", watched, str(AGENT), refused], stderr=subprocess.PIPE) as process:
        said, wrong = process.communicate(timeout=60)
    assert process.returncode == 1 and said == "" and words in wrong


def test_two_explorers_at_once_do_not_meet(one: Mill, tmp_path: Path) -> None:
    other = Mill(tmp_path, one.broker, one.store, one.api, points=one.points)
    ends: list[Outcome] = []
    message = one.publish("write_and_rename", "flour")

    def beside() -> None:  # its processes die with the thread that started them
        with contextlib.closing(_started(other.stops)):
            ends.append(other.deliver(message).outcome)

    thread = threading.Thread(target=beside)
    one.deliver(message, at_stop=lambda stop: (thread.start(), thread.join(60)) if stop.number == 2 else None)
    assert ends == [Outcome.SUCCESS] and other.files() == {"sheet.txt": "flour"} == one.files()


def _started(stops: Any) -> Any:
    stops.start()
    return stops
